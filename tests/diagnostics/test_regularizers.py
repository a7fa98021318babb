"""Ω and gradient flossing: values by definition with dense Jacobians, gradients by finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import (
    CELLS,
    LENGTHS,
    VARIANTS,
    assert_close,
    make_inputs,
    make_params,
    make_state,
    normal_like,
    slow_unless,
)

from rnnjax.diagnostics import flossing, linearise, lyapunov_spectrum, omega, step_jacobians
from rnnjax.diagnostics.linearization import recurrent_blocks

pytestmark = pytest.mark.slow

ALL = CELLS | {"SimpleRNN relu": VARIANTS["SimpleRNN relu"]}
LENGTH = np.array(LENGTHS)


def dense(cell, params, steps, w_h):
    """Jacobians (T, B, S, S) in NumPy from the partials of ``steps``, with any W_h."""
    f, u, r, o = (np.asarray(a) for a in (steps.f, steps.u, steps.r, steps.o))
    blocks = np.asarray(recurrent_blocks(cell, params._replace(w_h=w_h)))
    eye = np.eye(cell.features)
    m_h, m_m = np.einsum("tbgj,ghj->tbjh", u, blocks), f[..., None] * eye
    if not cell.has_separate_memory:
        return m_h + m_m
    h_h = r[..., None] * m_h + np.einsum("tbgj,ghj->tbjh", o, blocks)
    return np.block([[h_h, (r * f)[..., None] * eye], [m_h, m_m]])


def by_loop(jacobians, cotangents, lengths):
    """Σ_t (‖J_{t+1}ᵀ λ_{t+1}‖ / ‖λ_{t+1}‖ - 1)² of each example."""
    values = np.zeros(len(lengths))
    for b, n in enumerate(lengths):
        for t in range(1, n):
            vector = cotangents[t, b]
            if np.any(vector != 0):
                values[b] += (np.linalg.norm(jacobians[t, b].T @ vector) / np.linalg.norm(vector) - 1) ** 2
    return values


@functools.cache
def measured(name):
    cell = ALL[name]
    params, xs, start = make_params(cell), make_inputs(cell, (len(LENGTH),)), make_state(cell, (len(LENGTH),))
    asked = normal_like(cell.initial_state((len(xs), len(LENGTH))), 11)
    asked = jax.tree.map(lambda a: a.at[4].set(0), asked)  # a step that the loss does not hang on does not count

    @jax.jit
    def run(params):
        def value(params):
            steps = linearise(cell, params, xs, start, lengths=jnp.array(LENGTH))
            each = omega(cell, params, steps, asked)
            return each.sum(), (each, steps, step_jacobians(cell, params, steps))

        return jax.grad(value, has_aux=True)(params)

    gradient, (each, steps, jacobians) = run(params)
    return cell, params, np.concatenate(asked, axis=-1), gradient, each, steps, np.asarray(jacobians)


@pytest.mark.parametrize("name", [slow_unless(name != "SimpleRNN", name) for name in ALL])
def test_omega_is_its_definition_with_dense_jacobians(x64, name):
    _, _, asked, _, each, _, jacobians = measured(name)
    np.testing.assert_allclose(each, by_loop(jacobians, asked, LENGTH), rtol=1e-12)
    assert np.all((np.asarray(each) > 0) == (LENGTH > 1))


def test_omega_of_two_episodes_is_the_sum_of_both(x64):
    cell = CELLS["LSTM"]
    params, xs = make_params(cell), make_inputs(cell, (2,), 7)
    asked = normal_like(cell.initial_state((7, 2)), 11)

    def cost(first, last, resets=None):
        steps = linearise(cell, params, xs[first:last], resets=resets)
        return omega(cell, params, steps, jax.tree.map(lambda a: a[first:last], asked))

    both = cost(0, 7, jnp.zeros((7, 2), bool).at[jnp.array([0, 3])].set(True))
    np.testing.assert_allclose(both, cost(0, 3) + cost(3, 7), rtol=1e-12)


@pytest.mark.parametrize("name", [slow_unless(name != "SimpleRNN", name) for name in ALL])
def test_omega_reaches_the_recurrent_weights_alone_and_directly(x64, name):
    """Pascanu et al. (2013), eq. 10: states, partials and λ are constants."""
    cell, params, asked, gradient, _, steps, _ = measured(name)
    expected, w_h = np.zeros(params.w_h.shape), np.asarray(params.w_h)
    for entry in np.ndindex(w_h.shape):
        nudge = np.zeros(w_h.shape)
        nudge[entry] = 1e-6
        plus, minus = (by_loop(dense(cell, params, steps, w_h + d), asked, LENGTH).sum() for d in (nudge, -nudge))
        expected[entry] = (plus - minus) / 2e-6
    assert_close(np.asarray(gradient.w_h), expected, 1e-7)
    assert all(np.all(a == 0) for a in jax.tree.leaves(gradient._replace(w_h=None)))


@pytest.mark.parametrize("name", [slow_unless(name == "GRU", name) for name in CELLS])
def test_omega_sees_a_gradient_that_has_all_but_vanished(name):
    """λ of 1e-25, whose squares float32 cannot hold, is shrunk or stretched like any other."""
    cell = CELLS[name].replace(param_dtype=jnp.float32)
    params, xs = make_params(cell), make_inputs(cell, (3,))
    asked = normal_like(cell.initial_state((len(xs), 3)), 11)

    @jax.jit
    @jax.value_and_grad
    def penalty(w_h, scale):
        mine = params._replace(w_h=w_h)
        scaled = jax.tree.map(lambda a: a * scale, asked)
        return omega(cell, mine, linearise(cell, mine, xs), scaled).sum()

    expected = penalty(params.w_h, 1.0)
    assert expected[0] > 0.1
    for scale in (1e-25, 1e25):
        assert_close(penalty(params.w_h, scale), expected, 1e-5)


def test_a_rotation_costs_nothing(x64):
    cell = VARIANTS["SimpleRNN relu"]
    params = make_params(cell)
    params = params._replace(w_h=jnp.eye(5)[jnp.array([1, 2, 0, 4, 3])], w_x=0 * params.w_x, b=jnp.ones(5))
    asked = normal_like(cell.initial_state((8, 2)), 11)

    @jax.jit
    def run(params):
        steps = linearise(cell, params, make_inputs(cell, (2,)))
        return omega(cell, params, steps, asked), flossing(cell, params, steps, count=5)

    np.testing.assert_allclose(run(params), 0, atol=1e-28)


@pytest.mark.parametrize(
    "name", ["LSTM", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SimpleRNN", "GRU"))]
)
def test_flossing_is_the_squared_exponents_and_its_gradient_finite_differences(x64, name):
    cell = CELLS[name].replace(features=3)
    params, xs, start = make_params(cell, 2), make_inputs(cell, (3,), 5, 2), make_state(cell, (3,))
    lengths = jnp.array([5, 0, 3])

    @jax.jit
    def run(params):
        def value(params):
            steps = linearise(cell, params, xs, start, lengths=lengths)
            each = flossing(cell, params, steps, count=2)
            return each.sum(), (each, lyapunov_spectrum(cell, params, steps).exponents)

        return jax.value_and_grad(value, has_aux=True)(params)

    (_, (each, exponents)), gradient = run(params)
    expected = (np.asarray(exponents)[:, :2] ** 2).sum(axis=-1)
    np.testing.assert_allclose(each[::2], expected[::2], rtol=1e-10)
    assert each[1] == 0  # without a step there are no exponents
    assert np.isnan(expected[1])
    for name_, block in params._asdict().items():
        if block is None:
            continue
        direction = normal_like(block, 7)
        plus, minus = (run(params._replace(**{name_: block + d * direction}))[0][0] for d in (1e-6, -1e-6))
        slope = float((getattr(gradient, name_) * direction).sum())
        assert slope == pytest.approx(float(plus - minus) / 2e-6, rel=1e-6)
        assert slope != 0


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in CELLS])
def test_a_series_of_one_step_has_no_omega(name):
    cell = CELLS[name].replace(param_dtype=jnp.float32)
    params, xs = make_params(cell), make_inputs(cell, (3,), steps=1)
    asked = normal_like(cell.initial_state((1, 3)), 11)

    def penalty(params):
        each = omega(cell, params, linearise(cell, params, xs), asked)
        return each.sum(), each

    gradient, each = jax.jit(jax.grad(penalty, has_aux=True))(params)
    np.testing.assert_array_equal(each, np.zeros(3))
    assert not any(np.any(a) for a in jax.tree.leaves(gradient))
