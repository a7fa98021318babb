"""bfloat16: matrix products are rounded, the memory stays float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, make_inputs, make_params

import rnnjax


def results(cell, params, xs, backward):
    """((final, states), gradients with respect to params and xs) of a mean square."""

    def loss(params, xs):
        final, states = rnnjax.unroll(cell, params, xs, backward=backward)
        return jnp.mean(states.h**2) + jnp.mean(final.h), (final, states)

    gradients, outputs = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(params, xs)
    return outputs, gradients


def distance(actual, expected):
    """Largest ‖a - b‖/‖b‖ over the arrays of two trees, b expected."""

    def relative(a, b):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        return np.linalg.norm(a - b) / np.linalg.norm(b)

    return max(jax.tree.leaves(jax.tree.map(relative, actual, expected)))


@pytest.mark.parametrize(
    ("name", "backward"), [("SimpleRNN", "fused"), ("LSTM", "fused"), ("GRU", "fused"), ("GRU", "autodiff")]
)
def test_bfloat16_products_keep_the_memory_in_float32(name, backward):
    wide = CELLS[name].replace(features=16, param_dtype=jnp.float32)
    params, xs = make_params(wide, 8), make_inputs(wide, (4,), 20, 8)
    expected = results(wide, params, xs, backward)

    products = results(wide.replace(dtype=jnp.bfloat16), params, xs, backward)
    assert all(a.dtype == jnp.float32 for a in jax.tree.leaves(products))
    assert 1e-5 < distance(products, expected) < 0.03

    params = jax.tree.map(lambda a: a.astype(jnp.bfloat16), params)
    states, (d_params, d_xs) = results(wide.replace(param_dtype=jnp.bfloat16), params, xs, backward)
    assert all(a.dtype == jnp.float32 for a in jax.tree.leaves((states, d_xs)))
    assert all(a.dtype == jnp.bfloat16 for a in jax.tree.leaves(d_params))
    assert 1e-5 < distance((states, (d_params, d_xs)), expected) < 0.03


@pytest.mark.parametrize("name", CELLS)
def test_state_dtype_is_the_widest_of_the_dtypes_and_at_least_float32(name):
    assert CELLS[name].state_dtype == jnp.float64
    assert CELLS[name].replace(param_dtype=jnp.float32).state_dtype == jnp.float32
    assert CELLS[name].replace(param_dtype=jnp.bfloat16).state_dtype == jnp.float32
    assert CELLS[name].replace(param_dtype=jnp.float32, dtype=jnp.float64).state_dtype == jnp.float64
