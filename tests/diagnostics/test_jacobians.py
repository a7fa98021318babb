"""Step Jacobians against forward-mode autodiff of ``cell.step``; singular values of products against known ones."""

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
    assert_same,
    loop,
    make_inputs,
    make_params,
    make_state,
    normal_like,
    slow_unless,
)

from rnnjax.diagnostics import (
    extreme_singular_values,
    flip_valid,
    linearise,
    product_singular_values,
    pull,
    singular_values,
    step_jacobians,
)

ALL = CELLS | VARIANTS
BATCH = len(LENGTHS)


@functools.cache
def measured(name):
    """States, Jacobians and one pull-back by rnnjax, and the same from ``cell.step`` alone."""
    cell, lengths = ALL[name], jnp.array(LENGTHS)
    params, xs, start = make_params(cell), make_inputs(cell, (BATCH,)), make_state(cell, (BATCH,))
    cotangents = normal_like(cell.initial_state((len(xs), BATCH)), 11)

    def flat(state, x_t):
        after, _ = cell.step(params, cell.State(*jnp.split(state, len(cell.State._fields))), x_t)
        return jnp.concatenate(after)

    @jax.jit
    def run():
        steps = linearise(cell, params, xs, start, lengths=lengths)
        _, states = loop(cell, params, xs, start, lengths)
        before = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest[:-1]]), start, states)
        expected = jax.vmap(jax.vmap(jax.jacfwd(flat)))(jnp.concatenate(before, axis=-1), xs)
        pulled = pull(cell, params, steps, cotangents)
        return steps.states, states, step_jacobians(cell, params, steps), expected, pulled

    return *jax.tree.map(np.asarray, run()), jax.tree.map(np.asarray, cotangents)


@pytest.mark.parametrize("name", [slow_unless(name in ("LSTM", "GRU"), name) for name in ALL])
def test_a_step_jacobian_is_forward_mode_autodiff_of_the_step(x64, name):
    states, expected_states, jacobians, expected, _, _ = measured(name)
    assert_close(states, expected_states, 1e-14)
    size = expected.shape[-1]
    for b, n in enumerate(LENGTHS):
        assert_close(jacobians[:n, b], expected[:n, b], 1e-13)
        np.testing.assert_array_equal(jacobians[n:, b], np.broadcast_to(np.eye(size), (len(expected) - n, size, size)))


@pytest.mark.parametrize("name", [slow_unless(name in ("LSTM", "GRU"), name) for name in ALL])
def test_a_pull_back_is_the_transposed_jacobian_times_the_gradient(x64, name):
    _, _, _, jacobians, pulled, cotangents = measured(name)
    jacobians = jacobians.copy()
    for b, n in enumerate(LENGTHS):
        jacobians[n:, b] = np.eye(jacobians.shape[-1])
    expected = np.einsum("tbij,tbi->tbj", jacobians, np.concatenate(cotangents, axis=-1))
    assert_close(np.concatenate(pulled, axis=-1), expected, 1e-13)


def test_flipping_reverses_the_valid_steps_alone():
    lengths = jnp.array([0, 5, 3, 1])
    values = jnp.arange(20.0).reshape(5, 4)
    tree = (values, values[..., None] * jnp.ones((1, 1, 2)))
    flipped = flip_valid(tree, lengths)
    np.testing.assert_array_equal(flipped[0][:, 0], values[:, 0])
    np.testing.assert_array_equal(flipped[0][:, 1], values[::-1, 1])
    np.testing.assert_array_equal(flipped[0][:, 2], values[jnp.array([2, 1, 0, 3, 4]), 2])
    np.testing.assert_array_equal(flipped[0][:, 3], values[:, 3])
    assert_same(flipped[1][..., 1], flipped[0])
    assert_same(flip_valid(flipped, lengths), tree)


