"""What a run shows, in sentences computed from its numbers: the verdict, what was learnt, and what is missing."""

from typing import NamedTuple

import numpy as np

from rnnjax.formatting import MOST, Nouns, at_least, at_most, listed_briefly, loss, percent, percents
from rnnjax.report.summary.seed_groups import SeedGroup, accuracy_by_distance, mean, results
from rnnjax.report.summary.task import by_loss, chance, nouns_of
from rnnjax.report.text.loss import best_loss, verdict_by_loss
from rnnjax.runs.run_record import Run, RunRecord, ScoreHistory

SOLVED = 0.95  # accuracy from which a task counts as solved
HARDLY = 1.2  # times the accuracy of guessing: up to there nothing was learnt


class Said(NamedTuple):
    """What a figure shows of one cell; every ``text`` is whole sentences of which the label is the heading."""

    label: str
    text: str


def verdict(labels: tuple[SeedGroup, ...]) -> str:
    """The headline: who still knows the farthest step, or, without distances, who has the best test score."""
    by_distance = {group.label: found for group in labels if (found := accuracy_by_distance(group)) is not None}
    if by_distance:
        farthest = max(distances[-1] for distances, _ in by_distance.values())
        at_farthest = {
            label: accuracies[:, -1]
            for label, (distances, accuracies) in by_distance.items()
            if distances[-1] == farthest and not np.isnan(accuracies[:, -1]).all()
        }
        if not at_farthest:
            return "The test accuracies are not numbers."
        return _who_remembers(farthest, at_farthest, nouns_of(labels), _guessing(labels))
    if by_loss(labels):
        return verdict_by_loss(labels)
    tested = [(group, results(group, lambda result: result.test_accuracy)) for group in labels if group.finished]
    known = [(group.label, accuracy) for group, accuracy in tested if not np.isnan(accuracy).all()]
    if not known:
        return "No cell has finished its training yet, so there is no test accuracy to compare."
    known.sort(key=lambda pair: -float(mean(pair[1])))
    (best, accuracy), *others = known
    rest = [f"the {label} {percent(float(mean(values)))}" for label, values in others]
    first = f"The {best} judges {percent(float(mean(accuracy)))} of the test {nouns_of(labels).examples} right"
    return f"{first}, {listed_briefly(rest)}." if rest else f"{first}."


def _who_remembers(farthest: float, accuracies: dict[str, np.ndarray], nouns: Nouns, guessing: float) -> str:
    kinds: dict[str, list[str]] = {"solved": [], "partly": [], "guessing": []}
    best_first = sorted(accuracies.items(), key=lambda pair: -float(mean(pair[1])))
    for label, values in best_first if len(accuracies) > MOST else accuracies.items():
        kind = "solved" if values.min() >= SOLVED else "guessing" if values.max() <= guessing else "partly"
        kinds[kind].append(
            f"the {label} ({percent(float(mean(values))) if kind != 'partly' else percents(values)} right)"
        )
    does = {
        "solved": ("still knows it", "still know it"),
        "partly": ("knows it only partly, or only from some seeds", "know it only partly, or only from some seeds"),
        "guessing": ("does hardly better than guessing", "do hardly better than guessing"),
    }
    clauses = [f"{listed_briefly(who)} {does[kind][len(who) > 1]}" for kind, who in kinds.items() if who]
    return f"Asked about {nouns.fill_template('{a_step}')} {nouns.far(farthest)} back, " + "; ".join(clauses) + "."


def _guessing(labels: tuple[SeedGroup, ...]) -> float:
    """The accuracy up to which a cell does hardly better than guessing; 0 where guessing has none that is known."""
    return HARDLY * (chance(labels) or 0.0)


def distances(labels: tuple[SeedGroup, ...]) -> list[Said]:
    """Under accuracy against distance: up to where each cell knows the answer."""
    measured = [(group, found) for group in labels if (found := accuracy_by_distance(group)) is not None]
    return [Said(group.label, f"{_far(*found, nouns_of((group,)), _guessing((group,)))}.") for group, found in measured]


def _far(distance: np.ndarray, accuracies: np.ndarray, nouns: Nouns, guessing: float) -> str:
    known = ~np.isnan(accuracies).all(axis=0)
    if not known.any():
        return "Has no accuracy that is a number"
    distance, right = distance[known], mean(accuracies)[known]
    seeds = accuracies[:, known][:, -1]
    low, high = float(right.min()), float(right.max())
    tested, last = "at every distance tested", nouns.far(distance[-1])
    if low >= SOLVED and np.nanmin(seeds) >= SOLVED:
        often = "all" if low == 1 else f"at least {at_least(low)} of"
        return f"Is right in {often} cases {tested}, up to {last}"
    if high <= guessing and np.nanmax(seeds) <= guessing:
        return f"Does hardly better than guessing {tested} (at most {at_most(high)})"
    disagree = percent(float(np.nanmin(seeds))) != percent(float(np.nanmax(seeds)))
    at_last = f", and in {percents(seeds)} at {last}{', depending on the seed' if disagree else ''}"
    if low < SOLVED <= right[0]:
        upto = nouns.far(distance[int(np.argmax(right < SOLVED)) - 1])
        return f"Is right in at least {SOLVED:.0%} of cases {tested} up to {upto}{at_last}"
    if percent(low) != percent(high):
        return f"Is right in {percent(low)} to {percent(high)} of cases {tested}{at_last}"
    return f"Is right in {percent(low)} of cases {tested}{at_last if disagree else ''}"


def learning(labels: tuple[SeedGroup, ...]) -> list[Said]:
    """Under the learning curves: the best validation score and when it came."""
    found = [(group, [best for member in group.members if (best := _best(member))]) for group in labels]
    return [Said(group.label, _peaks(best, by_loss((group,)))) for group, best in found if best]


def _peaks(best: list[tuple[float, int]], lower: bool) -> str:
    steps = sorted({step for _, step in best})
    when = f"at step {steps[0]:,}" if len(steps) == 1 else f"between steps {steps[0]:,} and {steps[-1]:,}"
    seeds = "" if len(best) == 1 else f" (mean of {len(best)} seeds)"
    score = float(np.mean([right for right, _ in best]))
    return f"Best validation {f'loss {loss(score)}' if lower else f'accuracy {percent(score)}'}{seeds}, {when}."


def _best(member: RunRecord) -> tuple[float, int] | None:
    if member.task.by_loss:
        return best_loss(member)
    accuracy = member.validation.accuracy
    if np.isnan(accuracy).all():
        return None
    return float(np.nanmax(accuracy)), int(member.validation.steps[np.nanargmax(accuracy)])


def missing(run: Run, labels: tuple[SeedGroup, ...]) -> list[str]:
    """What a run that was killed, is still going or diverged has not got; empty for a whole run."""
    notes = [f"{name} has not begun." for name in run.not_started]
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


def _not_finite(scores: ScoreHistory) -> np.ndarray:
    return scores.steps[~np.isfinite(scores.loss)]
