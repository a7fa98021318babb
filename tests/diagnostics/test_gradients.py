"""Norms by lag against a python loop; half-life and reach of curves whose answer is known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, make_inputs, make_params, zero_taps

import rnnjax
from rnnjax.diagnostics import QUANTILES, half_life, lag_statistics, norms_by_lag, reach

T, B, H = 9, 5, 4
LENGTHS = np.array([9, 0, 4, 1, 6])
WEIGHTS = np.array([0.2, 0.2, 0.0, 0.1, 1.0], np.float32)


def by_hand(gradients, lengths, weights):
    norms, exists = np.zeros(gradients.shape[:2]), np.zeros(gradients.shape[:2], bool)
    for b, n in enumerate(lengths):
        for lag in range(n):
            if weights[b] > 0:
                norms[lag, b] = math.sqrt(sum(g**2 for g in gradients[n - 1 - lag, b])) / weights[b]
                exists[lag, b] = True
    return norms, exists


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint16", "uint32"])
def test_norms_by_lag_are_those_of_a_loop(dtype):
    gradients = np.random.default_rng(0).normal(size=(T, B, H)).astype(np.float32)
    norms, exists = norms_by_lag(jnp.array(gradients), LENGTHS.astype(dtype), jnp.array(WEIGHTS))
    expected, expected_exists = by_hand(gradients, LENGTHS, WEIGHTS)
    np.testing.assert_allclose(norms, expected, rtol=1e-6)
    np.testing.assert_array_equal(exists, expected_exists)
    assert list(np.sum(exists, axis=0)) == [9, 0, 0, 1, 6]


def test_norms_of_bfloat16_gradients_are_taken_in_float32():
    gradients = np.random.default_rng(0).normal(size=(T, B, H))
    rounded = jnp.array(gradients, jnp.bfloat16)
    norms, _ = norms_by_lag(rounded, jnp.array(LENGTHS), jnp.array(WEIGHTS))
    assert norms.dtype == jnp.float32
    np.testing.assert_allclose(norms, by_hand(np.asarray(rounded, np.float32), LENGTHS, WEIGHTS)[0], rtol=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_norms_do_not_change_with_the_batch_size(x64, name):
    """Each example's own loss, whatever the mean it is part of and whoever shares the batch."""
    cell = CELLS[name]
    params, xs = make_params(cell), make_inputs(cell, (6,))
    lengths = np.array([8, 3, 5, 0, 1, 8])

    @jax.jit
    def norms(xs, lengths, weights):
        def loss(taps):
            final, _ = rnnjax.unroll(cell, params, xs, lengths=lengths, taps=taps)
            return jnp.sum(weights * jnp.sum(jnp.sin(final.h), axis=1))

        gradients = jax.grad(loss)(zero_taps(cell, (len(lengths),)))
        return [norms_by_lag(a, lengths, weights)[0] for a in gradients]

    whole = norms(xs, jnp.array(lengths), jnp.full(6, 1 / 6))
    for examples in ([0], [5, 4, 3, 1]):
        some = np.array(examples)
        part = norms(xs[:, some], jnp.array(lengths[some]), jnp.full(len(some), 1 / len(some)))
        for actual, expected in zip(part, whole, strict=True):
            np.testing.assert_allclose(actual, expected[:, some], rtol=1e-12)
    assert np.all(np.array(whole)[:, 0, [0, 1, 2, 4, 5]] > 0)


def test_lag_statistics_are_over_the_examples_that_reach_the_lag():
    norms = np.random.default_rng(1).lognormal(size=(T, 40))
    lengths = np.random.default_rng(2).integers(0, T, size=40)  # below T: no example reaches the last lag
    exists = np.arange(T)[:, None] < lengths
    actual = lag_statistics(jnp.array(norms, jnp.float32), jnp.array(exists))
    for lag in range(T):
        reaching = norms[lag][lengths > lag]
        assert actual.examples[lag] == len(reaching)
        if len(reaching):
            np.testing.assert_allclose(actual.mean[lag], reaching.mean(), rtol=1e-6)
            np.testing.assert_allclose(actual.quantiles[:, lag], np.quantile(reaching, QUANTILES), rtol=1e-6)
    assert actual.examples[-1] == 0
    assert np.isnan(actual.mean[-1])
    assert np.all(np.isnan(actual.quantiles[:, -1]))


