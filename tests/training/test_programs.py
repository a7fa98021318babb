"""A compiled chunk of steps is those steps one by one, over the rows of the split it names."""

import jax
import jax.numpy as jnp
import numpy as np
from sequences import assert_close, assert_same

from rnnjax.data.batches import epoch_chunks
from rnnjax.training.optimizer import make_optimizer
from rnnjax.training.steps import Batch, make_loss, make_train_step

KEY = jax.random.key(7)


def full_chunk(tiny):
    """A chunk whose three steps are all real, the last batch of them not full."""
    lengths = tiny.dataset.train.lengths
    order = epoch_chunks(lengths, batch_size=4, edges=tiny.edges, steps_per_chunk=3, seed=0, epoch=0)
    chunk = next(chunk for chunk in order if chunk.steps == 3)
    weights = chunk.weights.copy()
    weights[2, 3] = 0
    return chunk._replace(weights=weights)


def fresh(tiny):
    """Programs reuse the memory of the state they are given, so each needs its own."""
    return tiny.programs.init(jax.random.key(1))


def test_a_chunk_is_its_steps_one_by_one(tiny):
    chunk = full_chunk(tiny)
    run, log = tiny.programs.train[chunk.length], tiny.programs.log[chunk.length]
    arguments = (chunk.indices, chunk.weights)
    together, metrics = run(KEY, tiny.examples, fresh(tiny), *arguments, np.int32(0), np.int32(3))

    state, rows = fresh(tiny), []
    for k in range(3):
        state, row, _ = log(KEY, tiny.examples, state, *arguments, np.int32(k))
        rows.append(jax.tree.map(lambda values, k=k: values[k], row))
    assert int(state.step) == 3
    rows = jax.tree.map(lambda *a: jnp.stack(a), *rows)
    assert_close((state.params, rows), (together.params, metrics), 1e-5)  # two programs may round differently

    state, _ = run(KEY, tiny.examples, fresh(tiny), *arguments, np.int32(0), np.int32(1))
    state, later = run(KEY, tiny.examples, state, *arguments, np.int32(1), np.int32(3))
    assert_same(state, together)
    assert np.all(later.loss[:1] == 0)
    assert_same(later.loss[1:], metrics.loss[1:])


def test_a_program_takes_the_rows_that_the_indices_name(tiny):
    chunk = full_chunk(tiny)
    split, rows = tiny.dataset.train, chunk.indices[1]
    batch = Batch(split.tokens[rows, : chunk.length], split.lengths[rows], split.labels[rows], chunk.weights[1])
    step = jax.jit(make_train_step(tiny.model, make_optimizer(tiny.settings, 20), log_gradients=True))
    expected = step(KEY, fresh(tiny), batch)
    result = tiny.programs.log[chunk.length](KEY, tiny.examples, fresh(tiny), chunk.indices, chunk.weights, np.int32(1))
    metrics = jax.tree.map(lambda values: values[1], result[1])
    assert_close((metrics, result[0].params), (expected[1], expected[0].params), 1e-5)
    assert_same(result[2].gradients.h.examples, expected[2].gradients.h.examples)
    assert_close(result[2].updates, expected[2].updates, 1e-5)


def test_an_examination_takes_the_rows_that_the_indices_name(tiny):
    """All words of each, whatever the bucket."""
    params = fresh(tiny).params
    rows = len(tiny.dataset.train.lengths) + np.arange(32, dtype=np.int32)
    losses, (layer,) = tiny.programs.examine(params, tiny.examples, rows)
    split = tiny.dataset.validation
    batch = Batch(split.tokens[:32], split.lengths[:32], split.labels[:32], None)
    assert_close(losses, jax.jit(make_loss(tiny.model))(params, batch), 1e-5)
    assert layer.name == "recurrent"
    np.testing.assert_array_equal(layer.count, [(split.lengths[:32] > lag).sum() for lag in range(len(layer.count))])


def test_the_origin_is_searched_in_the_rows_that_the_indices_name(tiny):
    params = fresh(tiny).params
    split = tiny.dataset.train
    row = int(np.argmin(split.lengths))
    word = int(split.tokens[row, 1])
    embedding = params["Embed_0"]["embedding"].at[word].set(np.nan)
    bad = params | {"Embed_0": {"embedding": embedding}}
    rows, weights = np.array([row], np.int32), np.ones(1, np.float32)
    first = int(np.argmax(split.tokens[row] == word))
    assert tiny.programs.origin(bad, tiny.examples, rows, weights) == ("forward", "recurrent", "h", first, None)


def test_examples_lie_on_the_device_split_by_split(tiny):
    train, validation, test, *_ = tiny.dataset
    for field in ("tokens", "lengths", "labels"):
        stored = getattr(tiny.examples, field)
        assert isinstance(stored, jax.Array)
        assert_same(stored, np.concatenate([getattr(split, field) for split in (train, validation, test)]))
