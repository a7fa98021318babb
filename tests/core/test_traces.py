"""A user's jitted step around ``unroll`` or a module is traced once, however many batches of one shape it is given."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sequences import CELLS, INPUTS, LENGTHS, STEPS

import rnnjax

BATCH = len(LENGTHS)


@pytest.fixture(autouse=True)
def _count_from_zero():
    """chex counts by the function's source, also across the parameters of one test."""
    chex.clear_trace_counter()


def batches(steps=STEPS, count=5):
    """(xs (T, B, D), lengths (B,)) with new numbers in each, the first with the shortest and longest lengths."""
    rng = np.random.default_rng(0)
    for k in range(count):
        lengths = rng.integers(0, steps + 1, BATCH) if k else np.array([0, steps, 1, steps])
        yield rng.normal(size=(steps, BATCH, INPUTS)).astype(np.float32), lengths.astype(np.int32)


def float32_cell(name):
    return CELLS[name].replace(param_dtype=jnp.float32)


@pytest.mark.parametrize("backward", ["fused", "autodiff"])
@pytest.mark.parametrize("name", CELLS)
def test_a_training_step_is_traced_once(name, backward):
    """The final state of a batch is the initial state of the next, and the updated parameters are used again."""
    cell, optimizer = float32_cell(name), optax.adam(1e-2)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def train_step(params, optimizer_state, state, xs, lengths):
        def loss(params):
            final, states = rnnjax.unroll(cell, params, xs, state, lengths=lengths, backward=backward)
            return jnp.mean((states.h - 0.5) ** 2), final

        (value, final), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        return optax.apply_updates(params, updates), optimizer_state, final, value

    params, state = cell.init(jax.random.key(0), INPUTS), cell.initial_state((BATCH,))
    optimizer_state = optimizer.init(params)
    for xs, lengths in batches():
        params, optimizer_state, state, value = train_step(params, optimizer_state, state, xs, lengths)
        chex.assert_tree_all_finite((params, state, value))


@pytest.mark.parametrize("name", CELLS)
def test_a_training_step_of_a_module_is_traced_once(name):
    """With taps, whose gradient is returned, and batch-major inputs."""
    module, optimizer = rnnjax.RNN(float32_cell(name)), optax.sgd(1e-2)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def train_step(params, optimizer_state, xs, lengths):
        def loss(params, taps):
            final, _ = module.apply(params, xs, lengths=lengths, taps=taps)
            return jnp.mean(final.h**2)

        gradient, d_taps = jax.grad(loss, (0, 1))(params, module.zero_taps(BATCH, STEPS))
        updates, optimizer_state = optimizer.update(gradient, optimizer_state)
        return optax.apply_updates(params, updates), optimizer_state, d_taps

    params = module.init(jax.random.key(0), jnp.zeros((BATCH, STEPS, INPUTS)))
    optimizer_state = optimizer.init(params)
    for xs, lengths in batches():
        params, optimizer_state, d_taps = train_step(params, optimizer_state, np.swapaxes(xs, 0, 1), lengths)
        chex.assert_tree_all_finite((params, d_taps))


@pytest.mark.parametrize("name", CELLS)
def test_an_evaluation_that_continues_a_sequence_is_traced_once(name):
    cell = float32_cell(name)
    params = cell.init(jax.random.key(0), INPUTS)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def evaluate(params, xs, state):
        return rnnjax.unroll(cell, params, xs, state)[0]

    state = cell.initial_state((BATCH,))
    for xs, _ in batches():
        state = evaluate(params, xs, state)


def test_a_new_shape_is_counted_as_a_second_trace():
    cell = float32_cell("LSTM")
    params = cell.init(jax.random.key(0), INPUTS)
    evaluate = jax.jit(chex.assert_max_traces(lambda params, xs: rnnjax.unroll(cell, params, xs)[0], n=1))
    for xs, _ in batches():
        evaluate(params, xs)
    longer, _ = next(batches(STEPS + 1))
    with pytest.raises(AssertionError, match="traced > 1 times"):
        evaluate(params, longer)
