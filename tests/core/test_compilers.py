"""``depend_on`` returns its arrays unchanged, and lets XLA update a large array in place."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.core.compilers import XLA_CPU

SPECIAL = [1.5, np.inf, -np.inf, np.nan, -0.0]


@pytest.mark.parametrize("first", SPECIAL)
@pytest.mark.parametrize("jitted", [True, False])
def test_values_and_dtypes_do_not_change(first, jitted):
    then = {"numbers": jnp.array(SPECIAL), "count": jnp.array(7), "flag": jnp.array(True), "none": None}
    function = jax.jit(XLA_CPU.depend_on) if jitted else XLA_CPU.depend_on
    actual = function((jnp.full((2, 3), first), None), then)
    chex.assert_trees_all_equal(actual, then, strict=True)


def test_no_gradient_flows_to_the_arrays_that_come_first():
    first, then = jnp.arange(3.0), jnp.arange(3.0)
    gradients = jax.grad(lambda first, then: jnp.sum(XLA_CPU.depend_on(first, then) ** 2), (0, 1))(first, then)
    np.testing.assert_array_equal(gradients[0], 0)
    np.testing.assert_array_equal(gradients[1], 2 * then)


def test_a_matrix_is_updated_in_place_after_the_matrix_that_reads_it(optimized):
    """Both new matrices read the old ``b``: where XLA updates ``b`` first, it has to keep a copy."""

    def steps(count, a, b, *, ordered):
        def step(_, matrices):
            a, b = matrices
            new_a, new_b = a + jnp.sqrt(jnp.abs(b)), 0.9 * b + 0.1
            return new_a, XLA_CPU.depend_on(new_a, new_b) if ordered else new_b

        return jax.lax.fori_loop(0, count, step, (a, b))

    def copies(ordered):
        shape = jax.ShapeDtypeStruct((1024, 512), jnp.float32)
        jitted = jax.jit(steps, static_argnames="ordered", donate_argnums=(1, 2))
        text = jitted.lower(np.int32(0), shape, shape, ordered=ordered).compile().as_text()
        return len(re.findall(r"f32\[1024,512\]\S* copy\(", text))

    assert (copies(ordered=True), copies(ordered=False)) == (0, 1)
