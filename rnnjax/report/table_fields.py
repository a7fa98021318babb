"""What stands in the table: for each cell its numbers and, below each, how far the seeds are apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnnjax.report.diagnosis_summary import diagnosed, half_lives, numbers, over_seeds
from rnnjax.report.json_files import Floats
from rnnjax.report.member import MOMENTS, Moment
from rnnjax.report.summary import Fade, Group, accuracy_by_distance, fades, mean, middle, open_from, results
from rnnjax.report.wording import number, short_percent


@dataclass(frozen=True)
class Field:
    """One field of the table: its value, and below it the spread over the seeds."""

    value: str
    spread: str = ""


def header(labels: tuple[Group, ...]) -> list[str]:
    """Column titles; accuracy at the largest distance only where distances were measured."""
    farthest = farthest_of(labels)
    at = [] if farthest is None else [f"accuracy at {number(farthest)} words"]
    fading = ["reach at start, words", "reach at end, words", "half-life at start, words", "half-life at end, words"]
    belt = ["belt share at start", "belt share at end"] if diagnosed(labels) else []
    return ["cell", *at, "test accuracy", "validation accuracy", *fading, *belt, "parameters", "steps/s"]


def rows(labels: tuple[Group, ...]) -> list[list[Field]]:
    """One row a label, in the order of ``header``; a dash stands for what is not known (yet)."""
    farthest = farthest_of(labels)
    moments: tuple[Moment, ...] = MOMENTS if diagnosed(labels) else ()
    return [_row(group, farthest, moments) for group in labels]


def _row(group: Group, farthest: float | None, diagnosed_at: tuple[Moment, ...]) -> list[Field]:
    done, begun = len(group.finished), len(group.members)
    seeds = f"{begun} seed{'' if begun == 1 else 's'}" + (f", {done} finished" if done < begun else "")
    start, end = fades(group, "start"), fades(group, "end")
    at = [] if farthest is None else [_several(accuracy_at(group, farthest), mean, short_percent)]
    return [
        Field(group.label, seeds),
        *at,
        _several(results(group, lambda result: result.test_accuracy), mean, short_percent),
        _several(results(group, lambda result: result.validation_accuracy), mean, short_percent),
        *(_reaches(found) for found in (start, end)),
        *(_interval(half_lives(group, when), middle, number) for when in MOMENTS),
        *(_interval(numbers(group, when, "belt_share"), mean, short_percent, most=1.0) for when in diagnosed_at),
        Field(f"{group.members[0].parameters:,}"),
        _several(results(group, lambda result: result.steps_per_second), mean, number),
    ]


def _reaches(found: list[Fade]) -> Field:
    bound = open_from(found)
    reaches = np.array([fade.reach for fade in found], np.float64)
    return _several(reaches, middle, lambda reach: f"≥ {number(reach)}" if reach >= bound else number(reach))


def _several(values: Floats, reduce: Callable[[Floats], Floats], form: Callable[[float], str]) -> Field:
    """The seeds in one field; lowest and highest are left out where they read the same."""
    known = values[~np.isnan(values)]
    if not known.size:
        return Field("–")
    low, high = form(float(known.min())), form(float(known.max()))
    between = " to " if "≥" in high else "–"
    return Field(form(float(reduce(known))), "" if low == high else f"{low}{between}{high}")


def _interval(
    values: Floats, reduce: Callable[[Floats], Floats], form: Callable[[float], str], most: float = np.inf
) -> Field:
    """The seeds in one field with the interval of their mean, lowest and highest where it has none."""
    found = over_seeds(values, most=most)
    if np.isnan(found.low):
        return _several(values, reduce, form)
    low, high = form(found.low), form(found.high)
    return Field(form(float(reduce(values))), "" if low == high else f"[{low}–{high}]")


def farthest_of(labels: tuple[Group, ...]) -> float | None:
    """The largest distance at which the accuracy was measured."""
    measured = [found for group in labels if (found := accuracy_by_distance(group)) is not None]
    return max((float(distances[-1]) for distances, _ in measured), default=None)


def accuracy_at(group: Group, distance: float) -> Floats:
    """The accuracy of each seed that was measured at this distance (N,)."""
    found = accuracy_by_distance(group)
    if found is None or distance not in found[0]:
        return np.empty(0)
    return found[1][:, int(np.flatnonzero(found[0] == distance)[0])]
