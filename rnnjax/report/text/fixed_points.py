"""Captions of fixed and slow points: how many of each kind a network has."""

import numpy as np

from rnnjax.analysis.diagnosis import FixedPointSearch
from rnnjax.formatting import join_list, percent
from rnnjax.report.summary.fixed_points import PointCounts, group_searches, point_counts
from rnnjax.report.summary.seed_groups import SeedGroups
from rnnjax.report.text.headline import Caption

MOST_NAMED = 3  # numbers of unstable directions that a caption names one by one


def fixed_point_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the drawn seed of each cell, and of several seeds how many stable points each has."""
    captions = []
    for group in groups:
        if searches := group_searches(group):
            (seed, drawn), *others = searches
            counts = [point_counts(search) for _, search in searches]
            text = f"{'Has' if not others else f'Seed {seed} has'} {counts_text(counts[0])}. {_variance(drawn)}"
            captions.append(Caption(group.label, text + (_over_seeds(counts) if others else "")))
    return captions


def counts_text(counts: PointCounts) -> str:
    """The points by kind: "8 stable points, 12 saddles with 1 unstable direction, 6 with 2 and no slow points"."""
    parts = [_count(counts.stable, "stable point")]
    named = sorted(counts.saddles)[:MOST_NAMED]
    for directions in named:
        what = f" with {_count(directions, 'unstable direction')}" if directions == named[0] else f" with {directions}"
        noun = _count(counts.saddles[directions], "saddle") if directions == named[0] else counts.saddles[directions]
        parts.append(f"{noun}{what}")
    more = sum(number for directions, number in counts.saddles.items() if directions not in named)
    parts += [f"{more} with more"] if more else []
    parts += [] if named else ["no saddles"]
    return join_list([*parts, _count(counts.slow, "slow point")])


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _variance(search: FixedPointSearch) -> str:
    return f"The three axes hold {percent(float(np.sum(search.variance)))} of the variance of the states."


def _over_seeds(counts: list[PointCounts]) -> str:
    stable = [seed.stable for seed in counts]
    low, high = min(stable), max(stable)
    if low == high:
        return f" All {len(stable)} seeds have {_count(low, 'stable point')}."
    return f" The {len(stable)} seeds have {low} to {high} stable points."
