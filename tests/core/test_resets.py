"""A reset begins an episode: the sequence is then that of its episodes run apart, in either direction."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import (
    CELLS,
    INPUTS,
    assert_close,
    make_inputs,
    make_params,
    make_state,
    slow_unless,
    total,
    zero_taps,
)

import rnnjax
from rnnjax.diagnostics import linearise, paths

T, B = 8, 4
LENGTHS = np.array([8, 5, 0, 7])
RESETS = np.zeros((T, B), bool)
RESETS[3, 0] = RESETS[4, 0] = RESETS[0, 1] = RESETS[2, 1] = RESETS[6, 1] = RESETS[5, 2] = RESETS[1, 3] = True
OPTIONS = {
    "forward": {},
    "reverse": {"reverse": True},
    "ragged": {"lengths": LENGTHS},
    "ragged reverse": {"lengths": LENGTHS, "reverse": True},
}
QUICK = [("LSTM", "forward"), ("LSTM", "ragged reverse"), ("SimpleRNN", "ragged"), ("GRU", "reverse")]
WAYS = {"fused": {}, "in segments": {"store_every": 3}, "autodiff": {"backward": "autodiff"}}


def episodes(example, length):
    """(first, end) of each episode in the valid steps of an example; all but those at the ends start from zeros."""
    starts = [t for t in range(1, length) if RESETS[t, example]]
    return list(zip([0, *starts], [*starts, length], strict=True)) if length else []


def run_apart(cell, params, xs, state, lengths=(T,) * B, reverse=False):
    """(final, states) of episodes that know nothing of each other: they are the examples of one batch."""
    parts = [(b, *part) for b in range(B) for part in episodes(b, lengths[b])]
    example, first, end = np.array(parts).T
    own_start = end == np.array(lengths)[example] if reverse else (first == 0) & ~RESETS[0, example]
    starts = jax.tree.map(lambda a: jnp.where(own_start[:, None], a[example], 0), state)
    steps = np.minimum(first + np.arange(T)[:, None], T - 1)
    final, states = rnnjax.unroll(
        cell, params, xs[steps, example], starts, lengths=end - first, reverse=reverse, backward="autodiff"
    )
    part_of, step_of, valid = np.zeros((T, B), int), np.zeros((T, B), int), np.zeros((T, B), bool)
    for i, (b, start, stop) in enumerate(parts):
        part_of[start:stop, b], step_of[start:stop, b], valid[start:stop, b] = i, np.arange(stop - start), True
    last = part_of[0] if reverse else part_of[np.maximum(np.array(lengths) - 1, 0), np.arange(B)]
    final = jax.tree.map(lambda a, given: jnp.where(valid[0][:, None], a[last], given), final, state)
    past_end = state if reverse else final
    states = jax.tree.map(
        lambda a, past: jnp.where(valid[..., None], a[step_of, part_of], past[None]), states, past_end
    )
    return final, states


@pytest.mark.parametrize(
    ("name", "case"),
    [slow_unless((name, case) in QUICK, name, case) for name in CELLS for case in OPTIONS],
)
def test_episodes_are_those_run_apart(x64, set_chunk_length, name, case):
    set_chunk_length(3)
    cell, options = CELLS[name], OPTIONS[case]
    arguments = make_params(cell), make_inputs(cell, (B,)), make_state(cell, (B,))

    def gradient(run):
        def loss(*arguments):
            results = run(*arguments)
            return total(results), results

        return jax.grad(loss, (0, 1, 2), has_aux=True)

    @jax.jit
    def apart_and_together(*arguments):
        apart = gradient(lambda *given: run_apart(cell, *given, **options))(*arguments)
        return apart, {
            way: gradient(lambda *given, more=more: rnnjax.unroll(cell, *given, resets=RESETS, **options, **more))(
                *arguments
            )
            for way, more in WAYS.items()
        }

    apart, together = apart_and_together(*arguments)
    for found in together.values():
        assert_close(found, apart, 1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("name", "backward"),
    [slow_unless(name == "LSTM", name, backward) for name in CELLS for backward in ("fused", "autodiff")],
)
def test_no_gradient_crosses_a_reset(x64, name, backward, reverse):
    """The loss of the states from step 4 on, or before it in reverse, with an episode that begins there."""
    cell, start = CELLS[name], 4
    params, xs, taps = make_params(cell), make_inputs(cell, (B,)), zero_taps(cell, (B,))
    resets = np.zeros((T, B), bool)
    resets[start] = True
    read = slice(None, start) if reverse else slice(start, None)

    def loss(taps, xs):
        _, states = rnnjax.unroll(cell, params, xs, resets=resets, reverse=reverse, taps=taps, backward=backward)
        return total(jax.tree.map(lambda a: a[read], states))

    d_taps, d_xs = jax.jit(jax.grad(loss, (0, 1)))(taps, xs)
    for gradient in (*d_taps, d_xs):
        inside, outside = gradient[read], np.delete(gradient, np.arange(T)[read], axis=0)
        assert np.all(np.any(inside != 0, axis=-1)), "the gradient inside of the episode"
        np.testing.assert_array_equal(outside, 0.0)


@pytest.mark.parametrize("name", CELLS)
def test_without_a_reset_nothing_changes(name):
    cell = CELLS[name].replace(param_dtype=jnp.float32)
    params, xs = make_params(cell), make_inputs(cell, (B,))
    no_resets = np.zeros((T, B), bool)
    results = [rnnjax.unroll(cell, params, xs, resets=resets) for resets in (None, no_resets)]
    jax.tree.map(np.testing.assert_array_equal, *results)


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in CELLS])
def test_linearised_steps_pass_nothing_through_a_reset(x64, name):
    """The parts of the gradient of the memory add up to the gradient of the taps, and none crosses a reset."""
    cell = CELLS[name]
    params, xs, state = make_params(cell), make_inputs(cell, (B,)), make_state(cell, (B,))
    options = {"lengths": LENGTHS, "resets": RESETS}

    def tapped(taps):
        _, states = rnnjax.unroll(cell, params, xs, state, taps=taps, **options)
        return total(states)

    @jax.jit
    def run(taps):
        steps = linearise(cell, params, xs, state, **options)
        return jax.grad(tapped)(taps), steps, paths(cell, params, steps, jax.grad(total)(steps.states))

    totals, steps, parts = run(zero_taps(cell, (B,)))
    valid = np.asarray(steps.valid)[..., None]
    assert_close(jnp.where(valid, parts.memory, 0), jnp.where(valid, totals[-1], 0), 1e-12)
    before_reset = np.concatenate([RESETS[1:] & steps.valid[1:], np.zeros((1, B), bool)])
    assert before_reset.any()
    for part in (parts.belt, parts.detour):
        np.testing.assert_array_equal(np.asarray(part)[before_reset], 0.0)


def test_layers_take_resets():
    """``RNN``, ``Stack`` and ``Bidirectional``, batch-major and time-major, and ``LinenCell`` under ``nn.scan``."""
    cell = CELLS["LSTM"].replace(param_dtype=jnp.float32)
    xs = make_inputs(cell, (B,))
    layer = rnnjax.RNN(cell)
    variables = layer.init(jax.random.key(0), xs.swapaxes(0, 1))
    params = layer.cell.params_from_dict(variables["params"]["cell"], INPUTS)
    final, states = rnnjax.unroll(cell, params, xs, resets=RESETS)

    got, ys = layer.apply(variables, xs.swapaxes(0, 1), resets=RESETS.T)
    np.testing.assert_array_equal(ys.swapaxes(0, 1), states.h)
    jax.tree.map(np.testing.assert_array_equal, got, final)
    _, ys = layer.clone(time_major=True).apply(variables, xs, resets=RESETS)
    np.testing.assert_array_equal(ys, states.h)

    scan = nn.scan(rnnjax.LinenCell, variable_broadcast="params", split_rngs={"params": False})
    carry, ys = scan(cell).apply(variables, (jnp.zeros_like(final.c), jnp.zeros_like(final.h)), (xs, RESETS))
    np.testing.assert_allclose(ys, states.h, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(carry[0], final.c, rtol=1e-6, atol=1e-7)

    both = rnnjax.Stack([rnnjax.RNN(cell), rnnjax.Bidirectional(rnnjax.RNN(cell), rnnjax.RNN(cell, reverse=True))])
    variables, apply = jax.jit(both.init)(jax.random.key(0), xs.swapaxes(0, 1)), jax.jit(both.apply)
    _, ys = apply(variables, xs.swapaxes(0, 1), resets=RESETS.T)
    for first, end in episodes(0, T):
        _, alone = apply(variables, xs.swapaxes(0, 1)[:1, first:end])
        np.testing.assert_allclose(ys[:1, first:end], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("resets", "message"),
    [
        (RESETS.T, r"resets must have shape \(8, 4\), got \(4, 8\)"),
        (RESETS.astype(np.float32), "resets must hold truth values, got float32"),
    ],
)
def test_wrong_resets_are_refused(resets, message):
    cell = CELLS["GRU"].replace(param_dtype=jnp.float32)
    with pytest.raises(ValueError, match=message):
        rnnjax.unroll(cell, make_params(cell), make_inputs(cell, (B,)), resets=resets)
