import numpy as np
import pytest

from rnnjax.data.batching import epoch_chunks, ordered_chunks

LENGTHS = np.random.default_rng(0).geometric(0.02, size=1003).clip(1, 200)
SHAPE = {"batch_size": 16, "steps_per_chunk": 5}
SORTED = [1, 10, 1000]


def all_chunks():
    training = [
        epoch_chunks(LENGTHS, **SHAPE, sorted_batches=count, seed=1, epoch=epoch)
        for count in SORTED
        for epoch in (0, 1)
    ]
    return [*training, ordered_chunks(LENGTHS, **SHAPE)]


def order(chunks):
    """The examples in the order of the chunks, without padding."""
    return np.concatenate([chunk.indices[chunk.weights == 1] for chunk in chunks])


def batches(chunks):
    """The examples of every batch."""
    return [
        rows[weights > 0]
        for chunk in chunks
        for rows, weights in zip(chunk.indices[: chunk.steps], chunk.weights, strict=False)
    ]


@pytest.mark.parametrize("chunks", all_chunks())
def test_every_example_once_with_weight_one(chunks):
    assert np.array_equal(np.sort(order(chunks)), np.arange(len(LENGTHS)))
    assert [chunk.steps for chunk in chunks] == [5] * 12 + [3]
    for chunk in chunks:
        assert chunk.indices.shape == chunk.weights.shape == (5, 16)
        assert (chunk.indices.dtype, chunk.weights.dtype) == (np.int32, np.float32)
        assert set(np.unique(chunk.weights)) <= {0, 1}
        assert chunk.weights.any(axis=1).tolist() == [True] * chunk.steps + [False] * (5 - chunk.steps)


@pytest.mark.parametrize("chunks", all_chunks())
def test_all_batches_but_one_are_full(chunks):
    assert sorted(map(len, batches(chunks))) == [11] + [16] * 62


def test_evaluation_goes_from_short_to_long():
    chunks = ordered_chunks(LENGTHS, **SHAPE)
    assert order(chunks).tolist() == np.argsort(LENGTHS, kind="stable").tolist()


def padded_steps(chunks):
    return sum(len(batch) * LENGTHS[batch].max() for batch in batches(chunks)) / LENGTHS.sum()


def test_the_more_batches_are_sorted_the_less_they_are_padded():
    padding = [
        padded_steps(epoch_chunks(LENGTHS, **SHAPE, sorted_batches=count, seed=1, epoch=0)) for count in (1, 4, 16, 63)
    ]
    assert padding == sorted(padding, reverse=True)
    assert padding[0] > 2
    assert padding[-1] < 1.1


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    def of(seed, epoch):
        return order(epoch_chunks(LENGTHS, **SHAPE, sorted_batches=10, seed=seed, epoch=epoch)).tolist()

    assert of(1, 2) == of(1, 2)
    assert of(1, 2) != of(1, 3)
    assert of(1, 2) != of(2, 2)
    assert of(1, 2) != of(2, 1)


def test_the_order_of_one_epoch_is_this_one():
    """Golden values: if they change, older runs can no longer be resumed exactly."""
    lengths = np.array([1, 9, 2, 10, 3, 11, 4])
    chunks = epoch_chunks(lengths, batch_size=2, steps_per_chunk=2, sorted_batches=2, seed=7, epoch=1)
    assert [(c.steps, c.indices.tolist(), c.weights.tolist()) for c in chunks] == [
        (2, [[1, 3], [0, 2]], [[1.0, 1.0], [1.0, 1.0]]),
        (2, [[4, 4], [6, 5]], [[1.0, 0.0], [1.0, 1.0]]),
    ]


