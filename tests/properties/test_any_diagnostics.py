"""Diagnostics on drawn shapes against loops over single numbers, and properties that hold for every curve."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sequences import CELLS, INPUTS, normal_like

from rnnjax.diagnostics import (
    gate_values,
    half_life,
    horizon,
    lag_statistics,
    linearise,
    norms_by_lag,
    reach,
    saturation,
)

POSITIVE = st.floats(1e-6, 1e6)
CURVES = st.lists(POSITIVE, min_size=1, max_size=30).map(np.array)


@given(
    shape=st.sampled_from(((5, 3, 4), (1, 3, 1), (4, 1, 2))),
    lengths=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    weights=st.lists(st.sampled_from((0.0, 0.5, 2.0)), min_size=3, max_size=3),
    seed=st.integers(0, 99),
)
def test_norms_by_lag_count_back_from_the_last_step_of_each_example(shape, lengths, weights, seed):
    T, B, H = shape
    gradients = np.random.default_rng(seed).normal(size=(T, B, H)).astype(np.float32)
    lengths, weights = np.minimum(lengths[:B], T), np.array(weights[:B], np.float32)
    norms, exists = jax.jit(norms_by_lag)(gradients, lengths, weights)
    assert norms.shape == exists.shape == (T, B)
    for lag in range(T):
        for b, (length, weight) in enumerate(zip(lengths, weights, strict=True)):
            assert exists[lag, b] == (lag < length and weight > 0)
            if exists[lag, b]:
                expected = math.sqrt(sum(float(g) ** 2 for g in gradients[length - 1 - lag, b])) / weight
                assert norms[lag, b] == pytest.approx(expected, rel=1e-5)
            else:
                assert norms[lag, b] == 0
    statistics = jax.jit(lag_statistics)(norms, exists)
    for lag in range(T):
        values = np.asarray(norms)[lag][np.asarray(exists)[lag]]
        assert statistics.examples[lag] == len(values)
        if len(values):
            assert statistics.mean[lag] == pytest.approx(values.mean(), rel=1e-5)
            np.testing.assert_allclose(statistics.quantiles[:, lag], np.quantile(values, (0.1, 0.5, 0.9)), rtol=1e-5)
        else:
            assert np.isnan(statistics.quantiles[:, lag]).all()


@given(rate=st.floats(0.05, 0.999), scale=POSITIVE, lags=st.integers(2, 12))
def test_the_half_life_of_a_geometric_decay_follows_from_its_rate(rate, scale, lags):
    assert half_life(scale * rate ** np.arange(lags)) == pytest.approx(math.log(2) / -math.log(rate), rel=1e-6)


@given(curve=CURVES, scale=POSITIVE)
def test_neither_half_life_nor_reach_depends_on_the_unit_of_the_loss(curve, scale):
    assert half_life(scale * curve) == pytest.approx(half_life(curve), rel=1e-6, nan_ok=True)
    fraction = 0.5 + 1e-9  # no drawn curve has exactly this
    assert reach(scale * curve, fraction) == reach(curve, fraction)


@given(curve=CURVES, fraction=st.floats(0.001, 1.0), factor=st.floats(1.0, 5.0))
def test_reach_is_the_largest_lag_with_a_fraction_of_the_norm_and_falls_with_the_fraction(curve, fraction, factor):
    lag = reach(curve, fraction)
    assert curve[lag] >= fraction * curve[0]
    assert (curve[lag + 1 :] < fraction * curve[0]).all()
    assert reach(curve, min(fraction * factor, 1.0)) <= lag


@functools.cache
def gate_program(name):
    """A jitted function: linearised steps of a cell, its gate values, their saturation, and the horizon."""
    cell = CELLS[name]

    @jax.jit
    def run(params, xs, lengths):
        steps = linearise(cell, params, xs, lengths=lengths)
        return steps, gate_values(cell, params, steps), saturation(cell, params, steps), horizon(steps)

    return run


@given(
    name=st.sampled_from(sorted(CELLS)),
    shape=st.sampled_from(((1,), (3, 2), (2, 2, 1))),
    lengths=st.lists(st.integers(0, 3), min_size=2, max_size=2),
    seed=st.integers(0, 9),
)
def test_the_states_follow_from_the_gates_for_every_shape(x64, name, shape, lengths, seed):
    cell, (steps, *batch_shape) = CELLS[name], shape
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), INPUTS))
    params, xs = normal_like((shapes, jax.ShapeDtypeStruct((*shape, INPUTS), jnp.float64)), seed)
    lengths = np.minimum(lengths, steps)[: math.prod(batch_shape)].reshape(batch_shape)
    linear, gates, saturated, horizons = jax.tree.map(np.asarray, gate_program(name)(params, xs, lengths))
    assert gates.shape == (*shape, len(cell.gates), cell.features)
    assert saturated.shape == (len(cell.gates),)
    assert ((saturated >= 0) & (saturated <= 1)).all()
    assert horizons.shape == (cell.features,)
    assert (horizons >= 1).all()
    by_gate = {gate: gates[..., k, :] for k, gate in enumerate(cell.gates)}
    before = np.concatenate([np.zeros_like(linear.states[-1][:1]), linear.states[-1][:-1]])
    if name == "LSTM":
        memory = by_gate["f"] * before + by_gate["i"] * by_gate["g"]
        output = by_gate["o"] * np.tanh(linear.states.c)
    else:
        memory = by_gate["h"] if name == "SimpleRNN" else (1 - by_gate["u"]) * by_gate["n"] + by_gate["u"] * before
        output = memory
    valid = linear.valid
    assert valid.sum() == lengths.sum()
    np.testing.assert_allclose(linear.states[-1][valid], memory[valid], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(linear.states[0][valid], output[valid], rtol=1e-12, atol=1e-14)
