"""Prediction: areas under curves that are known, a regression at its minimum, and folds that are never seen."""

import numpy as np
import pytest

from rnnjax.diagnostics.logistic_regression import area_under_roc, fit_logistic, held_out_log_odds


@pytest.mark.parametrize(
    ("scores", "success", "area"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([1, 2, 3, 4], [1, 1, 0, 0], 0.0),
        ([1, 2, 3, 4], [0, 1, 0, 1], 0.75),
        ([5, 5, 5, 5], [0, 1, 0, 1], 0.5),
        ([1, 2, 2, 3], [0, 0, 1, 1], 0.875),
        ([1, 2], [1, 1], np.nan),
    ],
)
def test_the_area_under_the_curve_counts_pairs(scores, success, area):
    assert area_under_roc(np.array(scores, float), np.array(success, bool)) == pytest.approx(area, nan_ok=True)


def test_the_area_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    scores, success = rng.integers(6, size=50), rng.integers(2, size=50).astype(bool)
    pairs = scores[success][:, None] - scores[~success]
    assert area_under_roc(scores, success) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))


def test_the_regression_is_at_its_minimum_and_separates():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(80, 3)) * [1, 50, 1e-3]
    features[:, 2] = 7  # never varies
    success = features[:, 0] + features[:, 1] / 50 > 0.5
    fit = fit_logistic(features, success, ridge=0.1)
    odds = fit.log_odds(features)
    assert ((odds > 0) == success).mean() > 0.95
    z = (features - features.mean(axis=0)) / [*features.std(axis=0)[:2], 1]
    residual = success - 1 / (1 + np.exp(-odds))
    np.testing.assert_allclose(z.T @ residual, 0.1 * fit.weights, atol=1e-6)
    assert residual.sum() == pytest.approx(0.1 * fit.intercept, abs=1e-6)


def test_where_all_came_out_alike_the_odds_stay_finite():
    assert 0 < fit_logistic(np.zeros((20, 2)), np.ones(20, bool)).log_odds(np.zeros((1, 2)))[0] < 10


def test_a_held_out_fold_is_never_seen():
    rng = np.random.default_rng(2)
    features, folds = rng.normal(size=(30, 2)), np.arange(30) % 3
    success = features[:, 0] > 0
    before = held_out_log_odds(features, success, folds)
    turned = np.where(folds == 1, ~success, success)
    after = held_out_log_odds(features, turned, folds)
    np.testing.assert_array_equal(before[folds == 1], after[folds == 1])
    assert (before[folds != 1] != after[folds != 1]).all()
    one = held_out_log_odds(features, success, np.zeros(30))
    assert np.isnan(one).all()
