"""Train recurrent networks side by side and see their gradients at every timestep.

    python launch.py                     the recall task: offline, a few minutes on two cores
    python launch.py [recall] [flags]    the same with your flags
    python launch.py imdb [flags]        sentiment of 25,000 movie reviews
    python launch.py adding | copying | temporal | mnist | characters [flags]
                                         standard long-memory tasks, with published results to compare with
    python launch.py episodes [flags]    several episodes in a sequence, whose state must be reset between them
    python launch.py flipflop [flags]    remember three signs, and see the fixed points that hold them
    python launch.py text --train FILE   your own labelled texts: tsv, csv, jsonl, or folders of txt
    python launch.py series --train FILE your own labelled time series: npz
    python launch.py predict RUN FILE    what a trained run of texts or series predicts for new ones
    python launch.py trainability [flags]
                                         which distances each cell can be trained over, predicted and measured
    python launch.py report RUN...       write the report of finished or stopped runs again
    python launch.py compare RUN RUN...  compare several runs on one page
    python launch.py explain RUN --text "This movie was horrifying"
                                         what decides each trained cell's answer: words or characters of a text;
                                         --example 0 in place of --text: steps of a test example
    python launch.py reach RUN...        how far back the answers of finished runs depend on their input

``python launch.py recall --help`` explains every flag.
"""

import contextlib
import dataclasses
import gc
import io
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn, Union

try:
    import tyro

    from experiments.flag_values import TypeHint
    from experiments.registry import EXPERIMENTS
    from rnnjax.errors import UserError
    from rnnjax.runtime.console import Terminal, printable
    from rnnjax.runtime.signals import ctrl_c_raises
except KeyboardInterrupt:  # Ctrl-C while modules are imported
    print("stopped.", file=sys.stderr)
    sys.exit(130)


@dataclasses.dataclass(frozen=True)
class Report:
    """Write figures, tables and report.html of runs again, from the records in their folders.

    Shards of one study (see recall --shard) are merged into one run folder first.

    Attributes:
        runs: run folders.
        out: folder for the merged shards; a new folder beside the first shard if not given.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path | None = None


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare several runs on one page.

    Attributes:
        runs: two or more run folders.
        out: HTML file to write; only an earlier comparison may be overwritten.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path = Path("comparison.html")


@dataclasses.dataclass(frozen=True)
class Explain:
    """Show what decides the answer of each trained cell of a run: words or characters of a text, or steps of a series.

    Attributes:
        run: run folder, finished or not.
        text: the text, in quotation marks, for a run that reads words or characters.
        example: number of an example of the test data, from 0, for a run that reads anything else.
    """

    run: Annotated[Path, tyro.conf.Positional]
    text: str | None = None
    example: int | None = None


@dataclasses.dataclass(frozen=True)
class Predict:
    """Predict labels of new texts or series with the trained cells of a run of text, imdb or series.

    Texts come from a csv, tsv or jsonl file like that of the training, from a txt file with one text on each line, or
    from a folder of txt files; series from an npz file. Labels in them are not read. The result has a row for each
    example and cell: the label with the probability of each class, or the number in the unit of the labels trained on;
    means over the seeds, and the standard deviation over the seeds as spread.

    Attributes:
        run: run folder, finished or not.
        file: file or folder of the texts or series.
        out: csv or jsonl file to write, which must not exist.
        text_column: column of the texts; that of the training if not given.
        header: whether the first line of a table names its columns.
        encoding: of the file, as Python names it: utf-8, latin-1, cp1252, shift_jis, utf-16.
    """

    run: Annotated[Path, tyro.conf.Positional]
    file: Annotated[Path, tyro.conf.Positional]
    out: Path = Path("predictions.csv")
    text_column: tuple[str, ...] | None = None
    header: bool = True
    encoding: str = "utf-8"


@dataclasses.dataclass(frozen=True)
class Reach:
    """Measure how far back the answers of trained networks depend on their input, beside the length of their task.

    Inputs of test examples are exchanged for those of another test example, as long or the next longer, and the label
    is kept. The table has, for each run and cell: the score; the score when only the last tenth, or half, of the steps
    is left as it was; the number of last steps with which 95% of the score above the best constant answer is left; and
    the furthest single input whose exchange moves the answer. Each run folder gets the table as reach.csv, the curves
    as reach-curves.csv, and both drawn in figures/reach.png; earlier ones are replaced.

    Attributes:
        runs: run folders of finished runs.
        examples: test examples on which scores are measured, at most; single inputs of long sequences are exchanged in
            fewer.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    examples: int = 1000


