"""The columns of the table of a run: for each cell its values, and below each the spread over the seeds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from rnnjax.formatting import loss, number, short_loss, short_percent
from rnnjax.report.summary.diagnosis import diagnosed, group_layers, has_belt, layer_values, over_seeds
from rnnjax.report.summary.gradient_decay import (
    GradientDecay,
    gradient_decays,
    group_half_lives,
    smallest_lower_bound,
)
from rnnjax.report.summary.seed_groups import (
    SeedGroup,
    SeedGroups,
    accuracy_by_distance,
    lower_median,
    mean,
    results,
)
from rnnjax.report.summary.task import (
    baselines,
    by_rmse,
    curve_split,
    group_steps_to_beat,
    loss_alone,
    nouns_of,
    tasks_of,
)
from rnnjax.report.text.loss import best_losses, last_losses
from rnnjax.runs.member_schema import RunResult
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats


class Field(NamedTuple):
    """One field of a table: its value, and below it, in small print, the spread over the seeds."""

    value: str
    spread: str = ""


@dataclass(frozen=True)
class Score:
    """A column of scores; ``short`` is its title in the terminal."""

    title: str
    short: str
    field: Callable[[SeedGroup], Field]


def header(groups: SeedGroups) -> list[str]:
    """The column titles; that of the accuracy at the largest distance only where distances were measured."""
    farthest = farthest_distance(groups)
    steps = nouns_of(groups).steps
    at = [] if farthest is None else [f"accuracy at {number(farthest)} {steps}"]
    decay = [f"{what} at {when}, {steps}" for what in ("reach", "half-life") for when in STAGES]
    belt = ["belt share at start", "belt share at end"] if diagnosed(groups) else []
    ends = ["parameters", "steps/s"] if has_ends(groups) else []
    return [first_title(groups), *at, *(score.title for score in scores(groups)), *decay, *belt, *ends]


def first_title(groups: SeedGroups) -> str:
    """The title of the column of labels."""
    return "model" if loss_alone(groups) else "cell"


def has_ends(groups: SeedGroups) -> bool:
    """Whether there are the last two columns, parameters and speed, which only trainings by rnnjax record."""
    return not loss_alone(groups)


def scores(groups: SeedGroups) -> list[Score]:
    """The columns of scores: accuracies, losses or errors, whichever is the main score; several where tasks differ."""
    tasks = tasks_of(groups)
    if loss_alone(groups):
        return [LAST_LOSS] if curve_split(groups) == "training" else [BEST_LOSS, LAST_LOSS]
    losses, accuracies = any(task.by_loss for task in tasks), not all(task.by_loss for task in tasks) or not tasks
    result = [*ERRORS] if any(task.by_rmse for task in tasks) else []
    if not by_rmse(groups):
        result += [TEST_LOSS, VALIDATION_LOSS] if losses else []
        result += [TEST_ACCURACY, VALIDATION_ACCURACY] if accuracies else [TEST_ACCURACY]
    return [*result, STEPS_TO_BEAT] if baselines(groups) else result


def rows(groups: SeedGroups) -> list[list[Field]]:
    """One row for each label, its fields in the order of ``header``; a dash where nothing is known (yet)."""
    farthest, columns = farthest_distance(groups), scores(groups)
    moments: tuple[Stage, ...] = STAGES if diagnosed(groups) else ()
    end = None if has_ends(groups) else -2
    return [_row(group, farthest, columns, moments)[:end] for group in groups]


def _row(
    group: SeedGroup, farthest: float | None, columns: list[Score], diagnosed_at: tuple[Stage, ...]
) -> list[Field]:
    parameters = group.members[0].parameters
    finished, members = len(group.finished), len(group.members)
    seeds = f"{members} seed{'' if members == 1 else 's'}" + (f", {finished} finished" if finished < members else "")
    start, end = gradient_decays(group, "start"), gradient_decays(group, "end")
    at = [] if farthest is None else [seeds_field(accuracy_at(group, farthest), mean, short_percent)]
    return [
        Field(group.label, seeds),
        *at,
        *(column.field(group) for column in columns),
        *(_reach_field(decays) for decays in (start, end)),
        *(seeds_field(group_half_lives(group, when), lower_median, number) for when in STAGES),
        *(_share_field(group, when) for when in diagnosed_at),
        Field("–" if parameters is None else f"{parameters:,}"),
        seeds_field(results(group, lambda result: result.steps_per_second), mean, number),
    ]


def _reach_field(decays: list[GradientDecay]) -> Field:
    bound = smallest_lower_bound(decays)
    values = np.array([decay.reach for decay in decays], np.float64)
    return seeds_field(values, lower_median, lambda reach: f"≥ {number(reach)}" if reach >= bound else number(reach))


def seeds_field(
    values: Floats,
    average: Callable[[Floats], Floats],
    write: Callable[[float], str],
    write_ends: Callable[[float], str] | None = None,
) -> Field:
    """The average of the seeds over the lowest and the highest, which are left out where both read the same.

    ``write`` formats the average, ``write_ends`` (by default the same) the lowest and highest.
    """
    write_ends = write_ends or write
    finite = values[~np.isnan(values)]
    if not finite.size:
        return Field("–")
    low, high = write_ends(float(finite.min())), write_ends(float(finite.max()))
    between = " to " if "≥" in high else "–"
    return Field(write(float(average(finite))), "" if low == high else f"{low}{between}{high}")


def _share_field(group: SeedGroup, when: Stage) -> Field:
    """The belt's mean share over the seeds over its interval, or over lowest and highest where it has none.

    It is "none" where it was measured, and the cell has no belt.
    """
    shares = layer_values(group, when, "belt_share")
    if len(shares) and not any(map(has_belt, group_layers(group, when))):
        return Field("none")
    result = over_seeds(shares, most=1.0)
    if np.isnan(result.low):
        return seeds_field(shares, mean, short_percent)
    low, high = short_percent(result.low), short_percent(result.high)
    return Field(short_percent(result.mean), "" if low == high else f"[{low}–{high}]")


def _steps_field(group: SeedGroup) -> Field:
    """The median seed's steps to beat the baseline; a dash where it never does, ≤ where nothing was known before."""
    steps = group_steps_to_beat(group)
    first = max(
        (float(member.validation.steps[0]) for member in group.reported if len(member.validation.steps)), default=0
    )

    def write(value: float) -> str:
        return "never" if np.isinf(value) else f"{'≤ ' if value <= first else ''}{value:,.0f}"

    result = seeds_field(steps, lower_median, write)
    return Field("–" if result.value == "never" else result.value, result.spread.replace("–never", " to never"))


