"""A program that takes several steps is equal to single steps, on the rows that it is given."""

import jax
import numpy as np
import pytest
from sequences import assert_close, assert_same
from studies import SETTINGS

from rnnjax.data.batching import epoch_chunks
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.setup import select_member, stack_trees
from rnnjax.training.step.multi_step import example_arrays, example_shapes
from rnnjax.training.step.optimizer import make_optimizer
from rnnjax.training.step.state import STATE_ROLES, Batch, traced_hparams
from rnnjax.training.step.train_step import make_train_step

pytestmark = pytest.mark.slow

HPARAMS = traced_hparams(SETTINGS, jax.random.key(7))


def full_chunk(tiny):
    """A chunk of three steps, the last batch of them not full."""
    order = epoch_chunks(tiny.dataset.train.lengths, batch_size=4, steps_per_chunk=3, seed=0, epoch=0)
    chunk = next(chunk for chunk in order if chunk.steps == 3)
    weights = chunk.weights.copy()
    weights[2, 3] = 0
    return chunk._replace(weights=weights)


def initial_state(tiny):
    (init,) = tiny.programs.init.values()
    return init(jax.random.key(1))


def put(tiny, role, tree):
    return tiny.setup.layout.put(role, stack_trees([tree]))


def fetch(tiny, tree):
    return select_member(tiny.setup.layout.fetch(tree), 0)


def caller(tiny, chunk):
    """(state, start, stop, logged) -> what the program returns; the initial state where ``state`` is None."""
    rows = put(tiny, ShardingRole.BATCH, (chunk.indices, chunk.weights))
    hparams = put(tiny, ShardingRole.MEMBER, HPARAMS)

    def call(state, *numbers):
        state = put(tiny, STATE_ROLES, initial_state(tiny)) if state is None else state
        return tiny.programs.train(hparams, tiny.setup.examples, state, *rows, *map(np.int32, numbers))

    return call


def test_a_chunk_is_equal_to_its_single_steps(tiny):
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
    plain, metrics, no_log = fetch(tiny, run(None, 0, 3, -1))
    assert not any(np.any(a) for a in jax.tree.leaves(no_log))
    logs = []
    for k in range(3):
        state, same, log = fetch(tiny, run(None, 0, 3, k))
        assert_close((state.params, same), (plain.params, metrics), 1e-5)
        logs.append(log)
    state = None
    for k in range(3):
        state, _, single = run(state, k, k + 1, k)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-7), fetch(tiny, single), logs[k])
    *_, outside = fetch(tiny, run(None, 0, 1, 2))
    assert_same(outside, no_log)


def test_a_program_reads_the_rows_at_the_indices(tiny):
    chunk = full_chunk(tiny)
    split, rows = tiny.dataset.train, chunk.indices[1]
    batch = Batch(split.inputs[rows], split.lengths[rows], split.labels[rows], chunk.weights[1])
    step = jax.jit(make_train_step(tiny.model, make_optimizer(SETTINGS, 20), SETTINGS, log_gradients=True))
    expected = step(HPARAMS, initial_state(tiny), batch)
    state, metrics, log = fetch(tiny, caller(tiny, chunk)(None, 1, 2, 1))
    metrics = jax.tree.map(lambda values: values[1], metrics)
    assert_close(tuple(metrics), tuple(map(np.asarray, expected[1])), 1e-5)
    assert_close(state.params, expected[0].params, 1e-5)
    log = log.unpack()
    assert_same(log.gradients.h.examples, expected[2].gradients.h.examples)
    assert_close(log.updates, expected[2].updates, 1e-5)


def test_the_origin_is_searched_in_the_examples_that_it_is_given(tiny):
    state = initial_state(tiny)
    split = tiny.dataset.train
    row = int(np.argmin(split.lengths))
    word = int(split.inputs[row, 1])
    embedding = state.params["Embed_0"]["embedding"].at[word].set(np.nan)
    bad = state._replace(params=state.params | {"Embed_0": {"embedding": embedding}})
    batch = Batch(*(values[row : row + 1] for values in split[:3]), np.ones(1, np.float32))
    first = int(np.argmax(split.inputs[row] == word))
    assert tiny.programs.origin(bad, tiny.setup.keys[0], batch) == ("forward", "recurrent", "h", first, None)


def test_examples_are_on_the_device_split_by_split(tiny):
    train, validation, test, *_ = tiny.dataset
    arrays = example_arrays(tiny.dataset, 7)
    for field in ("inputs", "lengths", "labels"):
        stored = getattr(tiny.setup.examples, field)
        assert isinstance(stored, jax.Array)
        whole = np.concatenate([getattr(split, field) for split in (train, validation, test)])
        assert_same(stored, whole)
        assert_same(getattr(arrays, field), whole)


def test_initial_parameters_and_keys_are_those_of_the_seed(tiny):
    setup = tiny.changed(seed=5)
    key, dropout = jax.random.split(jax.random.key(5))
    variables = jax.jit(tiny.model.init)(key, np.zeros((1, 1), np.int32))
    initial = select_member(setup.initial_state, 0)
    assert_close(initial.params, variables["params"], 1e-6)
    assert (int(initial.step), bool(initial.halted)) == (0, False)
    assert_same(setup.keys[0], jax.random.key_data(dropout))


def test_examples_are_cut_to_the_longest(tiny):
    ensemble = tiny.setup.ensemble
    assert (ensemble.longest, ensemble.is_ragged) == (7, True)
    padded = [
        split._replace(
            inputs=np.pad(split.inputs, [(0, 0), (0, 5)]), labels=np.pad(split.labels[:, None], [(0, 0), (11, 0)])
        )
        for split in tiny.dataset.splits
    ]
    wide = tiny.dataset._replace(train=padded[0], validation=padded[1], test=padded[2])
    arrays = example_arrays(wide, ensemble.longest)
    assert_same(arrays.inputs, example_arrays(tiny.dataset, 7).inputs)
    assert arrays.labels.shape == (len(arrays.lengths), 7)
    shapes = example_shapes(wide, 7)
    assert [(a.shape, a.dtype) for a in shapes] == [(a.shape, a.dtype) for a in arrays]
    assert ensemble._replace(datasets=(wide,)).longest == 7
    whole = [split._replace(lengths=np.full_like(split.lengths, 7)) for split in tiny.dataset.splits]
    full = tiny.dataset._replace(train=whole[0], validation=whole[1], test=whole[2])
    assert not ensemble._replace(datasets=(full,)).is_ragged
