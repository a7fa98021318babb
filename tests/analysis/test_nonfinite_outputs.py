"""NaN and infinities leave a program and are the same outside, also where JAX forbids a program to return them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.analysis.nonfinite_outputs import hide_nonfinite, show_nonfinite

SPECIAL = [0.0, -0.0, 1.5, np.nan, np.inf, -np.inf, -1e4, 1e4]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_what_is_hidden_is_shown_again(x64, dtype):
    values = jnp.array(SPECIAL, dtype)
    tree = {"values": values, "count": jnp.arange(3), "flag": jnp.array(True), "none": None}
    with jax.debug_nans(True), jax.debug_infs(True):
        hidden = jax.jit(hide_nonfinite)(tree)
    assert np.isfinite(np.asarray(hidden["values"], np.float64)).all()
    shown = show_nonfinite(hidden)
    np.testing.assert_array_equal(np.asarray(shown["values"], np.float64), np.asarray(values, np.float64))
    assert np.signbit(np.asarray(shown["values"], np.float64)[1])
    assert [shown[name].dtype for name in ("values", "count", "flag")] == [values.dtype, np.int64, bool]
