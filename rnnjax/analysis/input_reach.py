"""How far back the answer of a trained model depends on its input: inputs exchanged for those of another example.

Shapes: N examples, T steps, C classes, symbols or numbers in an answer, K exchanges.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from rnnjax.analysis.decision import BATCH, BATCH_STEPS
from rnnjax.analysis.last_answers import Apply, Pairs, constant_answer, distance, last_answers, points_of, scores_of
from rnnjax.data.dataset import Examples, Objective
from rnnjax.diagnostics.swaps.exchange import swap_partners
from rnnjax.diagnostics.swaps.reach import ScoreLeft, context_length, furthest_swap, score_left
from rnnjax.typing import Floats, Integers, ModelParams

Progress = Callable[[int, int], None]

LEAST = 0.95  # share of the score that is left within the reach
GROUP = 4  # exchanges in one call of the compiled program
SWAP_STEPS = 2**23  # time steps that all exchanges of single inputs may take together
FEWEST_SWAPPED = 32  # examples for these, however long they are
FEWEST_AT_LAG = 5  # examples that have a lag, for a mean over them


@dataclasses.dataclass(frozen=True, eq=False)
class InputReach:
    """How far back one model's answer depends on its input.

    Attributes:
        examples: N, on which the scores were measured.
        kept: (K,) numbers of last steps left intact, rising from 0 to T; all inputs further back are another example's.
        score: (K,) accuracy; the mean loss where labels are numbers or symbols. The last is the score of intact inputs.
        constant: the score of the best answer that reads no input.
        left: share of the score above ``constant`` that is left.
        moves: (T,) by lag, how far the answer moves when the input at this lag alone is exchanged, the mean over the
            examples that have it: half the sum of the changes of all probabilities, or the distance of the numbers.
            NaN where fewer than 5 examples have the lag.
        swapped: examples in which single inputs were exchanged.
    """

    examples: int
    kept: Integers
    score: Floats
    constant: float
    left: ScoreLeft
    moves: Floats
    swapped: int

    @property
    def reach(self) -> int | None:
        """The smallest number of last steps with which 95% of the score above ``constant`` is left; None at chance."""
        return context_length(self.kept, self.left.share, LEAST)

    @property
    def reach_bounds(self) -> tuple[int, int] | None:
        """The reach with two standard errors added to every share, and taken from it; None at chance."""
        if self.left.at_chance:
            return None
        low, high = (context_length(self.kept, self.left.share + sign * self.left.error, LEAST) for sign in (2, -2))
        return int(self.kept[0] if low is None else low), int(self.kept[-1] if high is None else high)

    @property
    def furthest(self) -> int | None:
        """The largest lag at which a single exchange moves the answer by 10% of the largest move; None where none."""
        return furthest_swap(self.moves)

    def score_with(self, kept: int) -> float:
        """The score with the last ``kept`` steps intact, or with the next larger number that was measured."""
        return float(self.score[np.searchsorted(self.kept, min(kept, self.kept[-1]))])


def input_reach(
    apply: Apply,
    params: ModelParams,
    objective: Objective,
    examples: Examples,
    *,
    count: int = 1000,
    also: Sequence[int] = (),
    progress: Progress = lambda done, total: None,
) -> InputReach:
    """Measure how far back the answers of a model depend on its input, see ``InputReach``.

    Args:
        apply: function of parameters, inputs (B, T) or (B, T, D) and lengths (B,) to outputs (B, C) or, of every step,
            (B, T, C); it is compiled once for each function object.
        params: of the model.
        objective: what labels and outputs are.
        examples: at least two, as ``apply`` reads them.
        count: most examples; fewer are taken to exchange single inputs of long sequences.
        also: further numbers of last steps with which the score is measured.
        progress: called with the time steps that were read so far, and an estimate of all.

    Raises:
        ValueError: fewer than two examples.
    """
    chosen = swap_partners(examples.inputs, examples.lengths, count)
    rows, lengths = chosen.rows, examples.lengths[chosen.rows]
    pairs = Pairs(examples.inputs[rows], chosen.others, lengths)
    labels = examples.labels[rows] if examples.labels.ndim == 1 else examples.labels[rows, lengths - 1]
    T = int(lengths.max())
    swapped = pairs.take(_spread(lengths, T))
    kept, reader = _first_kept(T, also), _Reader(apply, params, objective, progress)
    reader.expect(pairs, len(kept) + 2 * GROUP)
    reader.expect(swapped, T)

    constant = points_of(objective, constant_answer(objective, labels), labels)
    points: dict[int, Floats] = {}
    while kept:
        answers = reader.answers(pairs, [(k, T) for k in kept])
        points |= dict(zip(kept, points_of(objective, answers, labels), strict=True))
        kept = _next_kept(points, constant)
    intact = points[T]
    numbers = np.array(sorted(points), np.int64)
    table = np.stack([points[k] for k in numbers])
    return InputReach(
        examples=len(rows),
        kept=numbers,
        score=scores_of(objective, table),
        constant=float(scores_of(objective, constant)),
        left=score_left(table, intact, constant),
        moves=_moves(reader, swapped, T),
        swapped=len(swapped.lengths),
    )


class _Reader:
    """Reads exchanged sequences in batches, and counts the time steps."""

    def __init__(self, apply: Apply, params: ModelParams, objective: Objective, progress: Progress) -> None:
        self.objective, self._program = objective, functools.partial(last_answers, apply, objective, params)
        self._progress, self._done, self._total = progress, 0, 0

    def expect(self, pairs: Pairs, exchanges: int) -> None:
        """Count sequences that will be read."""
        self._total += exchanges * int(pairs.lengths.sum())

    def answers(self, pairs: Pairs, exchanges: Sequence[tuple[int, int]]) -> Floats:
        """The last answers (K, N, C) for each of K exchanges, its smallest lag and its largest plus 1."""
        N, T = pairs.inputs.shape[:2]
        size = min(N, max(1, min(BATCH, BATCH_STEPS // T)))
        bounds = np.array([*exchanges, *[exchanges[-1]] * (-len(exchanges) % GROUP)], np.int32)
        groups = []
        for start in range(0, len(bounds), GROUP):
            firsts, stops = bounds[start : start + GROUP].T
            parts = []
            for first in range(0, N, size):
                rows = np.minimum(np.arange(first, first + size), N - 1)  # the last batch repeats the last example
                batch = Pairs(*(array[rows] for array in pairs))
                parts.append(np.asarray(self._program(batch, firsts, stops), np.float64)[:, : N - first])
                self._done += int(batch.lengths[: N - first].sum()) * min(GROUP, len(exchanges) - start)
                self._progress(min(self._done, self._total), self._total)
            groups.append(np.concatenate(parts, axis=1))
        return np.concatenate(groups)[: len(exchanges)]


def _moves(reader: _Reader, pairs: Pairs, steps: int) -> Floats:
    """The mean move of the answer (T,) when the input at each lag alone is exchanged."""
    moves = np.full(steps, np.nan)
    intact = reader.answers(pairs, [(0, 0)])
    for lag in range(0, pairs.inputs.shape[1], GROUP):
        lags = range(lag, min(lag + GROUP, pairs.inputs.shape[1]))
        moved = distance(reader.objective, reader.answers(pairs, [(d, d + 1) for d in lags]), intact)  # (K, N)
        for d, row in zip(lags, moved, strict=True):
            if (has := pairs.lengths > d).sum() >= min(FEWEST_AT_LAG, len(has)):
                moves[d] = row[has].mean()
    return moves


def _spread(lengths: np.ndarray, steps: int) -> np.ndarray:
    """Rows of as many examples, from the shortest to the longest, as the exchanges of single inputs have time for."""
    count = int(np.clip(SWAP_STEPS / (steps * lengths.mean()), FEWEST_SWAPPED, len(lengths)))
    return np.unique(np.linspace(0, len(lengths) - 1, min(count, len(lengths))).round().astype(int))


def _first_kept(steps: int, also: Sequence[int]) -> list[int]:
    """0, 1, 2, 3, 4, 6, 8, 11, 16, ... and all ``steps``, with those of ``also`` that are fewer."""
    powers = np.power(2.0, np.arange(0, 2 * np.log2(steps)) / 2).round().astype(int).tolist()
    return sorted({0, steps, *(k for k in (*powers, *also) if 0 < k < steps)})


def _next_kept(points: dict[int, Floats], constant: Floats) -> list[int]:
    """Up to ``GROUP`` numbers that divide the interval in which the reach lies; none once it is known, or at chance."""
    kept = np.array(sorted(points))
    share = score_left(np.stack([points[k] for k in kept]), points[int(kept[-1])], constant).share
    reach = context_length(kept, share, LEAST)
    if reach is None or reach == kept[0]:
        return []
    below = int(kept[np.searchsorted(kept, reach) - 1])
    inner = np.linspace(below, reach, GROUP + 2)[1:-1].round().astype(int)
    return sorted({int(k) for k in inner} - {below, reach})
