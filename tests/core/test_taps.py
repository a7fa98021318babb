"""The gradient with respect to the taps is the total derivative of the loss with respect to every state."""

import dataclasses
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import (
    CELLS,
    assert_close,
    make_inputs,
    make_params,
    make_state,
    slow_unless,
    total,
    zero_taps,
)

import rnnjax
from rnnjax.cells import SimpleRNNState


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def numpy_step(name, params, state, x, nudge):
    """One step in NumPy with ``nudge`` added to the new state: to c before h is computed from it, and to h."""
    z_x, z_h = x @ params.w_x + params.b, state[0] @ params.w_h
    if name == "SimpleRNN":
        return (np.tanh(z_x + z_h) + nudge[0],)
    if name == "LSTM":
        i, f, g, o = np.split(z_x + z_h, 4, axis=-1)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g) + nudge[1]
        return sigmoid(o) * np.tanh(c) + nudge[0], c
    (r_x, u_x, n_x), (r_h, u_h, n_h) = np.split(z_x, 3, axis=-1), np.split(z_h + params.b_h, 3, axis=-1)
    u = sigmoid(u_x + u_h)
    return ((1 - u) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h) + u * state[0] + nudge[0],)


def numpy_loss(name, params, xs, state, lengths, nudges, reverse):
    steps = range(len(xs))
    states = [None for _ in steps]
    for t in reversed(steps) if reverse else steps:
        new = numpy_step(name, params, state, xs[t], [n[t] for n in nudges])
        state = [np.where((t < lengths)[:, None], a, b) for a, b in zip(new, state, strict=True)]
        states[t] = state
    return total((state, [np.stack(a) for a in zip(*states, strict=True)]), np.sin)


@pytest.mark.parametrize(("name", "reverse"), [("SimpleRNN", False), ("LSTM", False), ("LSTM", True), ("GRU", False)])
def test_taps_are_finite_differences_of_the_states(x64, name, reverse):
    cell = CELLS[name].replace(features=3)
    lengths, steps, epsilon = np.array([5, 0, 3]), 5, 1e-5
    params, state = make_params(cell, 2), make_state(cell, (3,))
    xs, zeros = make_inputs(cell, (3,), steps, 2), zero_taps(cell, (3,), steps)

    @jax.jit
    @jax.grad
    def gradient(taps):
        return total(rnnjax.unroll(cell, params, xs, state, lengths=jnp.array(lengths), taps=taps, reverse=reverse))

    arrays = jax.tree.map(np.asarray, (params, xs, state))
    for field, actual in enumerate(gradient(zeros)):
        expected = np.zeros(actual.shape)
        for entry in np.ndindex(actual.shape):
            losses = []
            for nudge in (epsilon, -epsilon):
                nudges = [np.zeros(a.shape) for a in zeros]
                nudges[field][entry] = nudge
                losses.append(numpy_loss(name, *arrays, lengths, nudges, reverse))
            expected[entry] = (losses[0] - losses[1]) / (2 * epsilon)
        assert_close(actual, expected, 1e-8)
        assert np.array_equal(np.any(actual != 0, axis=-1), np.arange(steps)[:, None] < lengths)


@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_of_a_loss_at_one_step_is_zero_at_all_later_steps(name):
    cell = CELLS[name].replace(param_dtype=jnp.float32)
    params, xs = make_params(cell), make_inputs(cell, (4,))

    @jax.jit
    def gradients(taps):
        def read(taps, k):
            _, states = rnnjax.unroll(cell, params, xs, taps=taps)
            return jnp.sum(states.h[k])

        return jax.vmap(jax.grad(read), (None, 0))(taps, jnp.arange(len(xs)))

    for field in gradients(zero_taps(cell, (4,))):
        nonzero = np.any(field != 0, axis=(2, 3))  # (k, t)
        assert np.array_equal(nonzero, np.tri(len(xs), dtype=bool))


@dataclasses.dataclass(frozen=True)
class Linear(rnnjax.ElementwiseCell):
    """h_t = z^x_t + z^h_t."""

    gates: ClassVar[tuple[str, ...]] = ("h",)
    State: ClassVar[type] = SimpleRNNState
    additive: ClassVar[bool] = True

    def update(self, z_x, z_h, m):
        return z_x + z_h


@pytest.mark.parametrize("reverse", [False, True])
def test_the_gradient_norm_of_a_linear_cell_shrinks_by_a_tenth_at_every_step(x64, reverse):
    cell = Linear(8, recurrent_init=rnnjax.Orthogonal(0.9), param_dtype=jnp.float64)
    params, xs = cell.init(jax.random.key(0), 3), make_inputs(cell, (4,), 60)
    lengths = np.array([60, 41, 2, 1])

    @jax.jit
    @jax.grad
    def gradient(taps):
        final, _ = rnnjax.unroll(cell, params, xs, lengths=jnp.array(lengths), taps=taps, reverse=reverse)
        return total(final)

    norms = np.linalg.norm(gradient(zero_taps(cell, (4,), 60)).h, axis=-1)
    for b, n in enumerate(lengths):
        from_the_end = norms[:n, b] if reverse else norms[:n, b][::-1]
        np.testing.assert_allclose(from_the_end, from_the_end[0] * 0.9 ** np.arange(n), rtol=1e-12)
        assert from_the_end[0] > 0


def test_a_loss_on_the_last_output_alone_reaches_the_memory_of_the_last_step(x64):
    """∂L/∂c_T = ∂L/∂h_T · o·(1 - tanh²(c_T)), through the readout, and not zero."""
    cell = CELLS["LSTM"]
    params, xs = make_params(cell), make_inputs(cell, (4,))

    @jax.jit
    def gradient(taps):
        def loss(taps):
            final, _ = rnnjax.unroll(cell, params, xs, taps=taps)
            return total(final.h), final

        return jax.grad(loss, has_aux=True)(taps)

    (d_h, d_c), final = gradient(zero_taps(cell, (4,)))
    tanh_c = np.tanh(final.c)
    assert_close(d_h[-1], jax.grad(total)(final.h), 1e-14)
    assert_close(d_c[-1], d_h[-1] * final.h / tanh_c * (1 - tanh_c**2), 1e-13)
    assert np.all(d_c[-1] != 0)


@pytest.mark.parametrize(
    ("name", "ragged"),
    [slow_unless((name, ragged) == ("SimpleRNN", True), name, ragged) for name in CELLS for ragged in (True, False)],
)
def test_losses_and_gradients_are_bit_for_bit_the_same_without_taps(optimized, name, ragged):
    steps, batch, features = 50, 8, 64
    cell = CELLS[name].replace(features=features, param_dtype=jnp.float32)
    params, xs = make_params(cell), make_inputs(cell, (batch,), steps)
    lengths = jnp.array([0, 50, 31, 1, 50, 12, 7, 25]) if ragged else None

    def loss(params, taps):
        final, states = rnnjax.unroll(cell, params, xs, lengths=lengths, taps=taps)
        return jnp.mean(jnp.sin(final.h)) + jnp.mean(states.h**2)

    off = jax.jit(jax.value_and_grad(loss))(params, None)
    value, (d_params, d_taps) = jax.jit(jax.value_and_grad(loss, (0, 1)))(params, zero_taps(cell, (batch,), steps))
    chex.assert_trees_all_equal((value, d_params), off, strict=True)
    assert all(np.any(a != 0) for a in jax.tree.leaves((d_params, d_taps)))
