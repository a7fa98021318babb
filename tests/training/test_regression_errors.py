"""RMSE, MAE and R² of predicted numbers, in the unit of the labels before they were standardised."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnjax.training.evaluate import regression_errors

LABELS = np.array([10.0, 20.0, 60.0, 30.0])
PREDICTIONS = np.array([13.0, 16.0, 60.0, 42.0])  # off by 3, -4, 0 and 12
MEAN, DEVIATION = 25.0, 8.0  # of some training labels


def errors_of(labels, predictions, mean, deviation):
    """As a run computes them, from labels and predictions that are standardised."""
    scaled, predicted = (labels - mean) / deviation, (predictions - mean) / deviation
    return regression_errors((predicted - scaled) ** 2, scaled.astype(np.float32), deviation)


def test_errors_computed_by_hand():
    errors = errors_of(LABELS, PREDICTIONS, MEAN, DEVIATION)
    assert errors.rmse == pytest.approx(6.5)  # the root of (9 + 16 + 0 + 144) / 4
    assert errors.mae == pytest.approx(19 / 4)
    assert errors.r2 == pytest.approx(1 - 169 / 1400, rel=1e-6)  # (20² + 10² + 30² + 0²) around the mean of 30


def test_the_mean_of_the_split_has_an_r2_of_0_and_equal_labels_have_none():
    assert errors_of(LABELS, np.full(4, LABELS.mean()), MEAN, DEVIATION).r2 == pytest.approx(0, abs=1e-6)
    assert errors_of(LABELS, LABELS, MEAN, DEVIATION).r2 == 1
    assert np.isnan(errors_of(np.full(4, 7.0), PREDICTIONS, MEAN, DEVIATION).r2)


@given(mean=st.floats(-100, 100), deviation=st.floats(0.1, 100))
def test_the_scale_of_the_training_does_not_matter(mean, deviation):
    errors, expected = errors_of(LABELS, PREDICTIONS, mean, deviation), errors_of(LABELS, PREDICTIONS, 0.0, 1.0)
    for name in ("rmse", "mae", "r2"):
        assert getattr(errors, name) == pytest.approx(getattr(expected, name), rel=1e-3)
