"""The table of a run, one row for each label, for the terminal and for the page."""

from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.data.dataset import Objective
from rnnjax.formatting import join_list, number
from rnnjax.report import document
from rnnjax.report.summary.diagnosis import diagnosed
from rnnjax.report.summary.seed_groups import MIN_EXAMPLES, MIN_SHARE, SeedGroups, seed_groups
from rnnjax.report.summary.task import BEATEN, baselines, nouns_of, tasks_of
from rnnjax.report.tables.fields import Field, farthest_distance, header, rows, scores
from rnnjax.runs.run_record import Run

NOTE = (
    "Half-life: {steps} in which the gradient at the cell's memory halves (∞: it does not fade). "
    "Reach: how many {steps} back it still has 1% of its strength at the last {step} (≥: as far as was measured). "
    f"A distance counts as measured where at least {MIN_EXAMPLES} {{examples}} and {MIN_SHARE:.0%} of the training "
    f"batch are so long (of a batch under {MIN_EXAMPLES}: all). "
    "Start and end: the first and the last logged step, with the parameters of that step; {scores} "
    "of the parameters that were best in validation. "
    "Of several seeds: the median (of two the lower) for half-life and reach, the mean otherwise; below it the lowest "
    "and highest, or in square brackets the 95% interval of the mean (Student's t) where every seed has a number."
)
ACCURACY_NOTES = {
    "number": " A number counts as right within 0.04 (Hochreiter & Schmidhuber 1997); those of a file of "
    "series are counted in standard deviations of the training labels.",
    Objective.SYMBOLS: " Accuracy is the share of symbols that are right.",
}
BELT_NOTE = (
    " Belt share: the part of the gradient that came down the conveyor belt, in percent, averaged over all {steps} "
    "back; of held-out {examples}, before training and with the parameters that were best in validation."
)


def note(groups: SeedGroups) -> str:
    """How the table is read, and what its columns mean."""
    nouns, tasks = nouns_of(groups), tasks_of(groups)
    kinds = dict.fromkeys(task.loss for task in tasks if task.by_loss)
    losses = [f"losses ({kind})" if kind else "losses" for kind in kinds]
    scores = f"{join_list([*losses, 'accuracies, in percent,'])} are"
    text = nouns.fill_template(
        NOTE.replace("{scores}", scores.replace("{", "{{").replace("}", "}}"))
        + (BELT_NOTE if diagnosed(groups) else "")
    )
    accuracy_notes = [
        ACCURACY_NOTES[kind] for kind in dict.fromkeys(task.objective for task in tasks) if kind in ACCURACY_NOTES
    ]
    return "".join([text, *accuracy_notes, _baseline_note(groups)])


def _baseline_note(groups: SeedGroups) -> str:
    losses_of_baselines = list(baselines(groups))
    if not losses_of_baselines:
        return ""
    return (
        f" Steps to beat baseline: training steps until the first validation whose loss is below {BEATEN:.0%} of "
        f"{join_list(losses_of_baselines)}, the loss of the best prediction without memory (the median "
        "seed; –: never)."
    )


def rich_table(run: Run) -> Table:
    """The table for ``rich.print``, for 120 columns, with start and end in one field.

    The page has more: the spread of a reach, and the speed where there are more than two columns of scores.
    """
    groups = seed_groups(run)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, caption=note(groups), caption_justify="left")
    farthest = farthest_distance(groups)
    at = [] if farthest is None else [f"at {number(farthest)}\n{nouns_of(groups).steps}"]
    belt = ["belt share\nstart→end"] if diagnosed(groups) else []
    columns = scores(groups)
    speed = [] if len(columns) > 2 else ["steps/s"]
    titles = ["cell", *at, *(column.short for column in columns), "reach\nstart→end", "half-life\nstart→end", *belt]
    for index, title in enumerate([*titles, "para-\nmeters", *speed]):
        table.add_column(Text(title), justify="right" if index else "left", overflow="fold")
    for row in rows(groups):
        first = len(row) - 2 - 2 * (2 + len(belt))
        reach, *spread = (_joined(*row[index : index + 2]) for index in range(first, len(row) - 2, 2))
        fields = (*row[:first], Field(reach.value), *spread, row[-2], *row[-1:][: len(speed)])
        table.add_row(*(_two_lines(field) for field in fields))
    return table


def _joined(start: Field, end: Field) -> Field:
    """Start and end in one field: "6.4 → 6.7", below it their spreads where either has one."""
    spread = f"{start.spread or start.value} → {end.spread or end.value}" if start.spread or end.spread else ""
    return Field(f"{start.value} → {end.value}".replace("≥ ", "≥"), spread)


def _two_lines(field: Field) -> Text:
    text = Text(field.value)
    return text.append(f"\n{field.spread}", style="dim") if field.spread else text


def html_table(run: Run, source: str) -> Markup:
    """The table for the page; ``source`` is the files that its numbers are from."""
    groups = seed_groups(run)
    return document.table(header(groups), rows(groups), legend=note(groups), source=source) if groups else Markup()
