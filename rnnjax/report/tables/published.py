"""Figures from the literature beside those of a run's own cells, on the page and in the terminal."""

from collections.abc import Callable
from html import escape

from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.formatting import loss, short_percent
from rnnjax.report import document
from rnnjax.report.sections.rendering import Section
from rnnjax.report.summary.seed_groups import SeedGroup, mean, results, seed_groups
from rnnjax.report.tables.fields import several
from rnnjax.runs.member_schema import RunResult
from rnnjax.runs.published import Published
from rnnjax.runs.run_record import Run

NAME, TITLE = "published", "Published figures"
READING = (
    "What others report for this task beside what the same kind of cell reached here: the mean over the seeds, below "
    "it the lowest and highest. Accuracies are in percent. The settings differ where they say so, and in sizes and "
    "lengths of training besides."
)
HEAD = ("model", "setting", "score", "published", "here", "source")
SCORES: dict[str, tuple[Callable[[RunResult], float], Callable[[float], str]]] = {
    "test accuracy": (lambda result: result.test_accuracy, short_percent),
    "test loss": (lambda result: result.test_loss, loss),
    "validation accuracy": (lambda result: result.validation_accuracy, short_percent),
    "validation loss": (lambda result: result.validation_loss, loss),
}


def rows(run: Run) -> list[list[tuple[str, str]]]:
    """One row a published figure, in the order of ``HEAD``, of each field its text and what stands below it."""
    return [
        [(one.model, ""), (one.setting, ""), (one.score, ""), (_form(one)(one.value), ""), here, (one.source, "")]
        for one in run.task.published
        for here in _here(one, seed_groups(run))
    ]


def _form(one: Published) -> Callable[[float], str]:
    return SCORES[one.score][1] if one.score in SCORES else "{:g}".format


def _here(one: Published, labels: tuple[SeedGroup, ...]) -> list[tuple[str, str]]:
    """What each label of the same cell reached, named where there are several; a dash where there is none."""
    if one.cell is None or one.score not in SCORES:
        return [("–", "")]
    value, form = SCORES[one.score]
    alike = [group for group in labels if group.finished and group.members[0].cell == one.cell]
    found = [(group.label, several(results(group, value), mean, form)) for group in alike]
    return [(f"{label}: {told.value}" if len(found) > 1 else told.value, told.spread) for label, told in found] or [
        ("–", "")
    ]


def section(run: Run) -> list[Section]:
    """The section of the page, everything in it escaped; none where nothing is published."""
    if not run.task.published:
        return []
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in HEAD)
    body = "".join(f"<tr>{''.join(map(_html_field, range(len(HEAD)), row))}</tr>" for row in rows(run))
    table = document.table(
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        READING,
        "task.json and members/*/result.json",
    )
    return [Section(NAME, TITLE, f'<section id="{NAME}"><h2>{TITLE}</h2>{table}</section>')]


def _html_field(place: int, field: tuple[str, str]) -> str:
    value, below = (escape(text) for text in field)
    small = f"<small>{below}</small>" if below else ""
    tag, scope = ("td", "") if place else ("th", ' scope="row"')
    return f"<{tag}{scope}>{value}{small}</{tag}>"


def rich_published(run: Run) -> Table | None:
    """The same for ``rich.print``; None where nothing is published."""
    if not run.task.published:
        return None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=TITLE, title_justify="left")
    for title in HEAD:
        table.add_column(Text(title), justify="right" if title in ("published", "here") else "left", overflow="fold")
    for row in rows(run):
        table.add_row(*(Text(f"{value} ({below})" if below else value) for value, below in row))
    return table
