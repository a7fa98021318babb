"""Belt, detour and the gate a gradient enters by, against autodiff of the plain scan and of single steps."""

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
    slow_unless,
    total,
    zero_taps,
)

import rnnjax
from rnnjax.diagnostics import linearise, paths, share
from rnnjax.diagnostics.gradients import by_lag

ALL = CELLS | VARIANTS
NAMES = [slow_unless(name in ("LSTM", "GRU"), name) for name in ALL]
BATCH = len(LENGTHS)


def last_alone(final, states):
    return total(final)


def all_states(final, states):
    return total((final, states))


LOSSES = {"last": last_alone, "all": all_states}


@functools.cache
def measured(name):
    """(parts, totals by autodiff) under each loss, from one program."""
    cell, lengths = ALL[name], jnp.array(LENGTHS)
    params, xs, start = make_params(cell), make_inputs(cell, (BATCH,)), make_state(cell, (BATCH,))
    width = params.w_x.shape[1]

    def at_the_gates(nudges, taps, loss):
        """z^x gets ``nudges`` added, as inputs of their own with kernel 1."""
        wide = params._replace(w_x=jnp.concatenate([params.w_x, jnp.eye(width)]))
        inputs = jnp.concatenate([xs, nudges], axis=-1)
        final, states = rnnjax.unroll(cell, wide, inputs, start, lengths=lengths, taps=taps, backward="autodiff")
        return loss(final, states)

    def as_it_leaves(nudges, loss):
        """``nudges`` are added to the whole state after each valid step."""

        def body(state, inputs):
            t, x_t, nudge = inputs
            new = jax.tree.map(jnp.add, cell.step(params, state, x_t)[0], nudge)
            new = jax.tree.map(lambda a, b: jnp.where((t < lengths)[:, None], a, b), new, state)
            return new, new

        return loss(*jax.lax.scan(body, start, (jnp.arange(len(xs)), xs, nudges)))

    @jax.jit
    def run():
        steps = linearise(cell, params, xs, start, lengths=lengths)
        final, states = rnnjax.unroll(cell, params, xs, start, lengths=lengths)
        results = {}
        for kind, loss in LOSSES.items():
            ct_final, ct_states = jax.grad(loss, (0, 1))(final, states)
            asked = jax.tree.map(lambda a, last: a.at[-1].add(last), ct_states, ct_final)
            ways = paths(cell, params, steps, asked)
            d_z, d_taps = jax.grad(at_the_gates, (0, 1))(
                jnp.zeros((*xs.shape[:2], width)), zero_taps(cell, (BATCH,)), loss
            )
            d_state = jax.grad(as_it_leaves)(zero_taps(cell, (BATCH,)), loss)
            results[kind] = ways, ways.detour, ways.memory, (d_z, d_taps, d_state)
        return results

    return run()


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_the_parts_sum_to_the_total_that_taps_give(x64, name, kind):
    ways, detour, memory, (_, d_taps, _) = measured(name)[kind]
    assert_close(ways.direct + ways.belt + detour, d_taps[-1], 1e-10)
    assert_close(memory, d_taps[-1], 1e-10)
    reached = np.any(np.asarray(d_taps[-1]) != 0, axis=-1)
    np.testing.assert_array_equal(reached, np.arange(len(reached))[:, None] < np.array(LENGTHS))


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_the_state_as_it_leaves_the_step(x64, name, kind):
    ways, _, _, (_, d_taps, d_state) = measured(name)[kind]
    assert_close(ways.state, d_state, 1e-10)
    assert_close(ways.state[0], d_taps[0], 1e-10)  # h is read after all of the step
    if ALL[name].has_separate_memory:
        assert np.any(ways.state[1][0, 1] != d_taps[1][0, 1])


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_at_the_gates_is_that_of_a_nudge_there(x64, name, kind):
    ways, _, _, (d_z, _, _) = measured(name)[kind]
    assert_close(ways.dz_x.reshape(d_z.shape), d_z, 1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_past_the_end_all_is_zero_and_under_a_loss_on_the_last_state_the_last_step_is_direct(x64, name):
    ways = measured(name)["last"][0]
    for b, n in enumerate(LENGTHS):
        assert all(np.all(np.asarray(a)[n:, b] == 0) for a in jax.tree.leaves(ways))
        if n:
            assert np.all(ways.belt[n - 1, b] == 0)
            assert np.all(ways.enters[n - 1, b] == 0)
            assert np.any(ways.direct[n - 1, b] != 0)
            assert np.all(ways.direct[: n - 1, b] == 0)


def belt_share_by_lag(cell, params, xs, start, lengths):
    """Share (T, B) under a loss on the last output, NaN where there is no such lag; and ‖∂L/∂m_t‖."""

    @jax.jit
    def run():
        steps = linearise(cell, params, xs, start, lengths=lengths)
        asked = jax.tree.map(jnp.zeros_like, steps.states)
        asked = asked._replace(h=asked.h.at[-1].set(jnp.cos(steps.states.h[-1])))
        ways = paths(cell, params, steps, asked)
        values, exists = by_lag(share(ways.belt, ways.detour), lengths)
        return jnp.where(exists, values, jnp.nan), jnp.linalg.norm(ways.memory, axis=-1)

    return jax.tree.map(np.asarray, run())


def test_a_conveyor_belt_that_only_keeps_carries_all_of_the_gradient(x64):
    """F = 1, i = 0: nothing is forgotten, nothing written, and no gradient gets lost in 200 steps."""
    cell = CELLS["LSTM"]
    params = jax.tree.map(jnp.zeros_like, make_params(cell)._replace(b_h=None))
    params = params._replace(b=jnp.repeat(jnp.array([-50.0, 50.0, 0.0, 0.3]), cell.features))
    xs, start = make_inputs(cell, (2,), 200), make_state(cell, (2,))
    shares, norms = belt_share_by_lag(cell, params, xs, start, jnp.array([200, 120]))
    np.testing.assert_array_equal(shares[1:, 0], 1)
    np.testing.assert_array_equal(shares[1:120, 1], 1)
    for b, n in enumerate((200, 120)):
        np.testing.assert_allclose(norms[:n, b], norms[n - 1, b], rtol=1e-6)
        assert norms[n - 1, b] > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_the_belt_share_lies_between_0_and_1_and_is_0_in_a_simple_rnn(x64, name):
    cell = ALL[name]
    shares, _ = belt_share_by_lag(
        cell, make_params(cell), make_inputs(cell, (BATCH,)), make_state(cell, (BATCH,)), jnp.array(LENGTHS)
    )
    assert np.all(np.isnan(shares[0]))
    lags = np.arange(len(shares))[1:, None]
    exists = lags < np.array(LENGTHS)
    assert np.all(np.isnan(shares[1:][~exists]))
    if isinstance(cell, rnnjax.SimpleRNN):
        np.testing.assert_array_equal(shares[1:][exists], 0)
    else:
        assert np.all((shares[1:][exists] > 0) & (shares[1:][exists] < 1))


def test_a_share_of_nothing_is_no_number():
    part, rest = jnp.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [1e-30, 0.0]]), jnp.zeros((4, 2)).at[2, 0].set(1.0)
    rest = rest.at[0, 1].set(15.0).at[3, 1].set(3e-30)
    np.testing.assert_allclose(share(part, rest), [0.25, np.nan, 0.0, 0.25], rtol=1e-6)
