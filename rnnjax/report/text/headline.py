"""The headline of a run, the captions of its scores, and notes on what is missing."""

from typing import NamedTuple

import numpy as np

from rnnjax.formatting import MOST, Nouns, at_least, at_most, listed_briefly, loss, percent, percents
from rnnjax.report.summary.score_by_start import rank_correlation, starts_and_scores
from rnnjax.report.summary.seed_groups import SeedGroups, accuracy_by_distance, mean, results
from rnnjax.report.summary.task import by_loss, chance, curve_split, error_name, loss_alone, nouns_of
from rnnjax.report.text.loss import (
    best_loss,
    headline_by_loss,
    headline_of_losses,
    jumps,
    no_test_score,
    training_loss_captions,
)
from rnnjax.runs.run_record import Run, RunRecord, ScoreHistory

SOLVED = 0.95  # accuracy from which a task counts as solved
GUESSING_MARGIN = 1.2  # times the accuracy of guessing, up to which nothing counts as learnt


class Caption(NamedTuple):
    """What a figure shows of one cell: ``text`` is one or more sentences under the cell's ``label``."""

    label: str
    text: str


def headline(groups: SeedGroups) -> str:
    """Which cells recall the farthest step, or, without distances, which has the best test score."""
    by_distance = {group.label: scores for group in groups if (scores := accuracy_by_distance(group)) is not None}
    if by_distance:
        farthest = max(distances[-1] for distances, _ in by_distance.values())
        at_farthest = {
            label: accuracies[:, -1]
            for label, (distances, accuracies) in by_distance.items()
            if distances[-1] == farthest and not np.isnan(accuracies[:, -1]).all()
        }
        if not at_farthest:
            return "The test accuracies are not numbers."
        return _by_accuracy(farthest, at_farthest, nouns_of(groups), _guessing_limit(groups))
    if loss_alone(groups):
        return headline_of_losses(groups)
    if by_loss(groups):
        return headline_by_loss(groups)
    tested = [(group, results(group, lambda result: result.test_accuracy)) for group in groups if group.finished]
    ranked = [(group.label, accuracy) for group, accuracy in tested if not np.isnan(accuracy).all()]
    if not ranked:
        return no_test_score("accuracy", groups)
    ranked.sort(key=lambda pair: -float(mean(pair[1])))
    (best, accuracy), *others = ranked
    rest = [f"the {label} {percent(float(mean(values)))}" for label, values in others]
    first = f"The {best} judges {percent(float(mean(accuracy)))} of the test {nouns_of(groups).examples} right"
    return f"{first}, {listed_briefly(rest)}." if rest else f"{first}."


def _by_accuracy(farthest: float, accuracies: dict[str, np.ndarray], nouns: Nouns, guessing: float) -> str:
    kinds: dict[str, list[str]] = {"solved": [], "partly": [], "guessing": []}
    best_first = sorted(accuracies.items(), key=lambda pair: -float(mean(pair[1])))
    for label, values in best_first if len(accuracies) > MOST else accuracies.items():
        kind = "solved" if values.min() >= SOLVED else "guessing" if values.max() <= guessing else "partly"
        kinds[kind].append(
            f"the {label} ({percent(float(mean(values))) if kind != 'partly' else percents(values)} right)"
        )
    ending = {
        "solved": ("succeeds", "succeed"),
        "partly": ("succeeds only partly or only with some seeds", "succeed only partly or only with some seeds"),
        "guessing": ("is hardly better than guessing", "are hardly better than guessing"),
    }
    clauses = [f"{listed_briefly(labels)} {ending[kind][len(labels) > 1]}" for kind, labels in kinds.items() if labels]
    return f"Recalling {nouns.fill_template('{a_step}')} {nouns.far(farthest)} back: {'; '.join(clauses)}."


def _guessing_limit(groups: SeedGroups) -> float:
    """The accuracy up to which a cell is hardly better than guessing; 0 where that of guessing is unknown."""
    return GUESSING_MARGIN * (chance(groups) or 0.0)


