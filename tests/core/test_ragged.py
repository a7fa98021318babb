"""Examples of different lengths: order under ``reverse``, each as if alone, padding that is never read."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import (
    CELLS,
    LENGTHS,
    STEPS,
    assert_close,
    loop,
    make_inputs,
    make_params,
    make_state,
    slow_unless,
    total,
    zero_taps,
)

import rnnjax

VALID = np.arange(STEPS)[:, None] < np.array(LENGTHS)  # (T, B)


def make_arguments(cell):
    return make_params(cell), make_inputs(cell, (4,)), make_state(cell, (4,))


def flip_by_hand(a):
    """(T, B, ...) with the valid steps of each example in reverse order and its padding unchanged."""
    order = [[*reversed(range(n)), *range(n, STEPS)] for n in LENGTHS]
    return jnp.stack([a[np.array(steps), b] for b, steps in enumerate(order)], axis=1)


@pytest.mark.parametrize("name", [slow_unless(name == "GRU", name) for name in CELLS])
def test_reverse_is_forward_over_each_example_flipped_by_hand(x64, name):
    cell, lengths = CELLS[name], jnp.array(LENGTHS)

    def read(final, states):
        return total((final, jax.tree.map(lambda a: a * VALID[:, :, None], states))), (final, states)

    def reverse(params, xs, state):
        return read(*rnnjax.unroll(cell, params, xs, state, lengths=lengths, reverse=True))

    def by_hand(params, xs, state):
        final, states = rnnjax.unroll(cell, params, flip_by_hand(xs), state, lengths=lengths)
        return read(final, jax.tree.map(flip_by_hand, states))

    arguments = make_arguments(cell)
    gradient, (final, states) = jax.jit(jax.grad(reverse, (0, 1, 2), has_aux=True))(*arguments)
    expected, (final_by_hand, states_by_hand) = jax.jit(jax.grad(by_hand, (0, 1, 2), has_aux=True))(*arguments)
    assert_close((gradient, final), (expected, final_by_hand), 1e-13)
    for values, values_by_hand, initial in zip(states, states_by_hand, arguments[2], strict=True):
        assert_close(values[VALID], values_by_hand[VALID], 1e-13)
        padding = np.broadcast_to(initial, values.shape)[~VALID]
        chex.assert_trees_all_equal(values[~VALID], padding, strict=True)


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in CELLS])
def test_each_example_is_as_if_alone_and_unpadded(x64, name):
    cell, lengths = CELLS[name], (0, 5, 2, 1)
    params, xs, state = make_arguments(cell)

    def padded(params, xs, state):
        final, _ = rnnjax.unroll(cell, params, xs, state, lengths=jnp.array(lengths))
        return total(final), final

    def alone(params, xs, state):
        finals = []
        for b, n in enumerate(lengths):
            first = jax.tree.map(lambda a, b=b: a[b], state)
            finals.append(loop(cell, params, xs[:n, b], first)[0] if n else first)
        final = jax.tree.map(lambda *a: jnp.stack(a), *finals)
        return total(final), final

    actual, expected = (jax.jit(jax.grad(f, (0, 1, 2), has_aux=True))(params, xs, state) for f in (padded, alone))
    assert_close(actual, expected, 1e-13)
    d_xs = np.asarray(actual[0][1])
    assert np.array_equal(np.any(d_xs != 0, axis=-1), np.arange(STEPS)[:, None] < np.array(lengths))


# Each is a program of its own, which the tests below share.
PROGRAMS = [
    slow_unless((name, backward) in (("LSTM", "fused"), ("GRU", "autodiff")), name, backward)
    for name in CELLS
    for backward in ("fused", "autodiff")
]


@functools.cache
def compiled(name, backward):
    """xs -> (gradient of a loss that reads everything, (final, states)), in float32."""
    cell = CELLS[name].replace(param_dtype=jnp.float32)
    params, _, state = make_arguments(cell)

    @jax.jit
    def run(xs):
        def loss(params, state, taps):
            results = rnnjax.unroll(cell, params, xs, state, lengths=jnp.array(LENGTHS), taps=taps, backward=backward)
            return total(results), results

        return jax.grad(loss, (0, 1, 2), has_aux=True)(params, state, zero_taps(cell, (4,)))

    return run


def clean_and_dirty(name, backward, garbage):
    """Results of one compiled program for inputs with normal padding, and with padding full of ``garbage``."""
    run = compiled(name, backward)
    xs = make_inputs(CELLS[name].replace(param_dtype=jnp.float32), (4,))
    return run(xs), run(jnp.where(VALID[:, :, None], xs, garbage))


@pytest.mark.parametrize(("name", "backward"), PROGRAMS)
def test_finite_garbage_in_the_padding_changes_nothing(name, backward):
    clean, dirty = clean_and_dirty(name, backward, 1e30)
    chex.assert_tree_all_finite(clean)
    chex.assert_trees_all_equal(dirty, clean, strict=True)


@pytest.mark.parametrize(("name", "backward"), PROGRAMS)
def test_nan_in_the_padding_changes_no_state(name, backward):
    (_, clean), (_, dirty) = clean_and_dirty(name, backward, jnp.nan)
    chex.assert_tree_all_finite(dirty)
    chex.assert_trees_all_equal(dirty, clean, strict=True)


@pytest.mark.parametrize(("name", "backward"), PROGRAMS)
def test_nan_in_the_padding_changes_no_gradient(name, backward):
    (clean, _), (dirty, _) = clean_and_dirty(name, backward, jnp.nan)
    chex.assert_tree_all_finite(dirty)
    chex.assert_trees_all_equal(dirty, clean, strict=True)
