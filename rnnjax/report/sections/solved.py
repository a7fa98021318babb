"""The largest length of a task that each cell solves, where a sweep varies that length."""

from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.argument_checks import is_number
from rnnjax.formatting import number
from rnnjax.report import document
from rnnjax.report.sections.rendering import Section, section
from rnnjax.report.summary.seed_groups import lower_median
from rnnjax.report.text.headline import SOLVED
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.typing import Floats

LENGTHS = ("max_distance", "length", "delay")  # flags that set how far back an answer is
LOSS_SHARE = 0.1  # of the baseline's loss, up to which a task with numbers or symbols counts as solved
NAME, TITLE = "solved", "The largest length that each cell solves"
READING = (
    f"A task is solved with a test accuracy of at least {SOLVED:.0%} at its largest distance, or, where the answer is "
    f"a number or symbols, with a test loss of at most {LOSS_SHARE:.0%} of that without memory. Fields: seeds that "
    "solve it, of those that finished. Last column: the largest length that a seed solves, the median seed and, in "
    "brackets, the lowest and highest; 0 for none."
)


@dataclass(frozen=True)
class Solved:
    """A row of the table: one cell with its other settings.

    Attributes:
        label: the cell and its settings.
        finished: for each length, the number of seeds that finished.
        solving: for each length, the number of seeds that solved it.
        farthest: (seeds,) the largest length that each seed solved, 0 for none.
    """

    label: str
    finished: tuple[int, ...]
    solving: tuple[int, ...]
    farthest: Floats


def solved(run: Run) -> tuple[str, tuple[float, ...], tuple[Solved, ...]]:
    """The swept length's flag, its values in rising order, and a row for each cell; empty where none is swept."""
    swept = [name for name in LENGTHS if any(name in member.varied for member in run.members)]
    name = swept[0] if swept else ""
    judged = [m for m in run.members if is_number(m.varied.get(name)) and solves(m) is not None]
    if not judged:
        return "", (), ()
    lengths = tuple(sorted({float(member.varied[name]) for member in judged}))
    rows: dict[str, list[RunRecord]] = {}
    for member in judged:
        label = " ".join(word for word in member.label.split() if not word.startswith(f"{name}="))
        rows.setdefault(label, []).append(member)
    return name, lengths, tuple(_row(label, name, lengths, members) for label, members in rows.items())


def solves(member: RunRecord) -> bool | None:
    """Whether a member solved its task; None where it has not finished or has no baseline to compare with."""
    result = member.result
    if result is None:
        return None
    if member.task.by_loss:
        return None if member.baseline is None else result.test_loss <= LOSS_SHARE * member.baseline
    return bool((result.test_accuracy if result.accuracy is None else result.accuracy[-1]) >= SOLVED)


def _row(label: str, name: str, lengths: tuple[float, ...], members: list[RunRecord]) -> Solved:
    def count(length: float, solving: bool) -> int:
        return sum(member.varied[name] == length and (not solving or bool(solves(member))) for member in members)

    farthest = [
        max((float(m.varied[name]) for m in members if m.seed == seed and solves(m)), default=0.0)
        for seed in sorted({member.seed for member in members})
    ]
    return Solved(
        label,
        tuple(count(length, False) for length in lengths),
        tuple(count(length, True) for length in lengths),
        np.array(farthest),
    )


def table_rows(run: Run) -> list[list[str]]:
    """The table, its header first; empty where no length is swept."""
    name, lengths, rows = solved(run)
    if not rows:
        return []
    header = [f"cell, by {name}", *map(number, lengths), "largest solved"]
    return [header, *([row.label, *_fractions(row), _farthest(row.farthest)] for row in rows)]


def _fractions(row: Solved) -> list[str]:
    return [
        f"{solving}/{finished}" if finished else "–"
        for solving, finished in zip(row.solving, row.finished, strict=True)
    ]


def _farthest(values: Floats) -> str:
    low, high = number(float(values.min())), number(float(values.max()))
    return number(float(lower_median(values))) + ("" if low == high else f" ({low}–{high})")


def rich_solved(run: Run) -> Table | None:
    """The table for the terminal."""
    rows = table_rows(run)
    if not rows:
        return None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=TITLE, caption=READING, caption_justify="left")
    for index, title in enumerate(rows[0]):
        table.add_column(Text(title), justify="right" if index else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    return table


def sections(run: Run) -> list[Section]:
    """The section of the page."""
    header, *rows = table_rows(run) or [[]]
    return [section(NAME, TITLE, document.table(header, rows), READING)] if rows else []
