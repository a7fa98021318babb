"""One long sequence cut into streams that are read in parallel."""

import numpy as np
import pytest

from rnnjax.data.streams import stream_chunks

SIZES = [(count, size, steps) for count in (1, 5, 12, 13, 40) for size in (1, 3, 4, 50) for steps in (1, 3, 8)]


def batches(chunks):
    """Indices and weights of all batches that are run, (windows, B)."""
    return [
        np.concatenate([getattr(chunk, name)[: chunk.steps] for chunk in chunks]) for name in ("indices", "weights")
    ]


@pytest.mark.parametrize(("count", "size", "steps"), SIZES)
def test_every_window_comes_once_and_each_row_goes_on_where_it_ended(count, size, steps):
    chunks = stream_chunks(count, batch_size=size, steps_per_chunk=steps)
    indices, weights = batches(chunks)
    assert sorted(indices[weights == 1]) == list(range(count))
    assert len(indices) == -(-count // size)
    going_on = weights[1:] == 1
    np.testing.assert_array_equal(np.diff(indices, axis=0)[going_on], 1)
    assert (weights[:-1][going_on] == 1).all()  # nothing comes after padding
    first = indices[0][weights[0] == 1]
    assert first.tolist() == [row * len(indices) for row in range(len(first))]


@pytest.mark.parametrize(("count", "size", "steps"), SIZES)
def test_chunks_have_one_shape_and_padding_has_no_weight(count, size, steps):
    chunks = stream_chunks(count, batch_size=size, steps_per_chunk=steps)
    for chunk in chunks:
        assert chunk.indices.shape == chunk.weights.shape == (steps, size)
        assert (chunk.indices.dtype, chunk.weights.dtype) == (np.int32, np.float32)
        assert chunk.indices.min() >= 0
        assert chunk.indices.max() < count
        real = chunk.weights.any(axis=1)
        assert real.tolist() == [True] * chunk.steps + [False] * (steps - chunk.steps)
        assert set(np.unique(chunk.weights)) <= {0, 1}
    assert sum(chunk.weights.sum() for chunk in chunks) == count
    assert [chunk.steps for chunk in chunks[:-1]] == [steps] * (len(chunks) - 1)


def test_the_streams_of_seven_windows():
    (chunk,) = stream_chunks(7, batch_size=3, steps_per_chunk=4)
    assert chunk.indices.tolist() == [[0, 3, 6], [1, 4, 6], [2, 5, 6], [2, 5, 6]]
    assert chunk.weights.tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert chunk.steps == 3
