"""What is measured of a layer is what its paths and steps say, on a ragged batch, for every cell and module."""

import dataclasses
import functools
import json
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import normal_like, slow_unless

import rnnjax
from rnnjax.analysis.layer_diagnosis import layer_diagnosis
from rnnjax.analysis.measure import measure, product_lengths
from rnnjax.cells import SimpleRNNState
from rnnjax.diagnostics import (
    QUANTILES,
    gate_values,
    horizon,
    keep_at_bias,
    lyapunov_spectrum,
    omega,
    saturation,
    step_jacobians,
)
from rnnjax.runs.codec import encode, round_floats

T, D = 8, 3
LENGTHS = np.array([4, 0, 7, 1, 5])  # nobody reaches the last step


@dataclasses.dataclass(frozen=True)
class MinimalGated(rnnjax.ElementwiseCell):
    """A user's cell: one gate that keeps, and nothing but ``update`` to say so (Zhou et al. 2016)."""

    gates: ClassVar[tuple[str, ...]] = ("f", "n")
    State: ClassVar[type] = SimpleRNNState
    additive: ClassVar[bool] = True

    def update(self, z_x, z_h, m):
        f, n = jnp.split(z_x + z_h, 2, axis=-1)
        return jax.nn.sigmoid(f) * m + (1 - jax.nn.sigmoid(f)) * jnp.tanh(n)


WIDE = {"param_dtype": jnp.float64}
MODELS = {
    "SimpleRNN": rnnjax.RNN(rnnjax.SimpleRNN(3, **WIDE)),
    "LSTM": rnnjax.RNN(rnnjax.LSTM(3, **WIDE), reverse=True),
    "a user's cell": rnnjax.RNN(MinimalGated(3, **WIDE)),
    "stack": rnnjax.Stack(
        (
            rnnjax.Bidirectional(rnnjax.RNN(rnnjax.GRU(2, **WIDE)), rnnjax.RNN(rnnjax.GRU(2, **WIDE), reverse=True)),
            rnnjax.RNN(rnnjax.SimpleRNN(2, activation="relu", **WIDE)),
        )
    ),
}
NAMES = [slow_unless(name != "SimpleRNN", name) for name in MODELS]


@functools.cache
def examined(name, lengths=tuple(LENGTHS)):
    model = MODELS[name]
    xs = np.random.default_rng(0).normal(size=(len(lengths), T, D))
    params = normal_like(jax.eval_shape(model.init, jax.random.key(0), xs), 1, 0.5)

    def loss(params, xs):
        _, ys = model.apply(params, xs, lengths=jnp.array(lengths))
        return jnp.sin(ys * jnp.arange(1.0, T + 1)[None, :, None]).sum(axis=(1, 2))

    return jax.tree.map(np.asarray, jax.jit(functools.partial(measure, loss))(params, xs))


def by_lag(values):
    """Quantiles (3, T) over the examples that have each lag, of values (T, B)."""
    rows = np.full((3, T), np.nan)
    for lag in range(T):
        there = [values[n - 1 - lag, b] for b, n in enumerate(LENGTHS) if n > lag]
        there = [value for value in there if not np.isnan(value)]
        if there:
            rows[:, lag] = np.quantile(there, QUANTILES)
    return rows


def norm(a):
    return np.linalg.norm(np.asarray(a), axis=-1)


@pytest.mark.parametrize("name", NAMES)
def test_curves_by_lag_are_those_of_the_paths(x64, name):
    found = examined(name)
    for call, steps, ways, layer in zip(found.calls, found.steps, found.paths, found.layers, strict=True):
        cell = call.cell
        detour = np.asarray(ways.enters).sum(axis=2)
        expected = {
            "m": norm(np.asarray(ways.direct) + ways.belt + detour),
            "belt": norm(ways.belt),
            "detour": norm(detour),
            "keep": np.asarray(steps.f).mean(axis=-1),
        }
        with np.errstate(invalid="ignore"):
            expected["belt_share"] = expected["belt"] / (expected["belt"] + expected["detour"])
        if isinstance(cell, rnnjax.LSTM):
            expected["h"] = norm(ways.state.h)
        for k, gate in enumerate(cell.gates):
            expected[f"enters {gate}"] = norm(ways.enters[:, :, k])
            expected[f"into {gate}"] = norm(ways.dz_x[:, :, k])
            if not isinstance(cell, MinimalGated):
                expected[f"gate {gate}"] = np.asarray(gate_values(cell, call.params, steps))[:, :, k].mean(axis=-1)
        assert set(layer.by_lag) == {*expected, "decay"}  # for which see tests/diagnostics/test_loss_decay.py
        assert not layer.last_step_only
        for quantity, values in expected.items():
            np.testing.assert_allclose(layer.by_lag[quantity], by_lag(values), rtol=1e-10, err_msg=quantity)
        np.testing.assert_array_equal(layer.count, [(lag < LENGTHS).sum() for lag in range(T)])


