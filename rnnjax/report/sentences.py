"""What a run shows, in sentences computed from its numbers: the verdict, what was learnt, and what is missing."""

from typing import NamedTuple

import numpy as np

from rnnjax.report.run import Member, Run, Scores
from rnnjax.report.summary import Group, accuracy_by_distance, mean, results
from rnnjax.report.wording import at_least, at_most, listed, percent, percents, words

SOLVED, GUESSING = 0.95, 0.60  # accuracies of a yes-or-no question
MOST = 5  # cells that a headline lists by name


class Said(NamedTuple):
    """What a figure shows of one cell; every ``text`` is whole sentences of which the label is the heading."""

    label: str
    text: str


def verdict(labels: tuple[Group, ...]) -> str:
    """The headline: who still knows the farthest word, or, without distances, who judges reviews best."""
    by_distance = {group.label: found for group in labels if (found := accuracy_by_distance(group)) is not None}
    if by_distance:
        farthest = max(distances[-1] for distances, _ in by_distance.values())
        at_farthest = {
            label: accuracies[:, -1]
            for label, (distances, accuracies) in by_distance.items()
            if distances[-1] == farthest and not np.isnan(accuracies[:, -1]).all()
        }
        return _who_remembers(farthest, at_farthest) if at_farthest else "The test accuracies are not numbers."
    tested = [(group, results(group, lambda result: result.test_accuracy)) for group in labels if group.finished]
    known = [(group.label, accuracy) for group, accuracy in tested if not np.isnan(accuracy).all()]
    if not known:
        return "No cell has finished its training yet, so there is no test accuracy to compare."
    known.sort(key=lambda pair: -float(mean(pair[1])))
    (best, accuracy), *others = known
    rest = [f"the {label} {percent(float(mean(values)))}" for label, values in others]
    first = f"The {best} judges {percent(float(mean(accuracy)))} of the test reviews right"
    return f"{first}, {_some(rest)}." if rest else f"{first}."


def _who_remembers(farthest: float, accuracies: dict[str, np.ndarray]) -> str:
    kinds: dict[str, list[str]] = {"solved": [], "partly": [], "guessing": []}
    best_first = sorted(accuracies.items(), key=lambda pair: -float(mean(pair[1])))
    for label, values in best_first if len(accuracies) > MOST else accuracies.items():
        kind = "solved" if values.min() >= SOLVED else "guessing" if values.max() <= GUESSING else "partly"
        kinds[kind].append(
            f"the {label} ({percent(float(mean(values))) if kind != 'partly' else percents(values)} right)"
        )
    does = {
        "solved": ("still knows it", "still know it"),
        "partly": ("knows it only partly, or only from some seeds", "know it only partly, or only from some seeds"),
        "guessing": ("does hardly better than guessing", "do hardly better than guessing"),
    }
    clauses = [f"{_some(who)} {does[kind][len(who) > 1]}" for kind, who in kinds.items() if who]
    return f"Asked about a word {words(farthest)} back, " + "; ".join(clauses) + "."


def _some(who: list[str]) -> str:
    """The list, or its beginning where a headline has no room for all of it."""
    return listed(who if len(who) <= MOST else [*who[: MOST - 1], f"{len(who) - MOST + 1} others"])


def distances(labels: tuple[Group, ...]) -> list[Said]:
    """Under accuracy against distance: up to where each cell knows the answer."""
    measured = [(group.label, found) for group in labels if (found := accuracy_by_distance(group)) is not None]
    return [Said(label, f"{_far(*found)}.") for label, found in measured]


def _far(distance: np.ndarray, accuracies: np.ndarray) -> str:
    known = ~np.isnan(accuracies).all(axis=0)
    if not known.any():
        return "Has no accuracy that is a number"
    distance, right = distance[known], mean(accuracies)[known]
    seeds = accuracies[:, known][:, -1]
    low, high = float(right.min()), float(right.max())
    tested, last = "at every distance tested", words(distance[-1])
    if low >= SOLVED and np.nanmin(seeds) >= SOLVED:
        often = "all" if low == 1 else f"at least {at_least(low)} of"
        return f"Is right in {often} cases {tested}, up to {last}"
    if high <= GUESSING and np.nanmax(seeds) <= GUESSING:
        return f"Does hardly better than guessing {tested} (at most {at_most(high)})"
    disagree = percent(float(np.nanmin(seeds))) != percent(float(np.nanmax(seeds)))
    at_last = f", and in {percents(seeds)} at {last}{', depending on the seed' if disagree else ''}"
    if low < SOLVED <= right[0]:
        upto = words(distance[int(np.argmax(right < SOLVED)) - 1])
        return f"Is right in at least {SOLVED:.0%} of cases {tested} up to {upto}{at_last}"
    if percent(low) != percent(high):
        return f"Is right in {percent(low)} to {percent(high)} of cases {tested}{at_last}"
    return f"Is right in {percent(low)} of cases {tested}{at_last if disagree else ''}"


def learning(labels: tuple[Group, ...]) -> list[Said]:
    """Under the learning curves: the best validation accuracy and when it came."""
    found = [(group.label, [best for member in group.members if (best := _best(member))]) for group in labels]
    return [Said(label, _peaks(best)) for label, best in found if best]


def _peaks(best: list[tuple[float, int]]) -> str:
    steps = sorted({step for _, step in best})
    when = f"at step {steps[0]:,}" if len(steps) == 1 else f"between steps {steps[0]:,} and {steps[-1]:,}"
    seeds = "" if len(best) == 1 else f" (mean of {len(best)} seeds)"
    return f"Best validation accuracy {percent(float(np.mean([right for right, _ in best])))}{seeds}, {when}."


def _best(member: Member) -> tuple[float, int] | None:
    accuracy = member.validation.accuracy
    if np.isnan(accuracy).all():
        return None
    return float(np.nanmax(accuracy)), int(member.validation.steps[np.nanargmax(accuracy)])


def missing(run: Run, labels: tuple[Group, ...]) -> list[str]:
    """What a run that was killed, is still going or diverged has not got; empty for a whole run."""
    notes = [f"{name} has not begun." for name in run.unborn]
    for member in (member for group in labels for member in group.members):
        who = f"{member.label}, seed {member.seed},"
        last = max([0, *member.train.steps, *member.validation.steps])
        broken = [int(step) for scores in (member.train, member.validation) for step in _not_finite(scores)]
        if member.failure is not None:
            notes.append(member.failure)
        elif broken:
            notes.append(f"{who} diverged: its loss was not a finite number at step {min(broken):,}.")
        if member.result is None and member.failure is None:
            notes.append(f"{who} has not finished: its last record is of step {last:,} of {member.steps:,}.")
        if not member.gradients:
            notes.append(f"{who} has no gradient log.")
    return notes


def _not_finite(scores: Scores) -> np.ndarray:
    return scores.steps[~np.isfinite(scores.loss)]
