"""Zoneout as diagnostics see it: its rate is part of the belt, in every cell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import (
    FEATURES,
    LENGTHS,
    STEPS,
    ZONED,
    ZONEOUT,
    assert_close,
    make_inputs,
    make_params,
    make_state,
    slow_unless,
    total,
    zero_taps,
)

import rnnjax
from rnnjax.diagnostics import horizon, keep_at_bias, linearise, paths, share, step_jacobians

BATCH = (len(LENGTHS),)


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in ZONED])
def test_linearised_steps_have_zoneout_in_the_belt_and_the_parts_sum_to_the_total(x64, name):
    cell, lengths = ZONED[name], jnp.array(LENGTHS)
    params, xs, start = make_params(cell), make_inputs(cell, BATCH), make_state(cell, BATCH)

    @jax.jit
    def measured():
        def loss(taps):
            _, states = rnnjax.unroll(cell, params, xs, start, lengths=lengths, taps=taps, backward="autodiff")
            return total(states), states

        d_taps, states = jax.grad(loss, has_aux=True)(zero_taps(cell, BATCH))
        steps = linearise(cell, params, xs, start, lengths=lengths)
        ways = paths(cell, params, steps, jax.grad(total)(states))

        def memory_of(m_x):  # one example's third step, at fixed z
            return cell.remember(steps.z_x[2, 1], steps.z_h[2, 1], m_x)

        def after(flat):
            state = cell.State(*jnp.split(flat, len(cell.State._fields)))
            return jnp.concatenate(cell.step(params, state, xs[2, 1])[0])

        before = jax.tree.map(lambda a: a[1, 1], states)
        of_memory, of_state = jax.jacfwd(memory_of)(before[-1]), jax.jacfwd(after)(jnp.concatenate(before))
        bare = jax.vjp(lambda m: cell.update(steps.z_x[2, 1], steps.z_h[2, 1], m), before[-1])[1]
        found = steps.f[2, 1], step_jacobians(cell, params, steps)[2, 1]
        return found, of_memory, of_state, bare(jnp.ones(FEATURES))[0], ways.direct + ways.belt + ways.detour, d_taps

    (f, jacobian), of_memory, of_state, bare, parts, d_taps = measured()
    assert_close(jnp.diag(f), of_memory, 1e-13)
    assert_close(f, ZONEOUT + (1 - ZONEOUT) * bare, 1e-13)
    assert_close(jacobian, of_state, 1e-12)
    assert_close(parts, d_taps[-1], 1e-10)


def test_a_simple_rnn_has_a_belt_of_the_rate(x64):
    cell, lengths = ZONED["SimpleRNN"], jnp.array(LENGTHS)
    params, xs = make_params(cell), make_inputs(cell, BATCH)

    @jax.jit
    def belt_share(params):
        steps = linearise(cell, params, xs, lengths=lengths)
        asked = jax.tree.map(jnp.zeros_like, steps.states)
        ways = paths(cell, params, steps, asked._replace(h=asked.h.at[-1].set(1.0)))
        return steps, share(ways.belt, ways.detour), ways.memory

    steps, shares, _ = belt_share(params)
    assert np.all((shares[:-1, 1] > 0) & (shares[:-1, 1] < 1))
    np.testing.assert_allclose(steps.f[:, 1], ZONEOUT, rtol=1e-14)
    np.testing.assert_allclose(horizon(steps), np.full(FEATURES, 1 / (1 - ZONEOUT)), rtol=1e-14)
    np.testing.assert_allclose(keep_at_bias(cell, params), np.full(FEATURES, ZONEOUT), rtol=1e-14)
    _, alone, memory = belt_share(params._replace(w_h=jnp.zeros_like(params.w_h)))
    assert np.all(alone[:-1, 1] == 1)
    np.testing.assert_allclose(memory[:, 1, 0], ZONEOUT ** np.arange(STEPS)[::-1], rtol=1e-13)
