"""Length-bucketed batches of few static shapes, in an order that is a pure function of (seed, epoch).

A compiled program serves one shape, so every batch is cut at one of a few static lengths, its bucket's edge.
Since an epoch's order is computed and not carried along, a run resumes anywhere without iterator state.
"""

import itertools
from typing import NamedTuple

import numpy as np

EDGE_MULTIPLE = 8  # words; static lengths fill whole vector registers


class ChunkKind(NamedTuple):
    """What chunks must have in common to run side by side."""

    length: int
    steps: int
    full: bool  # no batch of it is padded


class Chunk(NamedTuple):
    """Up to K batches of one static length, to run in one compiled program.

    Padded places repeat an example of the same bucket with weight 0, so that ``lengths[indices] <= length``
    holds everywhere.
    """

    length: int  # T: tokens[:, :T] holds every example of the chunk
    steps: int  # how many of the K batches are real; the rest is padding and is not run
    indices: np.ndarray  # (K, B) int32 into the split
    weights: np.ndarray  # (K, B) float32, 0 where a batch is padded (the remainder of a bucket), else 1

    @property
    def kind(self) -> ChunkKind:
        """What it has in common with others."""
        return ChunkKind(self.length, self.steps, bool(self.weights[: self.steps].all()))


def bucket_edges(lengths: np.ndarray, buckets: int) -> tuple[int, ...]:
    """The static lengths that leave the fewest padded tokens: exact, by dynamic programming over the lengths.

    Args:
        lengths: (N,) words in each example, all at least 1.
        buckets: How many static lengths are allowed, at least 1.

    Returns:
        Ascending lengths in words, multiples of 8 except the last, which is the maximum of ``lengths``; fewer
        than ``buckets`` where fewer give the same padding.

    Raises:
        ValueError: If there are no lengths or no buckets, or a length is below 1.
    """
    if buckets < 1 or np.ndim(lengths) != 1 or len(lengths) == 0 or np.min(lengths) < 1:
        raise ValueError("bucket_edges needs at least one bucket and at least one length, all lengths >= 1")
    longest = int(np.max(lengths))
    rounded = np.minimum(-(-np.asarray(lengths, np.int64) // EDGE_MULTIPLE) * EDGE_MULTIPLE, longest)
    candidates, counts = np.unique(rounded, return_counts=True)
    up_to = np.concatenate([[0], np.cumsum(counts)])  # (C+1,) examples that fit under the first j candidates

    # The number of real tokens is fixed, so least padding = least Σ (examples in a bucket) · (its edge).
    # area[i, j]: one bucket with edge candidates[j-1] for all examples between the first i and the first j.
    edge_of = np.concatenate([[0], candidates])
    area = (up_to[None, :] - up_to[:, None]).astype(float) * edge_of[None, :]
    area[np.tril_indices(len(edge_of))] = np.inf
    best = np.where(np.arange(len(edge_of)) == 0, 0.0, np.inf)  # (C+1,) least area of the first j candidates
    choices = []  # for every bucket, where the one before it ended
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
    """One epoch in training order: every example exactly once, a pure function of the arguments.

    Examples are shuffled within their bucket and cut into batches; a bucket's remainder becomes a batch
    padded with weight 0. The chunks of all buckets are then shuffled, but for the first and the last, which come
    from the longest bucket: what does not fit into memory fails at once, and what is measured at the start and at
    the end of an epoch covers every length. Chunks with a padded batch are passed over for this where there are
    others. Which example stands where depends on the seed; at which place a chunk has which length, number of steps
    and padding does not, so that several seeds can run through one program side by side.

    Args:
        lengths: (N,) words in each example.
        batch_size: B, examples in a batch.
        edges: Ascending static lengths in words, the last at least ``max(lengths)``.
        steps_per_chunk: K, batches in a chunk.
        seed: Not negative.
        epoch: Counted from 0.
        curriculum: Above 0, examples and chunks come from short to long instead, with as much disorder as is
            missing to 1; then no chunk is moved to the ends.

    Raises:
        ValueError: If an example is longer than the last edge, or a number is below 1, or edges do not ascend.
    """
    _check(batch_size, edges, steps_per_chunk)
    rng = np.random.default_rng([seed, epoch])
    chunks: list[Chunk] = []
    if curriculum > 0:
        for edge, members in _bucket_members(lengths, edges):
            mixed = rng.permutation(members)
            by_length = mixed[_nearly_sorted(rng, lengths[mixed], curriculum)]
            chunks += _cut(by_length, edge, batch_size, steps_per_chunk)
        edges_of = np.array([chunk.length for chunk in chunks])
        return [chunks[i] for i in _nearly_sorted(np.random.default_rng(epoch), edges_of, curriculum)]
    for edge, members in _bucket_members(lengths, edges):
        chunks += _cut(rng.permutation(members), edge, batch_size, steps_per_chunk)
    shuffled = _in_common_order([chunks[i] for i in rng.permutation(len(chunks))], epoch)
    longest = [i for i, chunk in enumerate(shuffled) if chunk.length == edges[-1]]
    full = [i for i in longest if shuffled[i].kind.full]
    candidates = full if len(full) > 1 else longest
    ends = candidates[:1] + candidates[1:][-1:]
    first, last = [shuffled[i] for i in ends[:1]], [shuffled[i] for i in ends[1:]]
    return first + [chunk for i, chunk in enumerate(shuffled) if i not in ends] + last


def _nearly_sorted(rng: np.random.Generator, values: np.ndarray, order: float) -> np.ndarray:
    """Places of ``values`` (N,) from small to large, each moved at random by at most 1 - ``order`` of their number."""
    places = np.argsort(np.argsort(values, kind="stable"), kind="stable") / len(values)
    return np.argsort(order * places + (1 - order) * rng.random(len(values)), kind="stable")


def _in_common_order(chunks: list[Chunk], epoch: int) -> list[Chunk]:
    """``chunks`` so that the sequence of their kinds is the same for every order in which they come."""
    kinds = sorted(chunk.kind for chunk in chunks)
    waiting = {kind: iter([chunk for chunk in chunks if chunk.kind == kind]) for kind in kinds}
    return [next(waiting[kinds[i]]) for i in np.random.default_rng(epoch).permutation(len(kinds))]


def ordered_chunks(
    lengths: np.ndarray, *, batch_size: int, edges: tuple[int, ...], steps_per_chunk: int
) -> list[Chunk]:
    """The order for evaluation: bucket by bucket as stored, every example exactly once, no randomness.

    Arguments and errors are those of ``epoch_chunks``.
    """
    _check(batch_size, edges, steps_per_chunk)
    chunks: list[Chunk] = []
    for edge, members in _bucket_members(lengths, edges):
        chunks += _cut(members, edge, batch_size, steps_per_chunk)
    return chunks


def _check(batch_size: int, edges: tuple[int, ...], steps_per_chunk: int) -> None:
    if min(batch_size, steps_per_chunk) < 1:
        raise ValueError(f"batch_size and steps_per_chunk must be at least 1, got {batch_size} and {steps_per_chunk}")
    if not edges or any(low >= high for low, high in itertools.pairwise(edges)):
        raise ValueError(f"edges must be one or more lengths that ascend, got {edges}")


def _bucket_members(lengths: np.ndarray, edges: tuple[int, ...]) -> list[tuple[int, np.ndarray]]:
    bucket = np.searchsorted(edges, lengths)
    if np.any(bucket == len(edges)):
        raise ValueError(f"an example of {np.max(lengths)} words is longer than the last edge, {edges[-1]}")
    members = [(edge, np.flatnonzero(bucket == i)) for i, edge in enumerate(edges)]
    return [(edge, indices) for edge, indices in members if len(indices)]


def _cut(members: np.ndarray, length: int, batch_size: int, steps_per_chunk: int) -> list[Chunk]:
    per_chunk = batch_size * steps_per_chunk
    chunks = []
    for start in range(0, len(members), per_chunk):
        real = members[start : start + per_chunk]
        padding = per_chunk - len(real)
        indices = np.pad(real, (0, padding), mode="edge").astype(np.int32)
        weights = np.pad(np.ones(len(real), np.float32), (0, padding))
        chunks.append(
            Chunk(
                length=length,
                steps=-(-len(real) // batch_size),
                indices=indices.reshape(steps_per_chunk, batch_size),
                weights=weights.reshape(steps_per_chunk, batch_size),
            )
        )
    return chunks
