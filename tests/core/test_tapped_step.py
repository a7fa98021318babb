"""Cells whose step is odd in what it returns: the same array twice, an integer, an array passed on, a jitted body."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import assert_close, normal_like

import rnnjax
from rnnjax.core.unroll import unroll_with_outputs

STEPS, LENGTHS = 4, np.array([4, 0, 2])


class OddState(NamedTuple):
    """Two names of one array, the number of steps, and an array that never changes."""

    one: jax.Array
    same: jax.Array
    count: jax.Array
    fixed: jax.Array


@dataclasses.dataclass(frozen=True)
class Odd(rnnjax.Cell):
    """one = same = tanh(one + 2·same + w·x + fixed);  y = one / count, which the initial state would make 0/0."""

    jitted: bool = False

    def init(self, key, in_features):
        return jnp.ones((in_features, self.features), self.param_dtype)

    def initial_state(self, batch_shape=()):
        zeros = jnp.zeros((*batch_shape, self.features), self.state_dtype)
        return OddState(zeros, zeros, jnp.zeros(batch_shape, jnp.int32), zeros)

    def step(self, params, state, x_t):
        def body(params, state, x_t):
            new = jnp.tanh(state.one + 2 * state.same + self.project(x_t, params) + state.fixed)
            count = state.count + 1
            return OddState(new, new, count, state.fixed), new / count[..., None].astype(new.dtype)

        return (jax.jit(body) if self.jitted else body)(params, state, x_t)


@pytest.mark.parametrize("jitted", [False, True])
def test_ragged_scans_of_it_are_a_loop(x64, jitted):
    cell = Odd(2, jitted=jitted, param_dtype=jnp.float64)
    params = jnp.array([[0.3, -0.2]])
    xs = normal_like(jax.ShapeDtypeStruct((STEPS, 3, 1), jnp.float64), 0)
    start = normal_like(cell.initial_state((3,)), 1)._replace(count=jnp.zeros(3, jnp.int32))
    zeros = jnp.zeros((STEPS, 3, 2))
    taps = OddState(zeros, zeros, None, zeros)

    def loss(final, ys):
        return jnp.sin(final.one).sum() + (final.same * final.fixed).sum() + (ys**2).sum()

    def of_scan(params, taps):
        final, _, ys = unroll_with_outputs(cell, params, xs, start, lengths=LENGTHS, taps=taps)
        return loss(final, ys), final

    def of_loop(params, taps):
        finals, all_ys = [], []
        for b, length in enumerate(LENGTHS):
            one, same, fixed = start.one[b], start.same[b], start.fixed[b]
            ys = []
            for t in range(length):
                both = taps.one[t, b] + taps.same[t, b]  # each is added to the one array that both are
                one = same = jnp.tanh(one + 2 * same + xs[t, b] @ params + fixed) + both
                fixed = fixed + taps.fixed[t, b]
                ys.append(one / (t + 1))
            finals.append(OddState(one, same, jnp.int32(length), fixed))
            all_ys.append(jnp.stack(ys) if ys else jnp.zeros((0, 2)))
        final = jax.tree.map(lambda *a: jnp.stack(a), *finals)
        return loss(final, jnp.concatenate(all_ys)), final

    actual = jax.grad(of_scan, (0, 1), has_aux=True)(params, taps)
    expected = jax.grad(of_loop, (0, 1), has_aux=True)(params, taps)
    assert_close(actual, expected, 1e-12)
    assert np.isfinite(actual[0][0]).all()
