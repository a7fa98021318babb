"""Zoneout on the memory: masks in training, their mean in evaluation, and the same program as without it at rate 0."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from sequences import (
    CELLS,
    FEATURES,
    INPUTS,
    LENGTHS,
    STEPS,
    ZONED,
    ZONEOUT,
    assert_close,
    make_inputs,
    make_params,
    make_state,
    normal_like,
    slow_unless,
    total,
    zero_taps,
)

import rnnjax
from rnnjax.cells import DropoutMasks

pytestmark = pytest.mark.slow

BATCH = (len(LENGTHS),)
ROWS = np.arange(len(LENGTHS))
KEY = jax.random.key(11)


def draw(cell, key=KEY, rows=ROWS, steps=STEPS):
    return cell.dropout_masks(key, rows, INPUTS, steps)


def make_arguments(cell):
    """(differentiable, other) keyword arguments of ``unroll``, with masks; the taps are random, not zero."""
    taps = normal_like(zero_taps(cell, BATCH), 7, 0.1)
    arguments = {"params": make_params(cell), "xs": make_inputs(cell, BATCH), "state": make_state(cell, BATCH)}
    return arguments | {"taps": taps}, {"lengths": jnp.array(LENGTHS), "dropout": draw(cell)}


@pytest.mark.parametrize(
    ("name", "masked", "options"),
    [
        slow_unless(masked if options else name == "LSTM", name, masked, options)
        for name in ZONED
        for masked in (True, False)
        for options in ({}, {"reverse": True, "store_every": 3})
    ],
)
def test_fused_equals_autodiff_and_the_states_equal_a_loop_in_numpy(x64, name, masked, options):
    cell = ZONED[name]
    arguments, other = make_arguments(cell)
    if not masked:
        del other["dropout"]

    def loss(arguments, options):
        results = rnnjax.unroll(cell, **arguments, **other, **options)
        return total(results), results

    @jax.jit
    def both(arguments):
        plain = options | {"backward": "autodiff", "store_every": None}
        return [jax.grad(loss, has_aux=True)(arguments, chosen) for chosen in (options, plain)]

    fused, autodiff = both(arguments)
    assert_close(fused, autodiff, 1e-12)
    assert all(np.any(a != 0) for a in jax.tree.leaves(fused))
    keep = other["dropout"].hold if masked else np.full((STEPS, *BATCH, FEATURES), ZONEOUT)
    expected = numpy_states(name, arguments, np.asarray(keep, float), options.get("reverse", False))
    for actual, by_hand in zip(fused[1][1], expected, strict=True):
        np.testing.assert_allclose(actual, by_hand, rtol=0, atol=1e-13)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def numpy_states(name, arguments, keep, reverse):
    """States (T, B, H) from the equations in NumPy; ``keep`` (T, B, H) is the mask d_t, or its mean."""
    params, xs, state, taps = (jax.tree.map(np.asarray, arguments[key]) for key in ("params", "xs", "state", "taps"))
    states, steps = [None] * STEPS, range(STEPS)
    for t in reversed(steps) if reverse else steps:
        z_x, z_h = xs[t] @ params.w_x + params.b, state[0] @ params.w_h
        if name == "SimpleRNN":
            new = np.tanh(z_x + z_h)
        elif name == "LSTM":
            i, f, g, o = np.split(z_x + z_h, 4, axis=-1)
            new = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        else:
            (r_x, u_x, n_x), (r_h, u_h, n_h) = np.split(z_x, 3, axis=-1), np.split(z_h + params.b_h, 3, axis=-1)
            u = sigmoid(u_x + u_h)
            new = (1 - u) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h) + u * state[0]
        memory = keep[t] * state[-1] + (1 - keep[t]) * new + taps[-1][t]
        new_state = (sigmoid(o) * np.tanh(memory) + taps[0][t], memory) if name == "LSTM" else (memory,)
        state = [np.where((t < np.array(LENGTHS))[:, None], a, b) for a, b in zip(new_state, state, strict=True)]
        states[t] = state
    return [np.stack(a) for a in zip(*states, strict=True)]


@pytest.mark.parametrize("name", [slow_unless(name == "GRU", name) for name in ZONED])
def test_a_step_in_training_is_on_average_the_step_in_evaluation(x64, name):
    cell, draws = ZONED[name], 4000
    params, state, x_t = make_params(cell), make_state(cell, ()), make_inputs(cell, ())[0]
    hold = draw(cell, rows=np.arange(draws), steps=1).hold[0]
    steps = jax.jit(jax.vmap(lambda hold: cell.step(params, state, x_t, dropout=DropoutMasks(None, None, hold))[0]))
    memory, expected = np.asarray(steps(hold)[-1]), cell.step(params, state, x_t)[0][-1]
    bare, _ = cell.replace(zoneout=0.0).step(params, state, x_t)
    for unit in range(FEATURES):
        assert_close(np.unique(memory[:, unit]), np.unique([state[-1][unit], bare[-1][unit]]), 1e-14)
    error = np.abs(bare[-1] - state[-1]) * np.sqrt(ZONEOUT * (1 - ZONEOUT) / draws)
    assert np.all(np.abs(memory.mean(axis=0) - expected) < 4 * error)
    assert np.all(np.abs(bare[-1] - expected) > 8 * error)


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in CELLS])
def test_at_rate_zero_the_program_is_that_without_zoneout(name):
    """The same jaxpr, forward and backward, as of a cell whose ``remember`` is ``update`` alone."""
    cell = CELLS[name].replace(param_dtype=jnp.float32)
    bare = type(
        "Bare", (type(cell),), {"remember": lambda self, z_x, z_h, m, own=None, hold=None: self.update(z_x, z_h, m)}
    )(5)
    params, xs = make_params(cell), make_inputs(cell, BATCH)

    def program(cell, backward):
        def loss(params, xs):
            return total(rnnjax.unroll(cell, params, xs, lengths=jnp.array(LENGTHS), store_every=3, backward=backward))

        return str(jax.make_jaxpr(jax.value_and_grad(loss))(params, xs))

    for backward in ("fused", "autodiff"):
        assert program(cell, backward) == program(bare, backward)
        assert program(cell.replace(zoneout=ZONEOUT), backward) != program(bare, backward)


def test_masks_have_the_rate_as_mean_and_depend_on_step_key_and_row_alone():
    cell = rnnjax.LSTM(40, zoneout=ZONEOUT)
    rows = 7 + np.arange(30).reshape(5, 6)
    hold = np.asarray(draw(cell, rows=rows, steps=10).hold)
    assert (hold.shape, hold.dtype) == ((10, 5, 6, 40), bool)
    np.testing.assert_allclose(hold.mean(), ZONEOUT, atol=4 * np.sqrt(ZONEOUT * (1 - ZONEOUT) / hold.size))
    assert len(np.unique(hold.reshape(300, 40), axis=0)) == 300
    actual = draw(cell, rows=np.array([21, 8]), steps=10).hold
    chex.assert_trees_all_equal(actual, hold.reshape(10, 30, 40)[:, [14, 1]], strict=True)
    assert np.any(draw(cell, jax.random.key(1), rows, 10).hold != hold)


def test_zoneout_changes_no_dropout_mask():
    cell = rnnjax.GRU(6, input_dropout=0.4, recurrent_dropout=0.4)
    chex.assert_trees_all_equal(draw(cell.replace(zoneout=ZONEOUT))[:2], draw(cell)[:2], strict=True)


def test_a_held_unit_keeps_its_memory_and_passes_the_gradient_unchanged(x64):
    cell = ZONED["GRU"]
    params, xs, start = make_params(cell), make_inputs(cell, BATCH), make_state(cell, BATCH)
    masks = DropoutMasks(None, None, jnp.ones((STEPS, *BATCH, FEATURES), bool))

    def loss(start):
        final, states = rnnjax.unroll(cell, params, xs, start, dropout=masks)
        return total(final), states

    gradient, states = jax.grad(loss, has_aux=True)(start)
    chex.assert_trees_all_equal(states.h, jnp.broadcast_to(start.h, states.h.shape), strict=True)
    chex.assert_trees_all_equal(gradient, jax.grad(total)(start), strict=True)


def test_the_module_applies_masks_in_training_only_and_the_same_on_a_split_batch():
    module = rnnjax.RNN(rnnjax.LSTM(FEATURES, zoneout=ZONEOUT), store_every=3)
    xs, rows, lengths = normal_like(jnp.zeros((4, STEPS, INPUTS)), 1), jnp.arange(4), jnp.array([8, 3, 5, 8])
    params = module.init(KEY, xs)

    def run(xs, rows, lengths, train=True):
        return module.apply(params, xs, lengths=lengths, rows=rows, train=train, rngs={"dropout": KEY})[1]

    whole = jax.device_get(jax.jit(run)(xs, rows, lengths))
    evaluated = jax.jit(functools.partial(run, train=False))(xs, rows, lengths)
    expected = rnnjax.RNN(module.cell).apply(params, xs, lengths=lengths)[1]
    assert_close(evaluated, expected, 1e-6)
    assert np.all(np.max(np.abs(whole - evaluated), axis=(1, 2)) > 1e-3)
    mesh = jax.make_mesh((2,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    sharded = jax.shard_map(run, mesh=mesh, in_specs=P("devices"), out_specs=P("devices"))
    assert_close(jax.device_get(jax.jit(sharded)(xs, rows, lengths)), whole, 1e-6)