@pytest.mark.parametrize("name", NAMES)
def test_single_numbers_are_those_of_the_diagnostics(x64, name):
    found = examined(name)
    longest = int(np.argmax(LENGTHS))
    for call, steps, ways, layer in zip(found.calls, found.steps, found.paths, found.layers, strict=True):
        cell, params = call.cell, call.params

        @jax.jit
        def expected(params, steps, state, cell=cell):
            one = jax.tree.map(lambda a: a[: LENGTHS[longest], longest], steps)
            jacobians = step_jacobians(cell, params, one)
            return (
                saturation(cell, params, steps),
                keep_at_bias(cell, params).mean(),
                jnp.median(horizon(steps)),
                omega(cell, params, steps, state).mean(),
                lyapunov_spectrum(cell, params, one).exponents,
                jacobians,
            )

        stuck, kept, steps_kept, cost, exponents, jacobians = expected(params, steps, ways.state)
        assert (layer.saturation is None) == (stuck is None) == isinstance(cell, MinimalGated)
        if stuck is not None:
            np.testing.assert_allclose(layer.saturation, stuck, rtol=1e-12)
        actual = (layer.keep_at_bias, layer.horizon, layer.omega)
        np.testing.assert_allclose(actual, (kept, steps_kept, cost), rtol=1e-10)
        np.testing.assert_allclose(layer.lyapunov.exponents, exponents, rtol=1e-8)
        last, before, *_ = jacobians[::-1]
        values = np.log([np.linalg.svd(product, compute_uv=False)[[0, -1]] for product in (last, last @ before)])
        values = np.where(values < np.log(np.finfo(np.float64).eps), -np.inf, values)  # a relu that is off has none
        np.testing.assert_allclose(layer.product[:2], values, rtol=1e-8)
        assert np.all(np.isnan(layer.product[3]))  # eight steps, and the longest has seven
        assert (int(layer.longest), float(layer.padding_read)) == (7, 0.0)
        medians = np.asarray(layer.by_lag["belt_share"])[1]
        assert float(layer.belt_share) == pytest.approx(np.nanmean(medians[1:7]), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_json_with_five_digits(x64, name):
    found = examined(name)
    for layer in found.layers:
        record = json.loads(json.dumps(round_floats(encode(layer_diagnosis(layer)))))
        assert record["name"] == layer.name
        assert record["gates"] == list(layer.cell.gates)
        assert record["units"] == layer.cell.features
        assert record["count"] == [4, 3, 3, 3, 2, 1, 1]
        for quantity, curves in record["by_lag"].items():
            assert set(curves) == {"q10", "q50", "q90"}
            for row, curve in zip(layer.by_lag[quantity], curves.values(), strict=True):
                np.testing.assert_allclose(curve, row[:7], rtol=5e-5)
                assert json.dumps(curve) == json.dumps(round_floats(curve))
        assert (record["saturation"] is None) == (layer.saturation is None)
        exponents = record["lyapunov"]["exponents"]
        assert exponents == sorted(exponents, reverse=True)
        assert record["lyapunov"]["steps"] == list(range(1, 8))
        np.testing.assert_allclose(
            record["lyapunov"]["largest"], np.max(layer.lyapunov.running[:7], axis=-1), rtol=5e-5
        )
        assert record["singular"]["lag"] == [1, 2, 4]
        largest = np.asarray(layer.product[:3, 0]) / np.log(10)
        np.testing.assert_allclose(record["singular"]["largest"], largest, rtol=5e-5)


def test_without_a_single_step_there_are_no_curves(x64):
    (layer,) = examined("SimpleRNN", (0, 0, 0, 0, 0)).layers
    record = encode(layer_diagnosis(layer))
    assert record["count"] == record["lyapunov"]["steps"] == record["singular"]["lag"] == []
    assert all(curve == [] for curves in record["by_lag"].values() for curve in curves.values())
    assert record["omega"] == record["padding_read"] == 0
    assert np.isnan(record["belt_share"])
    json.dumps(record)


def test_products_are_taken_over_doubling_lags():
    assert product_lengths(1) == (1,)
    assert product_lengths(8) == (1, 2, 4, 8)
    assert product_lengths(1000) == (1, 2, 4, 8, 16, 32, 64, 128)


def test_numbers_are_rounded_to_five_significant_digits():
    values = encode([np.float32(1 / 3), [123456.0, 1.23456e-7], np.array([[2.0]]), 123456])
    assert round_floats(values) == [0.33333, [123460.0, 1.2346e-07], [[2.0]], 123456]
    assert np.isnan(round_floats(np.nan))
    assert round_floats(-np.inf) == -np.inf
