"""Batches of a few static lengths, in an order that is a pure function of (seed, epoch).

A compiled program accepts one shape, so examples are grouped into buckets by length, and every batch is padded to the
upper edge of its bucket. Since the order of an epoch is computed, a run resumes anywhere without iterator state.
"""

import itertools
from typing import NamedTuple

import numpy as np

EDGE_MULTIPLE = 8  # steps; such lengths fill whole vector registers


class ChunkKind(NamedTuple):
    """What the chunks of several seeds must have in common to run in one program."""

    length: int
    steps: int
    full: bool  # whether no batch is padded


class Chunk(NamedTuple):
    """Up to K batches of one static length, to run in one compiled program.

    Padding repeats an example of the same bucket with weight 0, so that ``lengths[indices] <= length`` holds for all.
    """

    length: int  # T, the static length in steps
    steps: int  # how many of the K batches hold examples; the others are not run
    indices: np.ndarray  # (K, B) int32 into the split
    weights: np.ndarray  # (K, B) float32, 0 for padding, else 1

    @property
    def kind(self) -> ChunkKind:
        """Length, number of steps, and whether all batches are full."""
        return ChunkKind(self.length, self.steps, bool(self.weights[: self.steps].all()))


def bucket_edges(lengths: np.ndarray, buckets: int) -> tuple[int, ...]:
    """The static lengths with the least total padding, by dynamic programming over the lengths.

    Args:
        lengths: (N,) steps of each example, all at least 1.
        buckets: Largest number of static lengths, at least 1.

    Returns:
        Ascending lengths in steps, multiples of 8 except the last, which is the maximum of ``lengths``; fewer
        than ``buckets`` if fewer give the same padding.

    Raises:
        ValueError: If there are no lengths or no buckets, or a length is below 1.
    """
    if buckets < 1 or np.ndim(lengths) != 1 or len(lengths) == 0 or np.min(lengths) < 1:
        raise ValueError("bucket_edges needs at least one bucket and at least one length, all lengths >= 1")
    longest = int(np.max(lengths))
    rounded = np.minimum(-(-np.asarray(lengths, np.int64) // EDGE_MULTIPLE) * EDGE_MULTIPLE, longest)
    candidates, counts = np.unique(rounded, return_counts=True)
    up_to = np.concatenate([[0], np.cumsum(counts)])  # (C+1,) examples that fit under the first j candidates

    # The number of valid steps is fixed, so the least padding is the least Σ (examples in a bucket) · (its edge).
    # area[i, j]: one bucket with edge candidates[j-1] for all examples between the first i and the first j.
    edge_of = np.concatenate([[0], candidates])
    area = (up_to[None, :] - up_to[:, None]).astype(float) * edge_of[None, :]
    area[np.tril_indices(len(edge_of))] = np.inf
    best = np.where(np.arange(len(edge_of)) == 0, 0.0, np.inf)  # (C+1,) least area of the first j candidates
    choices = []  # for every bucket, the index at which the previous bucket ends
    for _ in range(min(buckets, len(candidates))):
        totals = best[:, None] + area
        choices.append(np.argmin(totals, axis=0))
        best = np.min(totals, axis=0)

    edges: list[int] = []
    j = len(candidates)
    for choice in reversed(choices):
        edges.append(int(edge_of[j]))
        j = int(choice[j])
    return tuple(reversed(edges))


def epoch_chunks(
    lengths: np.ndarray,
    *,
    batch_size: int,
    edges: tuple[int, ...],
    steps_per_chunk: int,
    seed: int,
    epoch: int,
    curriculum: float = 0.0,
) -> list[Chunk]:
    """The batches of one training epoch; every example occurs exactly once. A pure function of the arguments.

    Examples are shuffled within their bucket and cut into batches; the remainder of a bucket becomes a padded batch.
    The chunks of all buckets are then shuffled, except that the first and the last come from the longest bucket:
    a program that needs too much memory fails at once, and measurements at the start and the end of an epoch cover
    every length. Full chunks are preferred for these two. The seed decides which examples a chunk holds, but not the
    sequence of chunk kinds (length, steps, full), so that several seeds can run in one program.

    Args:
        lengths: (N,) steps of each example.
        batch_size: B, examples in a batch.
        edges: Ascending static lengths in steps, the last at least ``max(lengths)``.
        steps_per_chunk: K, batches in a chunk.
        seed: Not negative.
        epoch: Counted from 0.
        curriculum: From 0 (shuffled) to 1 (sorted from short to long); between them, nearly sorted. Above 0, no chunk
            is moved to the start or the end.

    Raises:
        ValueError: If an example is longer than the last edge, a number is below 1, or edges do not ascend.
    """
    _check_arguments(batch_size, edges, steps_per_chunk)
    rng = np.random.default_rng([seed, epoch])
    chunks: list[Chunk] = []
    if curriculum > 0:
        for edge, members in _bucket_members(lengths, edges):
            shuffled_members = rng.permutation(members)
            order = _nearly_sorted(rng, lengths[shuffled_members], curriculum)
            chunks += _cut(shuffled_members[order], edge, batch_size, steps_per_chunk)
        chunk_lengths = np.array([chunk.length for chunk in chunks])
        return [chunks[i] for i in _nearly_sorted(np.random.default_rng(epoch), chunk_lengths, curriculum)]
    for edge, members in _bucket_members(lengths, edges):
        chunks += _cut(rng.permutation(members), edge, batch_size, steps_per_chunk)
    shuffled = _order_kinds([chunks[i] for i in rng.permutation(len(chunks))], epoch)
    longest = [i for i, chunk in enumerate(shuffled) if chunk.length == edges[-1]]
    full = [i for i in longest if shuffled[i].kind.full]
    candidates = full if len(full) > 1 else longest
    ends = candidates[:1] + candidates[1:][-1:]
    first, last = [shuffled[i] for i in ends[:1]], [shuffled[i] for i in ends[1:]]
    return first + [chunk for i, chunk in enumerate(shuffled) if i not in ends] + last


def _nearly_sorted(rng: np.random.Generator, values: np.ndarray, order: float) -> np.ndarray:
    """Indices (N,) that sort ``values`` (N,), with each rank moved at random by at most (1 - ``order``)·N."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable") / len(values)
    return np.argsort(order * ranks + (1 - order) * rng.random(len(values)), kind="stable")


def _order_kinds(chunks: list[Chunk], epoch: int) -> list[Chunk]:
    """Reorder ``chunks`` so that the sequence of their kinds depends on ``epoch`` alone, not on the input order."""
    kinds = sorted(chunk.kind for chunk in chunks)
    remaining = {kind: iter([chunk for chunk in chunks if chunk.kind == kind]) for kind in kinds}
    return [next(remaining[kinds[i]]) for i in np.random.default_rng(epoch).permutation(len(kinds))]


def ordered_chunks(
    lengths: np.ndarray, *, batch_size: int, edges: tuple[int, ...], steps_per_chunk: int
) -> list[Chunk]:
    """The batches for evaluation, bucket by bucket, unshuffled; every example occurs exactly once.

    Arguments and errors as in ``epoch_chunks``.
    """
    _check_arguments(batch_size, edges, steps_per_chunk)
    chunks: list[Chunk] = []
    for edge, members in _bucket_members(lengths, edges):
        chunks += _cut(members, edge, batch_size, steps_per_chunk)
    return chunks


def _check_arguments(batch_size: int, edges: tuple[int, ...], steps_per_chunk: int) -> None:
    if min(batch_size, steps_per_chunk) < 1:
        raise ValueError(f"batch_size and steps_per_chunk must be at least 1, got {batch_size} and {steps_per_chunk}")
    if not edges or any(low >= high for low, high in itertools.pairwise(edges)):
        raise ValueError(f"edges must be one or more ascending lengths, got {edges}")


def _bucket_members(lengths: np.ndarray, edges: tuple[int, ...]) -> list[tuple[int, np.ndarray]]:
    bucket = np.searchsorted(edges, lengths)
    if np.any(bucket == len(edges)):
        raise ValueError(f"an example of {np.max(lengths)} steps is longer than the last edge, {edges[-1]}")
    members = [(edge, np.flatnonzero(bucket == i)) for i, edge in enumerate(edges)]
    return [(edge, indices) for edge, indices in members if len(indices)]


def _cut(members: np.ndarray, length: int, batch_size: int, steps_per_chunk: int) -> list[Chunk]:
    per_chunk = batch_size * steps_per_chunk
    chunks = []
    for start in range(0, len(members), per_chunk):
        block = members[start : start + per_chunk]
        padding = per_chunk - len(block)
        indices = np.pad(block, (0, padding), mode="edge").astype(np.int32)
        weights = np.pad(np.ones(len(block), np.float32), (0, padding))
        chunks.append(
            Chunk(
                length=length,
                steps=-(-len(block) // batch_size),
                indices=indices.reshape(steps_per_chunk, batch_size),
                weights=weights.reshape(steps_per_chunk, batch_size),
            )
        )
    return chunks