def test_singular_values_of_each_matrix_by_itself(x64):
    matrices = np.random.default_rng(0).normal(size=(3, 2, 4, 4))
    found = singular_values(jnp.array(matrices))
    values = np.linalg.svd(matrices, compute_uv=False)
    np.testing.assert_allclose(found.log_largest, np.log(values[..., 0]), rtol=1e-10)
    np.testing.assert_allclose(found.log_smallest, np.log(values[..., -1]), rtol=1e-10)
    np.testing.assert_allclose(found.log_condition, np.log(np.linalg.cond(matrices)), rtol=1e-10)


def test_a_short_product_has_the_singular_values_of_the_explicit_one(x64):
    factors = np.eye(4) + 0.4 * np.random.default_rng(1).normal(size=(3, 4, 4))
    expected = np.log(np.linalg.svd(factors[2] @ factors[1] @ factors[0], compute_uv=False))
    found = jax.jit(lambda a: product_singular_values(a, sweeps=80))(jnp.array(factors))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_long_product_far_beyond_the_range_of_numbers(x64):
    """J_t = Q_{t+1} D Q_tᵀ: log σ_i = T·log d_i, here from e^811 down to e^-2408, where float64 ends at e^709."""
    T, d = 2000, np.array([1.5, 1.2, 1.0, 0.8, 0.5, 0.3])
    turns, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(T + 1, 6, 6)))
    factors = turns[1:] @ (d[:, None] * np.swapaxes(turns[:-1], 1, 2))
    assert T * np.log(d[0]) > np.log(np.finfo(np.float64).max)
    found = jax.jit(lambda a: product_singular_values(a, sweeps=2))(jnp.array(factors))
    np.testing.assert_allclose(found, T * np.log(d), atol=1e-7)


def test_a_long_product_in_float32():
    T, d = 500, np.array([1.5, 1.0, 0.3])
    turns, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(T + 1, 3, 3)))
    factors = turns[1:] @ (d[:, None] * np.swapaxes(turns[:-1], 1, 2))
    found = jax.jit(lambda a: product_singular_values(a, sweeps=2))(jnp.array(factors, jnp.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, T * np.log(d), atol=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_of_growing_products(x64, dtype):
    """Far beyond what a number can hold, and a short one against NumPy's decomposition of the product itself."""
    T, d = 2000, np.array([1.5, 1.2, 1.0, 0.8, 0.5, 0.3])
    turns, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(T + 1, 6, 6)))
    factors = turns[1:] @ (d[:, None] * np.swapaxes(turns[:-1], 1, 2))
    counts = (1, 7, T)
    found = jax.jit(lambda a: extreme_singular_values(a, counts))(jnp.array(factors, dtype))
    assert found.log_largest.dtype == dtype
    tolerance = 1e-2 if dtype == np.float32 else 1e-8
    np.testing.assert_allclose(found.log_largest, np.array(counts) * np.log(1.5), atol=tolerance)
    np.testing.assert_allclose(found.log_smallest, np.array(counts) * np.log(0.3), atol=tolerance)

    factors = np.random.default_rng(5).normal(size=(5, 4, 4))
    found = jax.jit(lambda a: extreme_singular_values(a, (1, 2, 5)))(jnp.array(factors, dtype))
    products = [factors[0], factors[1] @ factors[0], np.linalg.multi_dot(list(factors[::-1]))]
    values = np.log([np.linalg.svd(product, compute_uv=False) for product in products])
    np.testing.assert_allclose(np.stack(found, axis=-1), values[:, [0, -1]], atol=100 * np.finfo(dtype).eps)


def test_a_product_with_a_factor_that_has_no_inverse():
    factors = jnp.stack([jnp.diag(jnp.array([2.0, 1.0])), jnp.diag(jnp.array([3.0, 0.0])), jnp.eye(2)])
    found = extreme_singular_values(factors, (1, 3))
    np.testing.assert_allclose(found.log_largest, np.log([2.0, 6.0]), rtol=1e-6)
    np.testing.assert_allclose(found.log_smallest, [0.0, -np.inf])
