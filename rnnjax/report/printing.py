"""Writes the reports of runs and prints their tables and alarms."""

import sys
from pathlib import Path

from rich.console import RenderableType

from rnnjax.errors import UserError
from rnnjax.report.run_report import write_report_of
from rnnjax.report.sections.alarms import rich_alarms
from rnnjax.report.sections.fixed_points import rich_fixed_points
from rnnjax.report.sections.solved import rich_solved
from rnnjax.report.sections.trainability import rich_trainability
from rnnjax.report.tables.published import rich_published
from rnnjax.report.tables.summary_table import rich_table
from rnnjax.runs.merge import merge_runs, merged_folder, shards_of_one_study
from rnnjax.runs.reader import load_run
from rnnjax.runtime.console import Terminal, printable

TABLE_WIDTH = 120  # columns, for which the table is made


def merge_shards(runs: tuple[Path, ...], out: Path | None) -> tuple[Path, ...]:
    """The run folders to report on: a merged folder in ``out`` where ``runs`` are shards of one study.

    Raises:
        UserError: ``out`` is given and they are not, with what differs.
    """
    if out is not None and len(runs) < 2:
        raise UserError("--out is for several shards of one study; name all of them, or leave it out.")
    if out is None and not shards_of_one_study(runs):
        return runs
    merged = merge_runs(runs, out or merged_folder(runs))
    for problem, names in (("not given: shard", merged.missing), ("unfinished:", merged.unfinished)):
        if names:
            print(printable(f"{problem} {', '.join(names)}"), file=sys.stderr)
    return (merged.folder,)


def print_reports(runs: tuple[Path, ...]) -> None:
    """Write the report of each run, and print its tables, then its alarms.

    Raises:
        UserError: there is no run, or one of the folders is not a run or is damaged.
    """
    console = Terminal()
    if not console.is_terminal:
        console.width = TABLE_WIDTH
    if not runs:
        raise UserError("report needs at least one run folder, as in launch.py report runs/recall-20260101-120000.")
    for folder in runs:
        run = load_run(folder)
        page = write_report_of(run)
        parts: list[RenderableType | None] = [rich_trainability(run)]
        if parts == [None]:  # the map of a study of a hundred runs replaces their rows and alarms
            tables = (rich_table, rich_published, rich_solved, rich_fixed_points, rich_alarms)
            parts = [make(run) for make in tables]
        for part in filter(None, parts):
            console.print(part)
        console.print(f"report: {page.resolve()}", markup=False, highlight=False, soft_wrap=True)
