"""Batches of examples, in an order that is a pure function of (seed, epoch).

Since the order of an epoch is computed, a run resumes anywhere without iterator state.
"""

from typing import NamedTuple

import numpy as np


class Chunk(NamedTuple):
    """Up to K batches, to run in one call of a compiled program. Padding repeats an example with weight 0."""

    steps: int  # how many of the K batches hold examples; the others are not run
    indices: np.ndarray  # (K, B) int32 into the split
    weights: np.ndarray  # (K, B) float32, 0 for padding, else 1


def epoch_chunks(
    lengths: np.ndarray,
    *,
    batch_size: int,
    steps_per_chunk: int,
    seed: int,
    epoch: int,
    sorted_batches: int = 1,
    curriculum: float = 0.0,
) -> list[Chunk]:
    """The batches of one training epoch; every example occurs exactly once. A pure function of the arguments.

    Examples are shuffled and taken ``sorted_batches`` batches at a time, which are cut from these examples sorted by
    length; where examples are left over, the first of them, the shortest, has fewer. The batches of all are then
    shuffled, except that the first and the last of the epoch are among the longest of theirs, and full where possible:
    measurements at the start and the end of an epoch cover every length. The seed decides which examples a batch
    holds, but not in which order batches come, by their place in the order of lengths, so that the batches of several
    seeds are about equally long at every step.

    Args:
        lengths: (N,) steps of each example.
        batch_size: B, examples in a batch.
        steps_per_chunk: K, batches in a chunk.
        seed: not negative.
        epoch: counted from 0.
        sorted_batches: 1 mixes all lengths in a batch; more need less padding.
        curriculum: from 0 (shuffled) to 1 (sorted from short to long); between them, nearly sorted. Above 0, no batch
            is moved to the start or the end.

    Raises:
        ValueError: a number is below 1.
    """
    if min(batch_size, steps_per_chunk, sorted_batches) < 1:
        raise ValueError(
            "batch_size, steps_per_chunk and sorted_batches must be at least 1, "
            f"got {batch_size}, {steps_per_chunk} and {sorted_batches}"
        )
    rng, count = np.random.default_rng([seed, epoch]), len(lengths)
    order = _nearly_sorted(rng, lengths, curriculum) if curriculum > 0 else rng.permutation(count)
    batches: list[np.ndarray] = []
    places: list[tuple[bool, int]] = []  # of each batch: whether it is padded, how many longer ones its group has
    for start in range(0, count, sorted_batches * batch_size):
        group = order[start : start + sorted_batches * batch_size]
        if sorted_batches > 1:
            group = group[np.argsort(lengths[group], kind="stable")]
        cut = np.arange(len(group) % batch_size or batch_size, len(group), batch_size)
        parts = np.split(group, cut)
        batches += parts
        places += [(len(part) < batch_size, len(parts) - 1 - i) for i, part in enumerate(parts)]
    positions = np.arange(len(batches))
    if curriculum > 0:
        positions = _nearly_sorted(np.random.default_rng(epoch), positions, curriculum)
    else:
        first, *last = sorted(positions.tolist(), key=places.__getitem__)[:2]
        middle = np.random.default_rng(epoch).permutation(np.setdiff1d(positions, [first, *last]))
        positions = np.array([first, *middle, *last])
    return _chunks([batches[i] for i in positions], batch_size, steps_per_chunk)


def ordered_chunks(lengths: np.ndarray, *, batch_size: int, steps_per_chunk: int) -> list[Chunk]:
    """The batches for evaluation, from the shortest examples to the longest; every example occurs exactly once.

    Arguments and errors as in ``epoch_chunks``.
    """
    if min(batch_size, steps_per_chunk) < 1:
        raise ValueError(f"batch_size and steps_per_chunk must be at least 1, got {batch_size} and {steps_per_chunk}")
    order = np.argsort(lengths, kind="stable")
    return _chunks(np.split(order, np.arange(batch_size, len(order), batch_size)), batch_size, steps_per_chunk)


def _nearly_sorted(rng: np.random.Generator, values: np.ndarray, order: float) -> np.ndarray:
    """Indices (N,) that sort ``values`` (N,), with each rank moved at random by at most (1 - ``order``)·N."""
    shuffled = rng.permutation(len(values))  # equal values come in any order
    ranks = np.empty(len(values))
    ranks[shuffled[np.argsort(values[shuffled], kind="stable")]] = np.arange(len(values)) / len(values)
    return np.argsort(order * ranks + (1 - order) * rng.random(len(values)), kind="stable")


def _chunks(batches: list[np.ndarray], batch_size: int, steps_per_chunk: int) -> list[Chunk]:
    """Chunks of ``steps_per_chunk`` batches, the last one padded."""
    indices = np.stack([np.pad(batch, (0, batch_size - len(batch)), mode="edge") for batch in batches])
    sizes = np.array([len(batch) for batch in batches])
    weights = np.arange(batch_size) < sizes[:, None]
    chunks = []
    for start in range(0, len(batches), steps_per_chunk):
        part = slice(start, start + steps_per_chunk)
        steps = len(batches[part])
        padding = [(0, steps_per_chunk - steps), (0, 0)]
        chunks.append(
            Chunk(
                steps,
                np.pad(indices[part], padding, mode="edge").astype(np.int32),
                np.pad(weights[part].astype(np.float32), padding),
            )
        )
    return chunks