def distance_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of accuracy against distance: how far back each cell is right."""
    measured = [(group, scores) for group in groups if (scores := accuracy_by_distance(group)) is not None]
    return [
        Caption(group.label, f"{_accuracy_range(*scores, nouns_of((group,)), _guessing_limit((group,)))}.")
        for group, scores in measured
    ]


def _accuracy_range(distance: np.ndarray, accuracies: np.ndarray, nouns: Nouns, guessing: float) -> str:
    known = ~np.isnan(accuracies).all(axis=0)
    if not known.any():
        return "Its accuracy is not a number"
    distance, accuracy = distance[known], mean(accuracies)[known]
    last_seeds = accuracies[:, known][:, -1]
    low, high = float(accuracy.min()), float(accuracy.max())
    tested, last = "at every distance tested", nouns.far(distance[-1])
    if low >= SOLVED and np.nanmin(last_seeds) >= SOLVED:
        often = "all" if low == 1 else f"at least {at_least(low)} of"
        return f"Is right in {often} cases {tested}, up to {last}"
    if high <= guessing and np.nanmax(last_seeds) <= guessing:
        return f"Is hardly better than guessing {tested} (at most {at_most(high)})"
    disagree = percent(float(np.nanmin(last_seeds))) != percent(float(np.nanmax(last_seeds)))
    at_last = f", and in {percents(last_seeds)} at {last}{', depending on the seed' if disagree else ''}"
    if low < SOLVED <= accuracy[0]:
        up_to = nouns.far(distance[int(np.argmax(accuracy < SOLVED)) - 1])
        return f"Is right in at least {SOLVED:.0%} of cases {tested} up to {up_to}{at_last}"
    if percent(low) != percent(high):
        return f"Is right in {percent(low)} to {percent(high)} of cases {tested}{at_last}"
    return f"Is right in {percent(low)} of cases {tested}{at_last if disagree else ''}"


def learning_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the learning curves: the best validation score and its step, or the first and last training loss."""
    if curve_split(groups) == "training":
        return [Caption(group.label, text) for group, text in training_loss_captions(groups)]
    scores = [(group, [best for member in group.members if (best := _best_validation(member))]) for group in groups]
    return [
        Caption(group.label, _best_score(best, error_name((group,)) if by_loss((group,)) else "") + jumps(group))
        for group, best in scores
        if best
    ]


def _best_score(best: list[tuple[float, int]], error: str) -> str:
    """A sentence on the best scores and their steps: accuracies, or, where it has a name, an ``error``."""
    steps = sorted({step for _, step in best})
    when = f"at step {steps[0]:,}" if len(steps) == 1 else f"between steps {steps[0]:,} and {steps[-1]:,}"
    seeds = "" if len(best) == 1 else f" (mean of {len(best)} seeds)"
    score = float(np.mean([accuracy for accuracy, _ in best]))
    return f"Best validation {f'{error} {loss(score)}' if error else f'accuracy {percent(score)}'}{seeds}, {when}."


def _best_validation(member: RunRecord) -> tuple[float, int] | None:
    if member.task.by_loss:
        return best_loss(member)
    accuracy = member.validation.accuracy
    if np.isnan(accuracy).all():
        return None
    return float(np.nanmax(accuracy)), int(member.validation.steps[np.nanargmax(accuracy)])


def missing_parts(run: Run, groups: SeedGroups) -> list[str]:
    """Notes on what a run lacks that was killed, is not finished or diverged; empty for a complete run."""
    notes = [f"{name} has not begun." for name in run.not_started]
    for member in (member for group in groups for member in group.members):
        name = f"{member.label}, seed {member.seed},"
        last = max([0, *member.train.steps, *member.validation.steps])
        not_finite = [int(step) for scores in (member.train, member.validation) for step in _steps_not_finite(scores)]
        if member.failure is not None:
            notes.append(member.failure)
        elif not_finite:
            notes.append(f"{name} diverged: its loss was not a finite number at step {min(not_finite):,}.")
        if member.result is None and member.failure is None:
            of = "" if member.steps is None else f" of {member.steps:,}"
            notes.append(f"{name} has not finished: its last record is of step {last:,}{of}.")
        if not member.gradients and run.training_flag("log_gradients_every", member) != 0:
            notes.append(f"{name} has no gradient log.")
    return notes


def _steps_not_finite(scores: ScoreHistory) -> np.ndarray:
    return scores.steps[~np.isfinite(scores.loss)]


def score_by_start_captions(groups: SeedGroups) -> list[Caption]:
    """How well the start predicts what is learnt: rank correlations over the cells."""
    points, losses = starts_and_scores(groups), by_loss(groups)
    names = {"half_life": "half-life", "belt_share": "belt share"}
    known = {name: r for key, name in names.items() if not np.isnan(r := rank_correlation(points, key, losses))}
    clauses = [f"{r:+.2f} with the {name} at the start" for name, r in known.items()]
    text = f"Spearman's rank correlation of what is learnt: {' and '.join(clauses)} (1: the same order, 0: none)."
    return [Caption(f"{len(points)} cells", text)] if clauses else []
