"""What each cell learnt beside the decay of its gradient and its belt share before training."""

from typing import NamedTuple

import numpy as np

from rnnjax.report.summary.diagnosis import layer_values
from rnnjax.report.summary.gradient_decay import group_half_lives
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups, lower_median, mean, results
from rnnjax.report.summary.task import by_loss

FEWEST = 5  # cells from which there is something to compare


class StartAndScore(NamedTuple):
    """One cell, over its seeds; NaN where a quantity was not measured."""

    label: str
    half_life: float  # at the start of training, in steps; the lower median
    belt_share: float  # at the start of training; the mean
    score: float  # mean test accuracy, or the error where that is the main score, in the unit of its axis


def starts_and_scores(groups: SeedGroups) -> list[StartAndScore]:
    """Every cell with a test score and a half-life or a belt share at the start; none if they are fewer than five."""
    losses = by_loss(groups)
    points = [point for group in groups if (point := _point(group, losses)) is not None]
    return points if len(points) >= FEWEST else []


def _point(group: SeedGroup, losses: bool) -> StartAndScore | None:
    scores = results(group, lambda result: result.test_loss if losses else result.test_accuracy)
    scores = group.members[0].task.main_error(scores) if losses else scores
    half_lives, shares = group_half_lives(group, "start"), layer_values(group, "start", "belt_share")
    if not len(scores) or np.isnan(scores).all() or not (len(half_lives) or len(shares)):
        return None
    half_life = float(lower_median(half_lives)) if len(half_lives) else np.nan
    return StartAndScore(group.label, half_life, float(mean(shares)) if len(shares) else np.nan, float(mean(scores)))


def rank_correlation(points: list[StartAndScore], quantity: str, losses: bool) -> float:
    """Spearman's rank correlation over cells of a quantity at the start with what was learnt, a low loss being much.

    NaN where fewer than five cells have it, or all have the same.
    """
    values = np.array([getattr(point, quantity) for point in points])
    scores = np.array([-point.score if losses else point.score for point in points])
    known = ~np.isnan(values)
    if known.sum() < FEWEST or len(set(values[known])) < 2 or len(set(scores[known])) < 2:
        return np.nan
    from scipy import stats  # takes 0.3 s to import, and most reports do not need it

    return float(stats.spearmanr(values[known], scores[known]).statistic)
