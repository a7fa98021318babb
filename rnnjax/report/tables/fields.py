"""What stands in the table: for each cell its numbers and, below each, how far the seeds are apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnjax.formatting import loss, number, short_loss, short_percent
from rnnjax.report.summary.diagnosis import diagnosed, half_lives, numbers, over_seeds
from rnnjax.report.summary.seed_groups import (
    Fade,
    SeedGroup,
    accuracy_by_distance,
    fades,
    mean,
    middle,
    open_from,
    results,
)
from rnnjax.report.summary.task import all_steps_to_beat, baselines, nouns_of, tasks_of
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats


@dataclass(frozen=True)
class Field:
    """One field of the table: its value, and below it the spread over the seeds."""

    value: str
    spread: str = ""


@dataclass(frozen=True)
class Score:
    """A column of what was achieved; ``short`` is its title in the terminal."""

    title: str
    short: str
    field: Callable[[SeedGroup], Field]


def header(labels: tuple[SeedGroup, ...]) -> list[str]:
    """Column titles; accuracy at the largest distance only where distances were measured."""
    farthest = farthest_of(labels)
    steps = nouns_of(labels).steps
    at = [] if farthest is None else [f"accuracy at {number(farthest)} {steps}"]
    fading = [f"{what} at {when}, {steps}" for what in ("reach", "half-life") for when in STAGES]
    belt = ["belt share at start", "belt share at end"] if diagnosed(labels) else []
    return ["cell", *at, *(score.title for score in scores(labels)), *fading, *belt, "parameters", "steps/s"]


def scores(labels: tuple[SeedGroup, ...]) -> list[Score]:
    """The columns of what was achieved: accuracies, or losses where they are the main score, or both side by side."""
    tasks = tasks_of(labels)
    lossy, right = any(task.by_loss for task in tasks), not all(task.by_loss for task in tasks) or not tasks
    found = [TEST_LOSS, VALIDATION_LOSS] if lossy else []
    found += [TEST_ACCURACY, VALIDATION_ACCURACY] if right else [TEST_ACCURACY]
    return [*found, STEPS_TO_BEAT] if baselines(labels) else found


def rows(labels: tuple[SeedGroup, ...]) -> list[list[Field]]:
    """One row a label, in the order of ``header``; a dash stands for what is not known (yet)."""
    farthest, columns = farthest_of(labels), scores(labels)
    moments: tuple[Stage, ...] = STAGES if diagnosed(labels) else ()
    return [_row(group, farthest, columns, moments) for group in labels]


def _row(
    group: SeedGroup, farthest: float | None, columns: list[Score], diagnosed_at: tuple[Stage, ...]
) -> list[Field]:
    done, begun = len(group.finished), len(group.members)
    seeds = f"{begun} seed{'' if begun == 1 else 's'}" + (f", {done} finished" if done < begun else "")
    start, end = fades(group, "start"), fades(group, "end")
    at = [] if farthest is None else [several(accuracy_at(group, farthest), mean, short_percent)]
    return [
        Field(group.label, seeds),
        *at,
        *(column.field(group) for column in columns),
        *(_reaches(found) for found in (start, end)),
        *(_interval(half_lives(group, when), middle, number) for when in STAGES),
        *(_interval(numbers(group, when, "belt_share"), mean, short_percent, most=1.0) for when in diagnosed_at),
        Field(f"{group.members[0].parameters:,}"),
        several(results(group, lambda result: result.steps_per_second), mean, number),
    ]


def _reaches(found: list[Fade]) -> Field:
    bound = open_from(found)
    reaches = np.array([fade.reach for fade in found], np.float64)
    return several(reaches, middle, lambda reach: f"≥ {number(reach)}" if reach >= bound else number(reach))


def several(
    values: Floats,
    reduce: Callable[[Floats], Floats],
    form: Callable[[float], str],
    ends: Callable[[float], str] | None = None,
) -> Field:
    """The seeds in one field; lowest and highest, as ``ends`` writes them, are left out where they read the same."""
    ends = ends or form
    known = values[~np.isnan(values)]
    if not known.size:
        return Field("–")
    low, high = ends(float(known.min())), ends(float(known.max()))
    between = " to " if "≥" in high else "–"
    return Field(form(float(reduce(known))), "" if low == high else f"{low}{between}{high}")


def _interval(
    values: Floats, reduce: Callable[[Floats], Floats], form: Callable[[float], str], most: float = np.inf
) -> Field:
    """The seeds in one field with the interval of their mean, lowest and highest where it has none."""
    found = over_seeds(values, most=most)
    if np.isnan(found.low):
        return several(values, reduce, form)
    low, high = form(found.low), form(found.high)
    return Field(form(float(reduce(values))), "" if low == high else f"[{low}–{high}]")


def _beaten(group: SeedGroup) -> Field:
    """The median seed's steps to beat the baseline; a dash where that seed never does."""
    steps = all_steps_to_beat(group)
    found = several(steps, middle, lambda value: "never" if np.isinf(value) else f"{value:,.0f}")
    return Field("–" if found.value == "never" else found.value, found.spread.replace("–never", " to never"))


TEST_LOSS = Score(
    "test loss", "test\nloss", lambda group: several(results(group, lambda one: one.test_loss), mean, loss, short_loss)
)
VALIDATION_LOSS = Score(
    "validation loss",
    "valida-\ntion",
    lambda group: several(results(group, lambda one: one.validation_loss), mean, loss, short_loss),
)
TEST_ACCURACY = Score(
    "test accuracy",
    "test\naccuracy",
    lambda group: several(results(group, lambda one: one.test_accuracy), mean, short_percent),
)
VALIDATION_ACCURACY = Score(
    "validation accuracy",
    "valida-\ntion",
    lambda group: several(results(group, lambda one: one.validation_accuracy), mean, short_percent),
)
STEPS_TO_BEAT = Score("steps to beat baseline", "baseline\nbeaten at", _beaten)


def farthest_of(labels: tuple[SeedGroup, ...]) -> float | None:
    """The largest distance at which the accuracy was measured."""
    measured = [found for group in labels if (found := accuracy_by_distance(group)) is not None]
    return max((float(distances[-1]) for distances, _ in measured), default=None)


def accuracy_at(group: SeedGroup, distance: float) -> Floats:
    """The accuracy of each seed that was measured at this distance (N,)."""
    found = accuracy_by_distance(group)
    if found is None or distance not in found[0]:
        return np.empty(0)
    return found[1][:, int(np.flatnonzero(found[0] == distance)[0])]