COMPLETION_FLAGS, SHELLS = ("--tyro-print-completion", "--tyro-write-completion"), ("bash", "zsh", "tcsh", "fish")
GLOBAL_FLAGS = ("--help", *COMPLETION_FLAGS)  # allowed without a command; any other flag belongs to recall
CHECKOUT_COMMAND = "python launch.py"  # how the program is started from a checkout, as in the docstring above
COMMANDS = EXPERIMENTS | {"predict": Predict, "report": Report, "compare": Compare, "explain": Explain, "reach": Reach}
Command: TypeHint = Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in COMMANDS.items())]  # noqa: UP007


def main(arguments: list[str] | None = None, *, program: str = "launch.py") -> int:
    """Run one command.

    Args:
        arguments: ``sys.argv[1:]`` if not given.
        program: name of the program in the help text.

    Returns:
        The exit status: 0, 1 after wrong input, 130 after Ctrl-C, 143 after SIGTERM.

    Raises:
        SystemExit: with status 0 after ``--help``, with status 2 for flags that do not parse.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # print ? for characters the terminal lacks
    try:
        with ctrl_c_raises():
            status = _run(sys.argv[1:] if arguments is None else arguments, program)
            sys.stdout.flush()
    except UserError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # nobody reads on, as in launch.py --help | head
        _discard_output()
        return 1
    except OSError as error:  # an error without a file name comes from writing to standard output
        problem = f"'{error.filename}' cannot be read or written" if error.filename else "The output cannot be written"
        print(printable(f"error: {problem} ({error.strerror or error})."), file=sys.stderr)
        _discard_output()
        return 1
    return status


def _run(arguments: list[str], program: str) -> int:
    """Parse and run one command; returns its exit status."""
    for flag, shell in itertools.pairwise(arguments):
        if flag in COMPLETION_FLAGS and shell not in SHELLS:
            raise UserError(f"{flag} must be one of {', '.join(SHELLS)}, but {shell} was given.")
    if not arguments or (arguments[0].startswith("--") and arguments[0] not in GLOBAL_FLAGS):
        arguments = ["recall", *arguments]
    command = tyro.cli(Command, args=arguments, description=_help_text(program), prog=program)
    if isinstance(command, Report):
        from rnnjax.report.printing import merge_shards, print_reports

        print_reports(merge_shards(command.runs, command.out))
    elif isinstance(command, Compare):
        _compare(command.runs, command.out)
    elif isinstance(command, Explain):
        _explain(command)
    elif isinstance(command, Predict):
        _predict(command)
    elif isinstance(command, Reach):
        _reach(command)
    else:
        from experiments.run import run_experiment

        return run_experiment(command)
    return 0


def _discard_output() -> None:
    """Send standard output to the null device, so that Python does not fail again when it flushes at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _compare(runs: tuple[Path, ...], out: Path) -> None:
    from rnnjax.report.comparison import write_comparison

    page = write_comparison(runs, out)
    Terminal().print(f"comparison: {page.resolve()}", markup=False, highlight=False, soft_wrap=True)


def _explain(command: Explain) -> None:
    from experiments.explain import show_explanation

    show_explanation(command.run, command.text, command.example, Terminal())


def _predict(command: Predict) -> None:
    from experiments.predict import write_predictions
    from rnnjax.data.files.text_reader import TextFormat

    form = TextFormat(command.text_column or (), None, command.header, command.encoding)
    for line in write_predictions(command.run, command.file, command.out, form):
        Terminal().print(line, markup=False, highlight=False, soft_wrap=True)


def _reach(command: Reach) -> None:
    from experiments.reach import print_reach

    print_reach(command.runs, command.examples, Terminal())


def _help_text(program: str) -> str:
    """The docstring of this module; outside a checkout it names ``program``, with the second column moved along."""
    text = __doc__ or ""
    if program == Path(__file__).name:
        return text
    column = 41
    shift = len(CHECKOUT_COMMAND) - len(program)
    return text.replace(CHECKOUT_COMMAND, program).replace("\n" + " " * column, "\n" + " " * (column - shift))


def exit_process(status: int) -> NoReturn:
    """End the process; after a signal without waiting for threads that are still compiling."""
    if status > 128:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    with contextlib.suppress(ValueError):  # in a thread other than the main one
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is on disk: Ctrl-C must not change the status any more
    gc.freeze()  # Python looks for garbage once more at its end, which takes half a second after training
    sys.exit(status)


def run_process(program: str = "launch.py") -> NoReturn:
    """Run the command of this process, and end it."""
    gc.set_threshold(100_000)  # most of what a command allocates stays; to look for garbage as often as usual takes 1 s
    exit_process(main(program=program))


def console_script() -> NoReturn:
    """Entry point of the command ``rnnjax``, which installing the package creates."""
    run_process("rnnjax")


if __name__ == "__main__":
    run_process()
