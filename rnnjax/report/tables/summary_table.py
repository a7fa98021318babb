"""The numbers of a run as a table, one row a label: for the terminal and for the page."""

from html import escape

from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.data.dataset import Objective
from rnnjax.formatting import join_list, number
from rnnjax.report.summary.diagnosis import diagnosed
from rnnjax.report.summary.seed_groups import FEWEST, SHARE, SeedGroup, seed_groups
from rnnjax.report.summary.task import BEATEN, baselines, nouns_of, tasks_of
from rnnjax.report.tables.fields import Field, farthest_of, header, rows, scores
from rnnjax.runs.run_record import Run

NOTE = (
    "Half-life: {steps} in which the gradient of what the cell remembers halves (∞: it does not fade). "
    "Reach: how many {steps} back it still has 1% of its strength at the last {step} (≥: as far as was measured). "
    f"A distance counts as measured where at least {FEWEST} {{examples}} and {SHARE:.0%} of the training batch are so "
    f"long (of a batch under {FEWEST}: all). "
    "Start and end: the first and the last logged step, with the parameters of that step; {scores} "
    "of the parameters that were best in validation. "
    "Of several seeds: the median (of two the lower) for half-life and reach, the mean otherwise; below it the lowest "
    "and highest, or in square brackets the 95% interval of the mean (Student's t) where every seed has a number."
)
RIGHT = {
    Objective.NUMBER: " A number counts as right within 0.04 (Hochreiter & Schmidhuber 1997); those of a file of "
    "series are counted in standard deviations of the training labels.",
    Objective.SYMBOLS: " Accuracy is the share of symbols that are right.",
}
BELT_NOTE = (
    " Belt share: the part of the gradient that came down the conveyor belt, in percent, averaged over all {steps} "
    "back; of held-out {examples}, before training and with the parameters that were best in validation."
)


def note(labels: tuple[SeedGroup, ...]) -> str:
    """How the table is read."""
    nouns, tasks = nouns_of(labels), tasks_of(labels)
    kinds = dict.fromkeys(task.loss for task in tasks if task.by_loss)
    losses = [f"losses ({kind})" if kind else "losses" for kind in kinds]
    scores = f"{join_list([*losses, 'accuracies, in percent,'])} are"
    told = nouns.fill_template(NOTE.replace("{scores}", scores) + (BELT_NOTE if diagnosed(labels) else ""))
    right = [RIGHT[kind] for kind in dict.fromkeys(task.objective for task in tasks) if kind in RIGHT]
    return "".join([told, *right, _beaten_note(labels)])


def _beaten_note(labels: tuple[SeedGroup, ...]) -> str:
    known = list(baselines(labels))
    if not known:
        return ""
    return (
        f" Steps to beat baseline: training steps until the first validation whose loss is below {BEATEN:.0%} of "
        f"{join_list(known)}, which the best answer that remembers nothing gets (the median seed; –: never)."
    )


def rich_table(run: Run) -> Table:
    """The table for ``rich.print``, for 120 columns: start and end share a field; a reach's spread is on the page.

    So is the speed, where there is a column of steps to beat the baseline, or of losses.
    """
    labels = seed_groups(run)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, caption=note(labels), caption_justify="left")
    farthest = farthest_of(labels)
    at = [] if farthest is None else [f"at {number(farthest)}\n{nouns_of(labels).steps}"]
    belt = ["belt share\nstart→end"] if diagnosed(labels) else []
    columns = scores(labels)
    speed = [] if len(columns) > 2 else ["steps/s"]
    titles = ["cell", *at, *(one.short for one in columns), "reach\nstart→end", "half-life\nstart→end", *belt]
    for place, title in enumerate([*titles, "para-\nmeters", *speed]):
        table.add_column(Text(title), justify="right" if place else "left", overflow="fold")
    for row in rows(labels):
        before = len(row) - 2 - 2 * (2 + len(belt))
        reach, *spread = (_joined(*row[place : place + 2]) for place in range(before, len(row) - 2, 2))
        fields = (*row[:before], Field(reach.value), *spread, row[-2], *row[-1:][: len(speed)])
        table.add_row(*(_two_lines(field) for field in fields))
    return table


def _joined(start: Field, end: Field) -> Field:
    """Start and end in one field: "6.4 → 6.7", below it their spreads where either has one."""
    spread = f"{start.spread or start.value} → {end.spread or end.value}" if start.spread or end.spread else ""
    return Field(f"{start.value} → {end.value}".replace("≥ ", "≥"), spread)


def _two_lines(field: Field) -> Text:
    text = Text(field.value)
    return text.append(f"\n{field.spread}", style="dim") if field.spread else text


def html_table(run: Run) -> str:
    """The table as HTML, everything in it escaped."""
    labels = seed_groups(run)
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in header(labels))
    body = "".join(
        f"<tr>{''.join(_html_field(place, field) for place, field in enumerate(row))}</tr>" for row in rows(labels)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_field(place: int, field: Field) -> str:
    spread = f"<small>{escape(field.spread)}</small>" if field.spread else ""
    tag, scope = ("th", ' scope="row"') if place == 0 else ("td", "")
    return f"<{tag}{scope}>{escape(field.value)}{spread}</{tag}>"
