"""A rule applied in place and block by block does what Optax does with the whole."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnjax.training.step.blockwise_update import FEWEST_IN_BLOCKS, apply_update

pytestmark = pytest.mark.slow

RULE = optax.chain(optax.clip(0.5), optax.adam(lambda count: 0.1 / (1 + count)))
LARGE, PRIME, FLAT = (4096, 128), (4099, 128), (2**20,)  # in blocks; no number divides its rows; not a matrix


def trees(shape, count=4):
    def draw(key):
        return {
            "large": jax.random.normal(key, shape),
            "small": {"b": jax.random.normal(key, (7,)), "w": jax.random.normal(key, (8, 9))},
        }

    return [draw(key) for key in jax.random.split(jax.random.key(0), count)]


@pytest.mark.parametrize("shape", [LARGE, PRIME, FLAT])
@pytest.mark.parametrize("in_blocks", [True, False])
def test_it_does_what_optax_does_and_tells_the_squares_of_the_change_and_of_what_was_there(shape, in_blocks):
    params, *grads = trees(shape)
    assert params["large"].size >= FEWEST_IN_BLOCKS
    wanted, wanted_state = params, RULE.init(params)
    actual, state = params, RULE.init(params)
    apply = jax.jit(lambda *given: apply_update(RULE, *given, jnp.array(False), squares=True, in_blocks=in_blocks))
    for grad in grads:
        updates, wanted_state = RULE.update(grad, wanted_state, wanted)
        wanted_squares = jax.tree.map(lambda a: np.sum(np.square(a)), (updates, wanted))
        wanted = optax.apply_updates(wanted, updates)
        actual, state, *squares = apply(grad, actual, state)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), tuple(squares), wanted_squares)
    assert jax.tree.structure(state) == jax.tree.structure(wanted_state)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), actual, wanted)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), state, wanted_state)


@pytest.mark.parametrize("squares", [True, False])
@pytest.mark.parametrize("broken", [1.0, np.nan])
def test_nothing_changes_where_a_run_has_halted(squares, broken):
    params, grads, first, *_ = trees(LARGE)
    _, begun, *_ = apply_update(RULE, first, params, RULE.init(params), jnp.array(False))
    grads = jax.tree.map(lambda a: broken * a, grads)
    *after, changes, sizes = apply_update(RULE, grads, params, begun, jnp.array(True), squares=squares)
    jax.tree.map(np.testing.assert_array_equal, tuple(after), (params, begun))
    if squares:
        assert not any(jax.tree.leaves(changes))
        assert all(jax.tree.leaves(sizes))


@pytest.mark.parametrize("squares", [True, False])
def test_a_large_matrix_and_its_moments_are_changed_where_they_lie(optimized, squares):
    def steps(count, params, state):
        def step(_, carry):
            params, state, _ = carry
            grads = jax.tree.map(lambda a: 1 + a * a, params)
            new, state, *sums = apply_update(RULE, grads, params, state, jnp.array(False), squares=squares)
            return new, state, [some["large"] if squares else jnp.zeros(()) for some in sums]

        return jax.lax.fori_loop(0, count, step, (params, state, [jnp.zeros(())] * 2))

    params = trees(LARGE)[0]
    shapes = jax.eval_shape(lambda: (params, RULE.init(params)))
    text = jax.jit(steps, donate_argnums=(1, 2)).lower(np.int32(0), *shapes).compile().as_text()
    assert "f32[128,128]" in text  # a block
    assert not re.findall(r"f32\[4096,128\]\S* copy\(", text)
