"""How far back an answer depends on its input, from scores and answers with exchanged inputs.

Shapes: K numbers of last steps that are left intact, N examples, L lags.
"""

from typing import NamedTuple

import numpy as np

from rnnjax.argument_checks import describe, is_number
from rnnjax.typing import Floats, Integers

ERRORS_ABOVE_CHANCE = 3.0  # standard errors by which a score must be above the best constant answer


class ScoreLeft(NamedTuple):
    """What is left of a score where only the last inputs are the example's own."""

    share: Floats  # (K,) of the score above the best constant answer: 1 is all of it, 0 none; NaN at chance
    error: Floats  # (K,) standard error of ``share`` over the examples
    at_chance: bool  # whether the intact score is not above that of the best constant answer


def score_left(points: Floats, intact: Floats, constant: Floats) -> ScoreLeft:
    """The share of a score that is left with exchanged inputs.

        share_k = Σ_b (points_k,b - constant_b) / Σ_b (intact_b - constant_b)

    Args:
        points: (K, N) of each answer with exchanged inputs: 1 for a right and 0 for a wrong one, or minus its loss.
        intact: (N,) the same with all inputs intact.
        constant: (N,) of the best answer that reads no input.

    Returns:
        The score counts as at chance where it is less than 3 standard errors above that of the constant answer; the
        shares are NaN then.

    Raises:
        ValueError: the shapes do not fit.
    """
    points, intact, constant = (np.asarray(a, np.float64) for a in (points, intact, constant))
    if points.ndim != 2 or not intact.shape == constant.shape == points.shape[1:] or not intact.size:
        raise ValueError(
            f"points must be (K, N), intact and constant (N,) with N of at least 1, got shapes {points.shape}, "
            f"{intact.shape} and {constant.shape}"
        )
    gains = intact - constant
    gain, spread = float(gains.mean()), _standard_error(gains)
    if not gain > ERRORS_ABOVE_CHANCE * spread or not gain > 0:
        nothing = np.full(len(points), np.nan)
        return ScoreLeft(nothing, nothing, True)
    lost = intact - points  # paired: the same examples with and without
    return ScoreLeft(1 - lost.mean(axis=1) / gain, _standard_error(lost) / gain, False)


def context_length(kept: Integers, share: Floats, least: float = 0.95) -> int | None:
    """The smallest number of last inputs with which, and with any larger number, ``least`` of the score is left.

        R = min {k : share_j ≥ least for all j ≥ k}

    Args:
        kept: (K,) numbers of last inputs left intact, rising.
        share: (K,) of the score that is left, see ``score_left``.
        least: above 0 and at most 1.

    Returns:
        One of ``kept``; None where the shares are NaN, or even the largest number of inputs does not suffice.

    Raises:
        ValueError: the shapes do not fit, ``kept`` does not rise, or ``least`` is out of range.
    """
    kept, share = np.asarray(kept), np.asarray(share, np.float64)
    if kept.ndim != 1 or kept.shape != share.shape or not kept.size or not (np.diff(kept) > 0).all():
        raise ValueError(f"kept must be rising and share as long, both (K,), got {describe(kept)}, {describe(share)}")
    _check_share("least", least)
    short = np.flatnonzero(~(share >= least))
    first = short[-1] + 1 if len(short) else 0
    return int(kept[first]) if first < len(kept) else None


def furthest_swap(moves: Floats, share: float = 0.1) -> int | None:
    """The largest lag at which a single exchanged input moves the answer by at least ``share`` of the largest move.

        F = max {d : move_d ≥ share · max_j move_j}

    The largest move is the measure since the median over all lags is 0 where most inputs do not count.

    Args:
        moves: (L,) by lag, how far the answer moves when the input at this lag alone is exchanged, the mean over the
            examples, 0 or more; NaN where it was not measured.
        share: above 0 and at most 1.

    Returns:
        A lag; None where no exchange moves the answer.

    Raises:
        ValueError: ``moves`` is not (L,), or ``share`` is out of range.
    """
    moves = np.asarray(moves, np.float64)
    if moves.ndim != 1:
        raise ValueError(f"moves must be (L,), one for each lag, got {describe(moves)}")
    _check_share("share", share)
    largest = np.nanmax(moves, initial=0.0)
    return int(np.flatnonzero(moves >= share * largest)[-1]) if largest > 0 else None


def _standard_error(values: Floats) -> Floats:
    """Of the mean over the last axis (..., N); 0 for one value."""
    count = values.shape[-1]
    return values.std(axis=-1, ddof=min(1, count - 1)) / np.sqrt(count)


def _check_share(name: str, value: object) -> None:
    if not is_number(value) or not 0 < value <= 1:  # type: ignore[operator]
        raise ValueError(f"{name} must be above 0 and at most 1, as 0.95 for 95%, got {describe(value)}")
