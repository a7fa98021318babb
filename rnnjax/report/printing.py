"""Reports drawn, and what of them a terminal shows."""

import sys
from pathlib import Path

from rich.console import Console, RenderableType

from rnnjax.errors import UserError
from rnnjax.report.run_report import write_report
from rnnjax.report.sections.alarms import rich_alarms
from rnnjax.report.sections.solved import rich_solved
from rnnjax.report.sections.trainability import rich_trainability
from rnnjax.report.tables.published import rich_published
from rnnjax.report.tables.summary_table import rich_table
from rnnjax.runs.merge import merge_runs, merged_folder, shards_of_one_study
from rnnjax.runs.reader import load_run


def merge_shards(runs: tuple[Path, ...], out: Path | None) -> tuple[Path, ...]:
    """The run folders to report on: one where ``runs`` are shards of one study."""
    if not shards_of_one_study(runs):
        if out is not None:
            raise UserError("--out is for shards of one study, and these are none; leave it out.")
        return runs
    whole = merge_runs(runs, out or merged_folder(runs))
    for what, names in (("not given: shard", whole.missing), ("unfinished:", whole.unfinished)):
        if names:
            print(f"{what} {', '.join(names)}", file=sys.stderr)
    return (whole.folder,)


def print_reports(runs: tuple[Path, ...]) -> None:
    """Draw the report of each run, and print its table and its alarms."""
    console = Console()
    if not console.is_terminal:
        console.width = 120  # what the table is made for
    if not runs:
        raise UserError("report wants at least one run folder, as in launch.py report runs/recall-20260101-120000.")
    for run in runs:
        page = write_report(run)
        loaded = load_run(run)
        shown: list[RenderableType | None] = [rich_trainability(loaded)]
        if shown == [None]:  # a map of a hundred runs stands for all of their rows and alarms
            shown = [rich_table(loaded), rich_published(loaded), rich_solved(loaded), rich_alarms(loaded)]
        for one in filter(None, shown):
            console.print(one)
        console.print(f"report: {page.resolve()}", markup=False, highlight=False, soft_wrap=True)
