"""The table of a run, one row for each label, for the terminal and for the page."""

import msgspec
from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.data.dataset import Objective
from rnnjax.formatting import join_list, number, percent
from rnnjax.report import document
from rnnjax.report.summary.diagnosis import diagnosed
from rnnjax.report.summary.seed_groups import MIN_EXAMPLES, MIN_SHARE, SeedGroups, seed_groups
from rnnjax.report.summary.task import BEATEN, baselines, by_rmse, curve_split, loss_alone, nouns_of, tasks_of
from rnnjax.report.tables.fields import Field, farthest_distance, first_title, has_ends, header, rows, scores
from rnnjax.runs.run_record import Run

MEMORY = "the cell's memory"
STATE = "the first state of the first scan, by name,"
NOTE = (
    "Half-life: {steps} in which the gradient at {memory} halves (∞: it does not fade). "
    "Reach: how many {steps} back it still has 1% of its strength at the last {step} (≥: as far as was measured). "
    "{many}"
    f"A distance counts as measured where at least {MIN_EXAMPLES} {{examples}} and {MIN_SHARE:.0%} of the training "
    f"batch are so long (of a batch under {MIN_EXAMPLES}: all). "
    "Start and end: the first and the last logged step, with the parameters of that step{scores}. "
    "Of several seeds: the median (of two the lower) for half-life and reach, the mean otherwise; below it the lowest "
    "and highest, or in square brackets the 95% interval of the mean (Student's t)."
)
SCORES = "; {scores} of the parameters that were best in validation"
LOSSES = {
    "training": "; the training loss is that of the last logged step",
    "validation": "; the training loss is that of the last logged step, the validation loss the lowest",
}
MANY_LOGGED = (
    "Where the loss reads more than the last {step}, the gradient adds up over the losses of many and has neither. "
)
MANY_STEPS = (
    "Where the loss reads more than the last {step}, both are of the gradient of one {step}'s own loss, counted from "
    "that {step}, on held-out {examples} (start: before training, end: with the parameters that were best in "
    "validation). "
)
ACCURACY_NOTES = {
    Objective.NUMBER: " A number counts as right within 0.04 (Hochreiter & Schmidhuber 1997); those of a file of "
    "series are counted in standard deviations of the training labels.",
    Objective.SYMBOLS: " Accuracy is the share of symbols that are right.",
    Objective.SIGNALS: " Accuracy is the share of numbers, over all steps, whose sign is right.",
}
ERROR_NOTE = (
    " RMSE and MAE are the root of the mean squared error and the mean absolute error, in the unit of the labels; R² "
    "is the share of the variance of the labels that is predicted (1: all of it, 0: no better than always their mean)."
)
RESTART_NOTE = (
    " Validation and test read the text in streams that begin from the initial state; in training a stream begins "
    "there at the start of an epoch and, with a probability of {share}, in front of any {example}."
)
BELT_NOTE = (
    " Belt share: the part of the gradient that came down the conveyor belt, in percent, averaged over the {steps} "
    "back that at least a quarter of the held-out {examples} have, before training and with the parameters that were "
    "best in validation."
)


def note(groups: SeedGroups) -> str:
    """How the table is read, and what its columns mean."""
    nouns, tasks = nouns_of(groups), tasks_of(groups)
    kinds = dict.fromkeys(task.loss for task in tasks if task.by_loss and not task.by_rmse)
    kinds_of_scores = ["errors"] if any(task.by_rmse for task in tasks) else []
    kinds_of_scores += [f"losses ({kind})" if kind else "losses" for kind in kinds]
    kinds_of_scores += [] if by_rmse(groups) else ["accuracies, in percent,"]
    scores = SCORES.replace("{scores}", f"{join_list(kinds_of_scores)} are".replace("{", "{{").replace("}", "}}"))
    many, memory = MANY_STEPS, MEMORY
    if loss_alone(groups):
        many, memory, scores = MANY_LOGGED, STATE, LOSSES[curve_split(groups)]
    many = "" if all(group.last_step_only for group in groups) else many
    columns = NOTE.replace("{scores}", scores).replace("{many}", many).replace("{memory}", memory)
    text = nouns.fill_template(columns + (BELT_NOTE if diagnosed(groups) else ""))
    with_accuracy = dict.fromkeys(task.objective for task in tasks if not task.by_rmse)
    notes = [ERROR_NOTE] if any(task.by_rmse for task in tasks) else []
    notes += [ACCURACY_NOTES[kind] for kind in with_accuracy if kind in ACCURACY_NOTES]
    shares = dict.fromkeys(task.restarts for task in tasks if task.restarts is not msgspec.UNSET)
    notes += [RESTART_NOTE.format(share=percent(share), example=nouns.example) for share in shares]
    return "".join([text, *notes, _baseline_note(groups)])


def _baseline_note(groups: SeedGroups) -> str:
    losses_of_baselines = list(baselines(groups))
    if not losses_of_baselines:
        return ""
    beaten = f"{join_list(losses_of_baselines)}, the loss of the best prediction without memory"
    if by_rmse(groups):
        beaten = f"that of always giving the mean label, which has an RMSE of {join_list(losses_of_baselines)}"
    return (
        f" Steps to beat baseline: training steps until the first validation whose "
        f"{'mean squared error' if by_rmse(groups) else 'loss'} is below {BEATEN:.0%} of {beaten} (the median "
        "seed; –: never; ≤: at the first validation)."
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
    ends = ["para-\nmeters", *([] if len(columns) > 2 else ["steps/s"])] if has_ends(groups) else []
    titles = [
        first_title(groups),
        *at,
        *(column.short for column in columns),
        "reach\nstart→end",
        "half-life\nstart→end",
        *belt,
    ]
    for index, title in enumerate([*titles, *ends]):
        table.add_column(Text(title), justify="right" if index else "left", overflow="fold")
    for row in rows(groups):
        first = 1 + len(at) + len(columns)
        last = first + 2 * (2 + len(belt))
        reach, *spread = (_joined(*row[index : index + 2]) for index in range(first, last, 2))
        fields = (*row[:first], Field(reach.value), *spread, *row[last : last + len(ends)])
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
