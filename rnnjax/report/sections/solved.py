"""How far each cell gets: the largest length of a task that it solves, where a sweep varies that length."""

from dataclasses import dataclass
from html import escape

import numpy as np
from rich import box
from rich.table import Table

from rnnjax.formatting import number
from rnnjax.report.sections.rendering import Section
from rnnjax.report.summary.seed_groups import middle
from rnnjax.report.text.headline import SOLVED
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.typing import Floats

LENGTHS = ("max_distance", "length", "delay")  # flags that say how far back an answer lies
REST = 0.1  # of the baseline's loss, up to which one of numbers or symbols does
NAME, TITLE = "solved", "How far each cell gets"
READING = (
    f"Solved is a task with a test accuracy of at least {SOLVED:.0%} at its largest distance, or, where numbers or "
    f"symbols are wanted, with a test loss of at most {REST:.0%} of what remembering nothing gets. In each field: "
    "seeds that solve it, of those that finished. Last: the largest length that a seed solves, the median seed and, in "
    "brackets, the lowest and highest; 0 for none."
)


@dataclass(frozen=True)
class Solved:
    """One cell with its other settings: for each length (L,) its finished and solving seeds, and how far each gets."""

    label: str
    finished: tuple[int, ...]
    solving: tuple[int, ...]
    farthest: Floats  # (seeds,)


def solved(run: Run) -> tuple[str, tuple[float, ...], tuple[Solved, ...]]:
    """The swept length's flag, its values in rising order, and a row for each cell; nothing where none is swept."""
    swept = [name for name in LENGTHS if any(name in member.varied for member in run.members)]
    done = [member for member in run.members if swept and solves(member) is not None]
    if not done:
        return "", (), ()
    name = swept[0]
    lengths = tuple(sorted({float(member.varied[name]) for member in done}))
    rows: dict[str, list[RunRecord]] = {}
    for member in done:
        rows.setdefault(" ".join(word for word in member.label.split() if not word.startswith(f"{name}=")), []).append(
            member
        )
    return name, lengths, tuple(_row(label, name, lengths, members) for label, members in rows.items())


def solves(member: RunRecord) -> bool | None:
    """Whether a member has learnt its task; None where it has not finished or nothing can tell."""
    result = member.result
    if result is None:
        return None
    if member.task.by_loss:
        return None if member.baseline is None else result.test_loss <= REST * member.baseline
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
    return [header, *([row.label, *_shares(row), _farthest(row.farthest)] for row in rows)]


def _shares(row: Solved) -> list[str]:
    return [f"{right}/{of}" if of else "–" for right, of in zip(row.solving, row.finished, strict=True)]


def _farthest(values: Floats) -> str:
    low, high = number(float(values.min())), number(float(values.max()))
    return number(float(middle(values))) + ("" if low == high else f" ({low}–{high})")


def rich_solved(run: Run) -> Table | None:
    """For the terminal."""
    rows = table_rows(run)
    if not rows:
        return None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=TITLE, caption=READING, caption_justify="left")
    for place, title in enumerate(rows[0]):
        table.add_column(title, justify="right" if place else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def section(run: Run) -> list[Section]:
    """For the page."""
    rows = table_rows(run)
    if not rows:
        return []
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in rows[0])
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(one)}</td>" for one in row[1:])}</tr>'
        for row in rows[1:]
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    html = f'<section id="{NAME}"><h2>{TITLE}</h2><p class="reading">{escape(READING)}</p>{table}</section>'
    return [Section(NAME, TITLE, html)]