def test_quantiles_are_right_for_numbers_of_either_sign_and_without_end():
    numbers = jnp.array([[-3.0, 2.0, -0.5, 0.0, -1e-30], [1.0, jnp.inf, 3.0, jnp.inf, 2.0]])
    with jax.numpy_dtype_promotion("strict"):
        actual = lag_statistics(numbers, jnp.ones((2, 5), bool)).quantiles
    np.testing.assert_allclose(actual[:, 0], np.quantile(np.array(numbers[0]), QUANTILES), rtol=1e-6)
    np.testing.assert_allclose(actual[:, 1], [1.4, 3.0, np.inf], rtol=1e-6)


def test_a_norm_that_is_not_a_number_is_not_left_out():
    """A gradient that blew up in one example must be seen, where that example has the lag and only there."""
    norms = jnp.array([[1.0, jnp.nan, 3.0], [1.0, jnp.nan, 3.0]])
    actual = lag_statistics(norms, jnp.array([[True, True, True], [True, False, True]]))
    assert np.isnan(actual.mean[0])
    assert np.all(np.isnan(actual.quantiles[:, 0]))
    assert actual.mean[1] == 2
    np.testing.assert_allclose(actual.quantiles[:, 1], [1.2, 2.0, 2.8], rtol=1e-6)
    assert list(actual.examples) == [3, 2]


LAGS = np.arange(300)


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.99, 0.9999])
def test_half_life_of_a_geometric_curve(rate):
    expected = math.log(2) / math.log(1 / rate)
    assert half_life(3.0 * rate**LAGS) == pytest.approx(expected, rel=1e-6)


def test_half_life_is_least_squares_on_the_logarithm():
    log_norms = np.array([0.3, -1.1, -0.4, -2.0, -2.2])
    lags = np.arange(5)
    slope = np.sum((lags - 2) * log_norms) / np.sum((lags - 2) ** 2)
    assert half_life(np.exp(log_norms)) == pytest.approx(math.log(2) / -slope, rel=1e-12)


@pytest.mark.parametrize("size", [2, 3, 10, 200])
@pytest.mark.parametrize("value", [1.0, 0.3, 3e-5])
def test_half_life_without_decay_is_infinite(value, size):
    """A straight line through equal numbers has a slope of 1e-18 or so: rounding, not decay."""
    assert half_life(np.full(size, value)) == math.inf
    assert half_life(value * 1.05 ** np.arange(size)) == math.inf


@pytest.mark.parametrize("norms", [[], [1.0], [np.nan, 2.0, np.nan], [1.0, 0.0, 0.0], [0.0, 0.0], [np.inf, 1.0]])
def test_half_life_of_fewer_than_two_points_is_unknown(norms):
    assert math.isnan(half_life(np.array(norms)))


def test_half_life_stops_where_the_numbers_end():
    """Vanished norms (zero or subnormal in float32) and lags that no example reaches have no slope."""
    curve = np.full(400, np.nan)
    curve[:300] = (0.7 ** LAGS.astype(np.float64)).astype(np.float32)
    assert curve[299] == 0
    assert np.any((curve > 0) & (curve < np.finfo(np.float32).tiny))
    assert half_life(curve) == pytest.approx(math.log(2) / math.log(1 / 0.7), rel=1e-6)


@pytest.mark.parametrize(
    ("norms", "share", "expected"),
    [
        (0.9**LAGS, 0.01, 43),  # 0.9^43 = .0108, 0.9^44 = .0097
        (5e-7 * 0.5**LAGS, 0.01, 6),  # 2^-6 = .0156, 2^-7 = .0078
        (0.5**LAGS, 0.25, 2),  # at least: equality counts
        (np.ones(7), 0.01, 6),
        ([1.0, 0.001, 0.02, 0.001], 0.01, 2),  # the largest such lag, not the first gap
        ([1.0, 0.5, 0.5, np.nan, np.nan], 0.01, 2),
        ([1.0, 0.0, 0.0], 0.01, 0),
        ([2.0], 0.01, 0),
        ([], 0.01, 0),
        ([np.nan, np.nan], 0.01, 0),
        ([0.0, 0.0, 0.0], 0.01, 0),  # a gradient that is zero everywhere reaches nothing
    ],
)
def test_reach_is_the_last_lag_with_its_share(norms, share, expected):
    assert reach(np.array(norms), share) == expected
