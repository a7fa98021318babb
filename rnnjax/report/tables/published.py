"""Figures from the literature beside those of a run's own cells, on the page and in the terminal."""

from collections.abc import Callable

from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.formatting import loss, short_percent
from rnnjax.report import document
from rnnjax.report.sections.rendering import Section, section
from rnnjax.report.summary.seed_groups import SeedGroups, mean, results, seed_groups
from rnnjax.report.tables.fields import Field, seeds_field
from rnnjax.runs.member_schema import RunResult
from rnnjax.runs.published import Published
from rnnjax.runs.run_record import Run

NAME, TITLE = "published", "Published figures"
READING = (
    "What others report for this task beside what the same kind of cell reached here: the mean over the seeds, below "
    "it the lowest and highest. Accuracies are in percent. The settings differ where they say so, and in sizes and "
    "lengths of training besides."
)
HEADER = ("model", "setting", "score", "published", "here", "source")
SCORES: dict[str, tuple[Callable[[RunResult], float], Callable[[float], str]]] = {
    "test accuracy": (lambda result: result.test_accuracy, short_percent),
    "test loss": (lambda result: result.test_loss, loss),
    "validation accuracy": (lambda result: result.validation_accuracy, short_percent),
    "validation loss": (lambda result: result.validation_loss, loss),
}


def rows(run: Run) -> list[list[Field]]:
    """The fields of each row in the order of ``HEADER``: a row for each published figure and cell that it is about."""
    return [
        [
            Field(figure.model),
            Field(figure.setting),
            Field(figure.score),
            Field(_write(figure)(figure.value)),
            own,
            Field(figure.source),
        ]
        for figure in run.task.published
        for own in _own_scores(figure, seed_groups(run))
    ]


def _write(figure: Published) -> Callable[[float], str]:
    return SCORES[figure.score][1] if figure.score in SCORES else "{:g}".format


def _own_scores(figure: Published, groups: SeedGroups) -> list[Field]:
    """The scores of each label of the same cell, named where there are several; a dash where there is none."""
    if figure.cell is None or figure.score not in SCORES:
        return [Field("–")]
    value, write = SCORES[figure.score]
    same_cell = [group for group in groups if group.finished and group.members[0].cell == figure.cell]
    fields = [(group.label, seeds_field(results(group, value), mean, write)) for group in same_cell]
    if len(fields) > 1:
        return [Field(f"{label}: {field.value}", field.spread) for label, field in fields]
    return [field for _, field in fields] or [Field("–")]


def sections(run: Run) -> list[Section]:
    """The section of the page; none where nothing is published."""
    if not run.task.published:
        return []
    table = document.table(HEADER, rows(run), note=READING, source="task.json and members/*/result.json")
    return [section(NAME, TITLE, table)]


def rich_published(run: Run) -> Table | None:
    """The table for ``rich.print``; None where nothing is published."""
    if not run.task.published:
        return None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=TITLE, title_justify="left")
    for title in HEADER:
        table.add_column(Text(title), justify="right" if title in ("published", "here") else "left", overflow="fold")
    for row in rows(run):
        table.add_row(*(Text(f"{value} ({spread})" if spread else value) for value, spread in row))
    return table