@pytest.mark.parametrize("sorted_batches", SORTED)
def test_an_epoch_begins_and_ends_with_full_batches_of_the_longest(sorted_batches):
    for seed in range(5):
        first, *_, last = batches(epoch_chunks(LENGTHS, **SHAPE, sorted_batches=sorted_batches, seed=seed, epoch=seed))
        assert len(first) == len(last) == 16
        if sorted_batches > 1:
            assert min(LENGTHS[first].min(), LENGTHS[last].min()) > np.quantile(LENGTHS, 0.8)


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 33])
@pytest.mark.parametrize("sorted_batches", SORTED)
def test_few_examples(count, sorted_batches):
    chunks = epoch_chunks(LENGTHS[:count], **SHAPE, sorted_batches=sorted_batches, seed=1, epoch=0)
    assert sorted(order(chunks)) == list(range(count))
    assert sum(chunk.steps for chunk in chunks) == -(-count // 16)


@pytest.mark.parametrize("sorted_batches", [10, 1000])
@pytest.mark.parametrize("curriculum", [0.0, 0.5])
def test_the_batches_of_all_seeds_are_about_equally_long_at_every_step(sorted_batches, curriculum):
    lengths = []
    for seed in range(4):
        chunks = epoch_chunks(
            LENGTHS, **SHAPE, sorted_batches=sorted_batches, seed=seed, epoch=3, curriculum=curriculum
        )
        lengths.append([LENGTHS[batch].mean() for batch in batches(chunks)])
    correlations = np.corrcoef(lengths)
    assert correlations.min() > 0.6
    assert sorted_batches > len(lengths[0]) or len({tuple(order) for order in lengths}) == 4


def test_training_mixes_lengths_and_examples():
    chunks = epoch_chunks(LENGTHS, **SHAPE, sorted_batches=10, seed=1, epoch=0)
    lengths = [LENGTHS[batch].max() for batch in batches(chunks)]
    assert abs(np.corrcoef(lengths, np.arange(len(lengths)))[0, 1]) < 0.3
    other = epoch_chunks(LENGTHS, **SHAPE, sorted_batches=10, seed=1, epoch=1)
    assert {tuple(sorted(batch)) for batch in batches(chunks)}.isdisjoint(
        tuple(sorted(batch)) for batch in batches(other)
    )


@pytest.mark.parametrize("sorted_batches", SORTED)
def test_a_curriculum_of_1_goes_from_short_to_long_and_one_of_0_is_none(sorted_batches):
    shape = SHAPE | {"sorted_batches": sorted_batches}
    plain = epoch_chunks(LENGTHS, **shape, seed=1, epoch=0)
    assert order(epoch_chunks(LENGTHS, **shape, seed=1, epoch=0, curriculum=0.0)).tolist() == order(plain).tolist()
    strict = epoch_chunks(LENGTHS, **shape, seed=1, epoch=0, curriculum=1.0)
    assert LENGTHS[order(strict)].tolist() == sorted(LENGTHS)
    assert LENGTHS[order(plain)].tolist() != sorted(LENGTHS)
    other = epoch_chunks(LENGTHS, **shape, seed=2, epoch=0, curriculum=1.0)
    assert order(other).tolist() != order(strict).tolist()  # examples of one length come in an order of the seed's


@pytest.mark.parametrize("sorted_batches", SORTED)
def test_the_stricter_a_curriculum_the_closer_its_order_is_to_that_of_the_lengths(sorted_batches):
    def correlation(curriculum):
        chunks = epoch_chunks(LENGTHS, **SHAPE, sorted_batches=sorted_batches, seed=1, epoch=0, curriculum=curriculum)
        seen = order(chunks)
        assert np.array_equal(np.sort(seen), np.arange(len(LENGTHS)))
        return np.corrcoef(LENGTHS[seen], np.arange(len(seen)))[0, 1]

    correlations = [correlation(curriculum) for curriculum in (0.0, 0.3, 0.6, 0.9, 1.0)]
    assert correlations == sorted(correlations)
    assert abs(correlations[0]) < 0.3
    assert correlations[1] < correlations[-1] - 0.1
