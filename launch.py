"""rnnjax from the command line: train recurrent networks side by side and see their gradients.

    python launch.py                     the main job: recall, offline, a few minutes on two cores
    python launch.py [recall] [flags]    the same with your flags
    python launch.py imdb [flags]        25,000 real movie reviews
    python launch.py adding | copying | temporal | mnist | characters [flags]
                                         the field's long-memory tasks, published figures beside ours
    python launch.py text --train FILE   your own texts with labels: tsv, csv or jsonl
    python launch.py series --train FILE your own series of numbers with labels: npz
    python launch.py trainability [flags]
                                         what step 0 says of which cell can be trained over which distance
    python launch.py report RUN...       draw the report of finished or stopped runs again
    python launch.py compare RUN RUN...  several runs side by side on one page
    python launch.py explain RUN --text "This movie was horrifying"
                                         which words decide what each trained cell makes of a text

``python launch.py recall --help`` explains every flag.
"""

import contextlib
import dataclasses
import io
import itertools
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn, Union

try:
    import tyro

    from experiments.registry import EXPERIMENTS
    from rnnjax.errors import UserError
    from rnnjax.runtime.signals import ctrl_c_raises
except KeyboardInterrupt:  # Ctrl-C in the quarter of a second that this takes
    print("stopped.", file=sys.stderr)
    sys.exit(130)


@dataclasses.dataclass(frozen=True)
class Report:
    """Draw figures, tables and report.html of runs again from what is on disk.

    Shards of one study (see recall --shard) become one run folder first.

    Attributes:
        runs: run folders.
        out: folder for the merged shards; beside the first of them if not given.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path | None = None


@dataclasses.dataclass(frozen=True)
class Compare:
    """Put several runs side by side on one page.

    Attributes:
        runs: two or more run folders.
        out: the page; an earlier comparison there is written over, nothing else is.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path = Path("comparison.html")


@dataclasses.dataclass(frozen=True)
class Explain:
    """Show which words decide what each trained cell of a run makes of a text.

    Attributes:
        run: run folder, finished or not.
        text: the text, in quotation marks.
    """

    run: Annotated[Path, tyro.conf.Positional]
    text: str


COMPLETION_FLAGS, SHELLS = ("--tyro-print-completion", "--tyro-write-completion"), ("bash", "zsh", "tcsh", "fish")
FOR_ALL = ("--help", *COMPLETION_FLAGS)  # flags before a command; others are recall's
TYPED = "python launch.py"  # as it is called from a checkout
COMMANDS = EXPERIMENTS | {"report": Report, "compare": Compare, "explain": Explain}
Command: Any = Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in COMMANDS.items())]  # noqa: UP007


def main(arguments: list[str] | None = None, *, program: str = "launch.py") -> int:
    """Run one command.

    The exit status is 0, 1 after an error in what was given, 2 for flags that do not parse, 130 after Ctrl-C and 143
    after SIGTERM.

    Args:
        arguments: those of the command line if not given.
        program: what help calls it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show → shows ?, and the run goes on
    try:
        with ctrl_c_raises():
            status = _run(sys.argv[1:] if arguments is None else arguments, program)
            sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130
    except OSError as error:  # whoever reads or writes a file says so; without a name it is what is printed
        what = f"'{error.filename}' cannot be read or written" if error.filename else "The output cannot be written"
        print(f"error: {what} ({error.strerror or error}).", file=sys.stderr)
        _print_no_more()
        return 1
    return status


def _run(arguments: list[str], program: str) -> int:
    """The exit status of a command that ends well, or that a signal has ended."""
    for flag, shell in itertools.pairwise(arguments):
        if flag in COMPLETION_FLAGS and shell not in SHELLS:
            raise UserError(f"{flag} {shell}: there are completions for {', '.join(SHELLS)}; give one of them.")
    if not arguments or (arguments[0].startswith("--") and arguments[0] not in FOR_ALL):
        arguments = ["recall", *arguments]
    command = tyro.cli(Command, args=arguments, description=_about(program), prog=program)
    if isinstance(command, Report):
        from rnnjax.report.printing import merge_shards, print_reports

        print_reports(merge_shards(command.runs, command.out))
    elif isinstance(command, Compare):
        _compare(command.runs, command.out)
    elif isinstance(command, Explain):
        _explain(command.run, command.text)
    else:
        from experiments.run import run_experiment

        return run_experiment(command)
    return 0


def _print_no_more() -> None:
    """Or Python would try again when it ends, and say that it cannot."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _compare(runs: tuple[Path, ...], out: Path) -> None:
    from rich.console import Console

    from rnnjax.report.comparison import write_comparison

    page = write_comparison(runs, out)
    Console().print(f"comparison: {page.resolve()}", markup=False, highlight=False, soft_wrap=True)


def _explain(run: Path, text: str) -> None:
    from rich.console import Console

    from experiments.restore import read_text, restore_run
    from rnnjax.analysis.word_attribution import explain_text
    from rnnjax.data.dataset import UNKNOWN
    from rnnjax.report.terminal import TextView, legend

    console = Console()
    restored = restore_run(run)
    read = read_text(restored, text)
    console.print(legend(console, restored.sides))
    if read.note:
        console.print(read.note, style="yellow", highlight=False)
    for label, seed, model, params in restored.members:
        explanation = explain_text(model, params, read.tokens, UNKNOWN)
        known = read.tokens != UNKNOWN
        console.print(TextView(f"{label}, seed {seed}", read.words, known, explanation, restored.sides))


def _about(program: str) -> str:
    """What help says first, with ``program`` where it is not called from a checkout."""
    about = str(__doc__)
    if program == Path(__file__).name:
        return about
    shorter = len(TYPED) - len(program)
    return about.replace(TYPED, program).replace("\n" + " " * 41, "\n" + " " * (41 - shorter))


def leave(status: int) -> NoReturn:
    """End the process; after a signal what is being compiled in other threads need not be waited for."""
    if status > 128:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def installed() -> NoReturn:
    """The command ``rnnjax`` of an installation."""
    leave(main(program="rnnjax"))


if __name__ == "__main__":
    leave(main())
