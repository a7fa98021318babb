"""A compiled chunk of steps is those steps one by one, over the rows of the split it names."""

import jax
import numpy as np
from sequences import assert_close, assert_same
from studies import SETTINGS

from rnnjax.data.batching import epoch_chunks
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.setup import select_member, stack_trees
from rnnjax.training.step.multi_step import example_arrays
from rnnjax.training.step.optimizer import make_optimizer
from rnnjax.training.step.train_step import STATE, Batch, make_train_step, traced_hparams

KNOBS = traced_hparams(SETTINGS, jax.random.key(7))


def full_chunk(tiny):
    """A chunk whose three steps are all real, the last batch of them not full."""
    lengths, edges = tiny.dataset.train.lengths, tiny.prepared.group.edges
    order = epoch_chunks(lengths, batch_size=4, edges=edges, steps_per_chunk=3, seed=0, epoch=0)
    chunk = next(chunk for chunk in order if chunk.steps == 3)
    weights = chunk.weights.copy()
    weights[2, 3] = 0
    return chunk._replace(weights=weights)


def fresh(tiny):
    (init,) = tiny.programs.init.values()
    return init(jax.random.key(1))


def put(tiny, role, tree):
    return tiny.prepared.layout.put(role, stack_trees([tree]))


def fetch(tiny, tree):
    return select_member(tiny.prepared.layout.fetch(tree), 0)


def caller(tiny, chunk):
    """(state, numbers) -> what the program of the chunk's length returns; a state of one's own at first."""
    program = tiny.programs.train[chunk.length]
    places = put(tiny, ShardingRole.BATCH, (chunk.indices, chunk.weights))
    knobs = put(tiny, ShardingRole.MEMBER, KNOBS)

    def call(state, *numbers):
        state = put(tiny, STATE, fresh(tiny)) if state is None else state
        return program(knobs, tiny.prepared.examples, state, *places, *map(np.int32, numbers))

    return call


def test_a_chunk_is_its_steps_one_by_one(tiny):
    chunk = full_chunk(tiny)
    run = caller(tiny, chunk)
    together, metrics, _ = fetch(tiny, run(None, 0, 3, -1))

    state, rows = None, []
    for k in range(3):
        state, row, _ = run(state, k, k + 1, k)
        row = fetch(tiny, row)
        assert all(np.flatnonzero(values).tolist() == [k] for values in (row.loss, row.gradient_norm))
        rows.append(jax.tree.map(lambda values, k=k: values[k], row))
    state = fetch(tiny, state)
    assert int(state.step) == 3
    rows = jax.tree.map(lambda *a: np.stack(a), *rows)
    assert_close((state.params, rows), (together.params, metrics), 1e-5)  # a logged step may round differently

    state, *_ = run(None, 0, 1, -1)
    state, later, _ = fetch(tiny, run(state, 1, 3, -1))
    assert_same(state, together)
    assert np.all(later.loss[:1] == 0)
    assert_same(later.loss[1:], metrics.loss[1:])


def test_any_step_of_a_chunk_may_be_logged(tiny):
    run = caller(tiny, full_chunk(tiny))
    plain, metrics, nothing = fetch(tiny, run(None, 0, 3, -1))
    assert not any(np.any(a) for a in jax.tree.leaves(nothing))
    logs = []
    for k in range(3):
        state, same, log = fetch(tiny, run(None, 0, 3, k))
        assert_close((state.params, same), (plain.params, metrics), 1e-5)
        logs.append(log)
    state = None
    for k in range(3):
        state, _, alone = run(state, k, k + 1, k)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-7), fetch(tiny, alone), logs[k])
    *_, outside = fetch(tiny, run(None, 0, 1, 2))
    assert_same(outside, nothing)


def test_a_program_takes_the_rows_that_the_indices_name(tiny):
    chunk = full_chunk(tiny)
    split, rows = tiny.dataset.train, chunk.indices[1]
    batch = Batch(split.inputs[rows, : chunk.length], split.lengths[rows], split.labels[rows], chunk.weights[1])
    step = jax.jit(make_train_step(tiny.model, make_optimizer(SETTINGS, 20), SETTINGS, log_gradients=True))
    expected = step(KNOBS, fresh(tiny), batch)
    state, metrics, log = fetch(tiny, caller(tiny, chunk)(None, 1, 2, 1))
    metrics = jax.tree.map(lambda values: values[1], metrics)
    assert_close(tuple(metrics), tuple(map(np.asarray, expected[1])), 1e-5)
    assert_close(state.params, expected[0].params, 1e-5)
    log = log.unpack()
    assert_same(log.gradients.h.examples, expected[2].gradients.h.examples)
    assert_close(log.updates, expected[2].updates, 1e-5)


def test_the_origin_is_searched_in_the_examples_that_it_is_given(tiny):
    state = fresh(tiny)
    split = tiny.dataset.train
    row = int(np.argmin(split.lengths))
    word = int(split.inputs[row, 1])
    embedding = state.params["Embed_0"]["embedding"].at[word].set(np.nan)
    bad = state._replace(params=state.params | {"Embed_0": {"embedding": embedding}})
    batch = Batch(*(values[row : row + 1] for values in split[:3]), np.ones(1, np.float32))
    first = int(np.argmax(split.inputs[row] == word))
    assert tiny.programs.origin(bad, batch) == ("forward", "recurrent", "h", first, None)


def test_examples_lie_on_the_device_split_by_split(tiny):
    train, validation, test, *_ = tiny.dataset
    arrays = example_arrays(tiny.dataset)
    for field in ("inputs", "lengths", "labels"):
        stored = getattr(tiny.prepared.examples, field)
        assert isinstance(stored, jax.Array)
        whole = np.concatenate([getattr(split, field) for split in (train, validation, test)])
        assert_same(stored, whole)
        assert_same(getattr(arrays, field), whole)


def test_a_run_begins_with_the_parameters_of_its_seed(tiny):
    prepared = tiny.changed(seed=5)
    key, dropout = jax.random.split(jax.random.key(5))
    variables = jax.jit(tiny.model.init)(key, np.zeros((1, 1), np.int32))
    begun = select_member(prepared.fresh, 0)
    assert_close(begun.params, variables["params"], 1e-6)
    assert (int(begun.step), bool(begun.halted)) == (0, False)
    assert_same(prepared.keys[0], jax.random.key_data(dropout))
