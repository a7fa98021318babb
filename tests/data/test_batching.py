import itertools

import numpy as np
import pytest

from rnnjax.data.batching import bucket_edges, epoch_chunks, ordered_chunks

LENGTHS = np.random.default_rng(0).geometric(0.02, size=1003).clip(1, 200)
EDGES = bucket_edges(LENGTHS, 4)
SHAPE = {"batch_size": 16, "edges": EDGES, "steps_per_chunk": 5}


def padded_tokens(lengths, edges):
    edges = np.array(edges)
    return int(np.sum(edges[np.searchsorted(edges, lengths)] - lengths))


@pytest.mark.parametrize("buckets", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_edges_leave_the_least_padding_of_all_choices(buckets, seed):
    lengths = np.random.default_rng(seed).geometric(0.05, size=80).clip(1, 61)
    longest = lengths.max()
    candidates = range(8, longest, 8)
    best = min(
        padded_tokens(lengths, (*chosen, longest))
        for count in range(buckets)
        for chosen in itertools.combinations(candidates, count)
    )
    edges = bucket_edges(lengths, buckets)
    assert padded_tokens(lengths, edges) == best
    assert len(edges) <= buckets
    assert edges[-1] == longest
    assert all(edge % 8 == 0 for edge in edges[:-1])
    assert list(edges) == sorted(set(edges))


def test_no_more_edges_than_help():
    assert bucket_edges(np.array([3, 8, 5, 30, 31]), 6) == (8, 31)
    assert bucket_edges(np.array([500] * 9), 8) == (500,)


@pytest.mark.parametrize(("lengths", "buckets"), [([], 2), ([3, 0], 2), ([3], 0)])
def test_edges_refuse_what_has_no_answer(lengths, buckets):
    with pytest.raises(ValueError, match="at least one"):
        bucket_edges(np.array(lengths), buckets)


def all_chunks():
    training = [epoch_chunks(LENGTHS, **SHAPE, seed=1, epoch=epoch) for epoch in range(2)]
    return [*training, ordered_chunks(LENGTHS, **SHAPE)]


@pytest.mark.parametrize("chunks", all_chunks())
def test_every_example_once_with_weight_one_and_inside_its_length(chunks):
    seen = np.concatenate([chunk.indices[chunk.weights == 1] for chunk in chunks])
    assert np.array_equal(np.sort(seen), np.arange(len(LENGTHS)))
    for chunk in chunks:
        assert chunk.indices.shape == chunk.weights.shape == (5, 16)
        assert (chunk.indices.dtype, chunk.weights.dtype) == (np.int32, np.float32)
        assert chunk.length in EDGES
        assert (LENGTHS[chunk.indices] <= chunk.length).all()
        shorter = max([edge for edge in EDGES if edge < chunk.length], default=0)
        assert (LENGTHS[chunk.indices] > shorter).all()
        assert set(np.unique(chunk.weights)) <= {0, 1}
        real = chunk.weights.any(axis=1)
        assert real.tolist() == [True] * chunk.steps + [False] * (5 - chunk.steps)


@pytest.mark.parametrize("chunks", all_chunks())
def test_each_bucket_has_one_remainder_and_no_batch_more_than_needed(chunks):
    for edge in EDGES:
        members = np.searchsorted(EDGES, LENGTHS) == EDGES.index(edge)
        batches = np.concatenate([c.weights[: c.steps] for c in chunks if c.length == edge])
        assert len(batches) == -(-members.sum() // 16)
        assert (batches.sum(axis=1) < 16).sum() <= 1


def test_with_one_bucket_all_batches_but_the_last_are_full():
    chunks = ordered_chunks(LENGTHS, batch_size=16, edges=(200,), steps_per_chunk=5)
    sizes = np.concatenate([chunk.weights[: chunk.steps].sum(axis=1) for chunk in chunks])
    assert sizes.tolist() == [16] * 62 + [11]
    flat = np.concatenate([chunk.indices[chunk.weights == 1] for chunk in chunks])
    assert np.array_equal(flat, np.arange(len(LENGTHS)))


def flat_order(chunks):
    return [(chunk.length, chunk.steps, *chunk.indices.ravel()) for chunk in chunks]


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    def order(seed, epoch):
        return flat_order(epoch_chunks(LENGTHS, **SHAPE, seed=seed, epoch=epoch))

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert order(1, 2) != order(2, 1)


def test_the_order_of_one_epoch_is_this_one():
    """Golden values: if they change, older runs can no longer be resumed exactly."""
    lengths = np.array([1, 9, 2, 10, 3, 11, 4])
    chunks = epoch_chunks(lengths, batch_size=2, edges=(8, 16), steps_per_chunk=2, seed=7, epoch=1)
    assert [(c.length, c.steps, c.indices.tolist(), c.weights.tolist()) for c in chunks] == [
        (16, 2, [[5, 1], [3, 3]], [[1.0, 1.0], [1.0, 0.0]]),
        (8, 2, [[4, 0], [6, 2]], [[1.0, 1.0], [1.0, 1.0]]),
    ]


def test_training_order_mixes_buckets_and_examples():
    chunks = epoch_chunks(LENGTHS, **SHAPE, seed=1, epoch=0)
    lengths = [chunk.length for chunk in chunks]
    assert lengths != sorted(lengths)
    assert sorted(lengths) == [chunk.length for chunk in ordered_chunks(LENGTHS, **SHAPE)]


def test_an_epoch_begins_and_ends_with_the_longest_bucket():
    lengths = np.array([3] * 40 + [9] * 6)
    for epoch in range(5):
        order = [
            c.length for c in epoch_chunks(lengths, batch_size=2, edges=(8, 16), steps_per_chunk=1, seed=0, epoch=epoch)
        ]
        assert order[0] == order[-1] == 16
        assert order.count(16) == 3


def test_an_example_longer_than_the_last_edge_is_refused():
    with pytest.raises(ValueError, match="longer than the last edge, 100"):
        ordered_chunks(LENGTHS, batch_size=16, edges=(50, 100), steps_per_chunk=5)


def test_the_ends_of_an_epoch_are_full_batches_where_there_are_any():
    lengths = np.array([3] * 40 + [9] * 7)
    for seed in range(12):
        chunks = epoch_chunks(lengths, batch_size=2, edges=(8, 16), steps_per_chunk=1, seed=seed, epoch=0)
        assert chunks[0].weights.all()
        assert chunks[-1].weights.all()
        assert sorted(np.concatenate([c.indices[c.weights > 0] for c in chunks])) == list(range(47))


@pytest.mark.parametrize(
    ("lengths", "shape"),
    [
        (LENGTHS, SHAPE),
        (LENGTHS, SHAPE | {"edges": (200,), "steps_per_chunk": 7}),
        (np.full(160, 3), {"batch_size": 4, "edges": (8,), "steps_per_chunk": 5}),  # all chunks are full
    ],
    ids=["buckets", "one bucket", "one kind"],
)
@pytest.mark.parametrize("epoch", [0, 3])
def test_at_every_place_of_an_epoch_all_seeds_have_the_same_kind_of_chunk(lengths, shape, epoch):
    first, *others = [epoch_chunks(lengths, **shape, seed=seed, epoch=epoch) for seed in range(6)]
    kinds = [chunk.kind for chunk in first]
    for chunk, kind in zip(first, kinds, strict=True):
        assert kind == (chunk.length, chunk.steps, bool(chunk.weights[: chunk.steps].all()))
    for other in others:
        assert [chunk.kind for chunk in other] == kinds
        seen = np.concatenate([chunk.indices[chunk.weights == 1] for chunk in other])
        assert np.array_equal(np.sort(seen), np.arange(len(lengths)))
        different = [np.any(mine.indices != theirs.indices) for mine, theirs in zip(other, first, strict=True)]
        assert np.mean(different) > 0.9


def test_the_kinds_of_an_epoch_come_in_an_order_of_its_own():
    orders = [[chunk.kind for chunk in epoch_chunks(LENGTHS, **SHAPE, seed=0, epoch=epoch)] for epoch in range(4)]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len(set(map(tuple, orders))) == 4


def lengths_in_order(chunks):
    """Lengths of all examples in the order of the chunks."""
    return LENGTHS[np.concatenate([chunk.indices[chunk.weights == 1] for chunk in chunks])]


@pytest.mark.parametrize("shape", [SHAPE, SHAPE | {"edges": (200,), "steps_per_chunk": 7}], ids=["4 buckets", "1"])
def test_a_curriculum_of_1_goes_from_short_to_long_and_one_of_0_is_none(shape):
    plain = epoch_chunks(LENGTHS, **shape, seed=1, epoch=0)
    assert flat_order(epoch_chunks(LENGTHS, **shape, seed=1, epoch=0, curriculum=0.0)) == flat_order(plain)
    strict = epoch_chunks(LENGTHS, **shape, seed=1, epoch=0, curriculum=1.0)
    assert lengths_in_order(strict).tolist() == sorted(LENGTHS)
    assert lengths_in_order(plain).tolist() != sorted(LENGTHS)
    other = epoch_chunks(LENGTHS, **shape, seed=2, epoch=0, curriculum=1.0)
    assert flat_order(other) != flat_order(strict)  # examples of one length come in an order of the seed's


@pytest.mark.parametrize("shape", [SHAPE, SHAPE | {"edges": (200,), "steps_per_chunk": 7}], ids=["4 buckets", "1"])
def test_the_stricter_a_curriculum_the_closer_its_order_is_to_that_of_the_lengths(shape):
    def order(curriculum):
        chunks = epoch_chunks(LENGTHS, **shape, seed=1, epoch=0, curriculum=curriculum)
        seen = np.concatenate([chunk.indices[chunk.weights == 1] for chunk in chunks])
        assert np.array_equal(np.sort(seen), np.arange(len(LENGTHS)))
        return np.corrcoef(LENGTHS[seen], np.arange(len(seen)))[0, 1]

    correlations = [order(curriculum) for curriculum in (0.0, 0.3, 0.6, 0.9, 1.0)]
    assert correlations == sorted(correlations)
    assert abs(correlations[0]) < 0.3
    assert correlations[1] < correlations[-1] - 0.1


@pytest.mark.parametrize("curriculum", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("shape", [SHAPE, SHAPE | {"edges": (200,), "steps_per_chunk": 7}], ids=["4 buckets", "1"])
def test_with_a_curriculum_all_seeds_have_the_same_kind_of_chunk_at_every_place(shape, curriculum):
    first, *others = [epoch_chunks(LENGTHS, **shape, seed=seed, epoch=0, curriculum=curriculum) for seed in range(6)]
    for other in others:
        assert [chunk.kind for chunk in other] == [chunk.kind for chunk in first]
        assert flat_order(other) != flat_order(first)
