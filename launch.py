"""rnnjax from the command line: train recurrent networks side by side and see their gradients.

    python launch.py                     the main job: recall, offline, about three minutes on two cores
    python launch.py recall [flags]      the same with your flags
    python launch.py imdb [flags]        25,000 real movie reviews
    python launch.py report RUN...       draw the report of finished or stopped runs again
    python launch.py compare RUN RUN...  several runs side by side on one page
    python launch.py explain RUN --text "This movie was horrifying"
                                         which words decide what each trained cell makes of a text

``python launch.py recall --help`` explains every flag.
"""

import dataclasses
import io
import sys
from pathlib import Path
from typing import Annotated

import tyro

from experiments.imdb import Imdb
from experiments.recall import Recall
from rnnjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Report:
    """Draw figures, table and report.html of runs again from what is on disk.

    Attributes:
        runs: run folders.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]


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


Command = (
    Annotated[Recall, tyro.conf.subcommand("recall")]
    | Annotated[Imdb, tyro.conf.subcommand("imdb")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Explain, tyro.conf.subcommand("explain")]
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    The exit status is 0, 1 after an error in what was given, 2 for flags that do not parse, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show → shows ?, and the run goes on
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        command = tyro.cli(Command, args=arguments or ["recall"], description=__doc__, prog="launch.py")
        if isinstance(command, Report):
            _report(command.runs)
        elif isinstance(command, Compare):
            _compare(command.runs, command.out)
        elif isinstance(command, Explain):
            _explain(command.run, command.text)
        else:
            _experiment(command)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was logged until now is kept.", file=sys.stderr)
        return 130
    return 0


def _experiment(experiment: Recall | Imdb) -> None:
    """Train into a run folder of its own, and draw the report of what came of it, even if a member diverged."""
    from rich.console import Console

    from rnnjax.training.parallel import describe_devices
    from rnnjax.training.progress import ProgressView
    from rnnjax.training.run_folder import create_run_folder, discard_run_folder

    name = type(experiment).__name__.lower()
    folder = create_run_folder(experiment.out, name, dataclasses.asdict(experiment), describe_devices())
    console = Console()
    try:
        with ProgressView(console) as view:
            view.line(f"{name} on {describe_devices()[0]}, into {folder}")
            experiment.run(folder, view)
    finally:
        if any((folder / "members").iterdir()):
            _report((folder,))
        else:
            discard_run_folder(folder)


def _report(runs: tuple[Path, ...]) -> None:
    from rich.console import Console

    from rnnjax.report.alarm_section import rich_alarms
    from rnnjax.report.page import write_report
    from rnnjax.report.run import load_run
    from rnnjax.report.table import rich_table

    console = Console()
    if not runs:
        raise UserError("report wants at least one run folder, as in launch.py report runs/recall-20260101-120000.")
    for run in runs:
        page = write_report(run)
        loaded = load_run(run)
        console.print(rich_table(loaded))
        if (alarms := rich_alarms(loaded)) is not None:
            console.print(alarms)
        console.print(f"report: {page.resolve()}", markup=False, highlight=False, soft_wrap=True)


def _compare(runs: tuple[Path, ...], out: Path) -> None:
    from rich.console import Console

    from rnnjax.report.compare import write_comparison

    page = write_comparison(runs, out)
    Console().print(f"comparison: {page.resolve()}", markup=False, highlight=False, soft_wrap=True)


def _explain(run: Path, text: str) -> None:
    from rich.console import Console

    from experiments.restore import read_text, restore_run
    from rnnjax.data.examples import UNKNOWN
    from rnnjax.explain import explain_text
    from rnnjax.report.terminal import TextView, legend

    console = Console()
    restored = restore_run(run)
    read = read_text(restored, text)
    console.print(legend(console))
    if read.note:
        console.print(read.note, style="yellow", highlight=False)
    for label, seed, model, params in restored.members:
        explanation = explain_text(model, params, read.tokens, UNKNOWN)
        console.print(TextView(f"{label}, seed {seed}", read.words, read.tokens != UNKNOWN, explanation))


if __name__ == "__main__":
    sys.exit(main())