TEST_LOSS = Score(
    "test loss",
    "test\nloss",
    lambda group: seeds_field(results(group, lambda record: record.test_loss), mean, loss, short_loss),
)
VALIDATION_LOSS = Score(
    "validation loss",
    "valida-\ntion",
    lambda group: seeds_field(results(group, lambda record: record.validation_loss), mean, loss, short_loss),
)
TEST_ACCURACY = Score(
    "test accuracy",
    "test\naccuracy",
    lambda group: seeds_field(results(group, lambda record: record.test_accuracy), mean, short_percent),
)
VALIDATION_ACCURACY = Score(
    "validation accuracy",
    "valida-\ntion",
    lambda group: seeds_field(results(group, lambda record: record.validation_accuracy), mean, short_percent),
)


def _errors(split: Literal["test", "validation"], name: Literal["rmse", "mae", "r2"]) -> Callable[[SeedGroup], Field]:
    """The field of one of ``RegressionErrors``, the mean of the seeds; a dash where it was not written."""

    def value(record: RunResult) -> float:
        errors = getattr(record, f"{split}_errors")
        return float("nan") if errors is msgspec.UNSET else getattr(errors, name)

    write, write_ends = (_r2, _r2) if name == "r2" else (loss, short_loss)
    return lambda group: seeds_field(results(group, value), mean, write, write_ends)


def _r2(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


ERRORS = (
    Score("test RMSE", "test\nRMSE", _errors("test", "rmse")),
    Score("test MAE", "test\nMAE", _errors("test", "mae")),
    Score("test R²", "test\nR²", _errors("test", "r2")),
    Score("validation RMSE", "valida-\ntion", _errors("validation", "rmse")),
)
BEST_LOSS = Score(
    "validation loss", "valida-\ntion", lambda group: seeds_field(best_losses(group), mean, loss, short_loss)
)
LAST_LOSS = Score(
    "training loss", "training\nloss", lambda group: seeds_field(last_losses(group), mean, loss, short_loss)
)
STEPS_TO_BEAT = Score("steps to beat baseline", "baseline\nbeaten at", _steps_field)


def farthest_distance(groups: SeedGroups) -> float | None:
    """The largest distance at which the accuracy was measured."""
    measured = [result for group in groups if (result := accuracy_by_distance(group)) is not None]
    return max((float(distances[-1]) for distances, _ in measured), default=None)


def accuracy_at(group: SeedGroup, distance: float) -> Floats:
    """The accuracy of each seed that was measured at this distance (N,)."""
    result = accuracy_by_distance(group)
    if result is None or distance not in result[0]:
        return np.empty(0)
    return result[1][:, int(np.flatnonzero(result[0] == distance)[0])]
