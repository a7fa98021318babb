"""bfloat16: matrix products are rounded, the memory stays float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, make_inputs, make_params, slow_unless

import rnnjax

pytestmark = pytest.mark.slow

QUICK = ((jnp.bfloat16, "fused"), (jnp.float64, "fused"), (jnp.float16, "autodiff"))


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


@pytest.mark.parametrize("name", CELLS)
def test_wider_parameters_are_not_rounded_in_silence(x64, name):
    cell = CELLS[name].replace(param_dtype=jnp.float32)
    wide, xs = make_params(CELLS[name]), make_inputs(cell, (4,))
    said = rf"^params\.w_x is float64, but {name}\(5\) computes in float32, to which it would be rounded; use "
    said += rf"{name}\(5, param_dtype=jnp\.float64\), or {name}\(5, dtype=jnp\.float32\) to round it"
    with pytest.raises(ValueError, match=said):
        rnnjax.unroll(cell, wide, xs)
    with pytest.raises(ValueError, match=said):
        rnnjax.RNN(cell).apply({"params": {"cell": {k: v for k, v in wide._asdict().items() if v is not None}}}, xs)
    narrow = jax.tree.map(lambda a: a.astype(jnp.float32), wide)
    expected = rnnjax.unroll(cell, narrow, xs)
    jax.tree.map(np.testing.assert_array_equal, rnnjax.unroll(cell.replace(dtype=jnp.float32), wide, xs), expected)


def test_numpy_parameters_in_double_precision_are_those_of_jax_where_it_has_none():
    cell = CELLS["GRU"].replace(param_dtype=jnp.float32)
    params, xs = make_params(cell), make_inputs(cell, (4,))
    wide = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    jax.tree.map(np.testing.assert_array_equal, rnnjax.unroll(cell, wide, xs), rnnjax.unroll(cell, params, xs))


@pytest.mark.parametrize(
    ("dtype", "backward"),
    [
        slow_unless((dtype, backward) in QUICK, dtype, backward)
        for dtype in (jnp.bfloat16, jnp.float16, jnp.float64)
        for backward in ("fused", "autodiff")
    ],
)
def test_taps_of_another_dtype_have_gradients_of_that_dtype(x64, dtype, backward):
    cell = CELLS["LSTM"].replace(param_dtype=jnp.float32)
    params, xs = make_params(cell), make_inputs(cell, (4,))

    def gradient(taps):
        return jax.grad(lambda taps: (rnnjax.unroll(cell, params, xs, taps=taps, backward=backward)[0].h ** 2).sum())(
            taps
        )

    zeros = cell.initial_state(xs.shape[:-1])
    found = gradient(jax.tree.map(lambda a: a.astype(dtype), zeros))
    expected = jax.tree.map(lambda a: a.astype(dtype), gradient(zeros))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert found.h.dtype == dtype
