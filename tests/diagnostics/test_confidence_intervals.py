"""Confidence over seeds against SciPy; update ratios and norms of very small vectors by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rnnjax.diagnostics import by_lag, safe_norm, seed_interval, update_ratios


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_the_interval_over_seeds_is_student_s(confidence):
    values = np.random.default_rng(0).normal(size=(5, 7))
    mean, low, high = seed_interval(values, confidence=confidence)
    expected = stats.t.interval(confidence, 4, loc=values.mean(axis=0), scale=stats.sem(values, axis=0))
    np.testing.assert_allclose(mean, values.mean(axis=0))
    np.testing.assert_allclose((low, high), expected)
    for actual, along in zip(seed_interval(values.T, axis=1, confidence=confidence), (mean, low, high), strict=True):
        np.testing.assert_array_equal(actual, along)


def test_what_is_not_a_number_does_not_count_towards_the_interval():
    values = np.array([[1.0, np.nan, np.nan, 2.0], [2.0, 5.0, np.nan, 2.0], [4.0, np.nan, np.nan, 2.0], [np.nan] * 4])
    mean, low, high = seed_interval(values)
    np.testing.assert_allclose(mean, [7 / 3, 5.0, np.nan, 2.0])
    expected = stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem([1.0, 2.0, 4.0]))
    np.testing.assert_allclose(low, [expected[0], np.nan, np.nan, 2.0])
    np.testing.assert_allclose(high, [expected[1], np.nan, np.nan, 2.0])


def test_an_infinite_value_has_no_interval():
    """As the horizon of a memory that keeps everything."""
    mean, low, high = seed_interval(np.array([[1.0, 3.0], [np.inf, 3.0]]))
    np.testing.assert_array_equal(mean, [np.inf, 3.0])
    np.testing.assert_array_equal((low, high), [[np.nan, 3.0], [np.nan, 3.0]])


def test_update_ratios_are_named_by_their_path():
    params = {"cell": {"w_x": jnp.full((2, 3), 2.0), "b": jnp.zeros(3)}, "dense": (jnp.array([3.0, 4.0]),)}
    updates = jax.tree.map(lambda a: 0.01 * jnp.ones_like(a), params)
    ratios = update_ratios(updates, params)
    assert set(ratios) == {"cell/w_x", "cell/b", "dense/0"}
    assert float(ratios["cell/w_x"]) == pytest.approx(0.005)
    assert float(ratios["dense/0"]) == pytest.approx(0.01 * np.sqrt(2) / 5)
    assert np.isnan(ratios["cell/b"])


def test_update_ratios_of_half_precision_are_those_of_single_precision():
    """Squares of 1e-3 and below vanish in float16, and their sum over many weights overflows."""
    for size, rate in ((300, 1e-3), (9, 1e-5)):
        params = {"w": jnp.ones((size, size), jnp.float16)}
        assert float(update_ratios({"w": params["w"] * rate}, params)["w"]) == pytest.approx(rate, rel=0.01)


def test_norms_of_vectors_whose_squares_float32_cannot_hold():
    inf, nan = np.inf, np.nan
    vectors = [[3e-30, 4e-30], [3e30, 4e30], [3.0, 4.0], [0.0, 0.0], [inf, 1.0], [-inf, 0.0], [nan, 1.0], [inf, nan]]
    for given in (jnp.array(vectors, jnp.float32), np.array(vectors)):
        norms = safe_norm(given)
        assert norms.dtype == jnp.float32
        np.testing.assert_allclose(norms, [5e-30, 5e30, 5.0, 0.0, inf, inf, nan, nan], rtol=1e-6)


@pytest.mark.parametrize("wrong", [3.0, np.array(3.0), np.ones((2, 0)), np.ones(3, int)])
def test_only_vectors_have_norms(wrong):
    with pytest.raises(ValueError, match=r"^vectors must "):
        safe_norm(wrong)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_of_vectors_of_every_size(x64, dtype):
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    sizes = 2.0 ** np.arange(info.minexp + info.nmant, info.maxexp - 4)
    vectors = (rng.normal(size=(len(sizes), 128)) * rng.uniform(size=(len(sizes), 128)) ** 40).astype(dtype)
    vectors[:, 0] = 1  # so large that the least ones never count alone
    exact = np.linalg.norm(vectors.astype(np.longdouble), axis=-1)
    norms = safe_norm(jnp.array(vectors * sizes[:, None].astype(dtype)))
    np.testing.assert_allclose(norms / sizes, exact, rtol=4 * info.eps)


def test_values_by_lag_count_back_from_the_last_valid_step():
    values = np.arange(12.0).reshape(4, 3)
    values[3, 1] = np.nan  # past the end of example 1
    found, exists = by_lag(jnp.array(values), jnp.array([4, 2, 0]))
    np.testing.assert_array_equal(found[:, 0], [9, 6, 3, 0])
    np.testing.assert_array_equal(found[:, 1], [4, 1, 0, 0])
    np.testing.assert_array_equal(found[:, 2], [0, 0, 0, 0])
    np.testing.assert_array_equal(exists.sum(axis=0), [4, 2, 0])
