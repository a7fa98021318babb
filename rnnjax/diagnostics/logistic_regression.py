"""How well measured features predict success: area under the ROC curve, and a logistic regression on held-out data.

Shapes: N outcomes, F features.
"""

from typing import NamedTuple

import numpy as np

RIDGE = 1.0  # weight of ½‖w‖² relative to the sum of the losses of the outcomes
MOST_STEPS = 100
CONVERGED = 1e-8


class Logistic(NamedTuple):
    """log-odds of success = intercept + weights · (x - mean) / spread."""

    mean: np.ndarray  # (F,)
    spread: np.ndarray  # (F,) standard deviation, 1 for a feature that never varies
    weights: np.ndarray  # (F,)
    intercept: float

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """(..., F) → (...)."""
        odds: np.ndarray = self.intercept + (features - self.mean) / self.spread @ self.weights
        return odds


def area_under_roc(scores: np.ndarray, success: np.ndarray) -> float:
    """Area under the receiver operating characteristic (Hanley & McNeil 1982), from the ranks of Mann and Whitney.

    It is the probability that a success has a higher score than a failure, where equal scores count half.

    Args:
        scores: (N,) finite.
        success: (N,) booleans.

    Returns:
        1 where all successes score higher than all failures, 0.5 for guessing, NaN where all outcomes are the same.
    """
    success = np.asarray(success, bool)
    good, bad = int(success.sum()), int((~success).sum())
    if not good or not bad:
        return float("nan")
    _, index, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[index]  # equal scores have their mean rank
    return float((ranks[success].sum() - good * (good + 1) / 2) / (good * bad))


def fit_logistic(features: np.ndarray, success: np.ndarray, ridge: float = RIDGE) -> Logistic:
    """Logistic regression on standardised features with a ridge on all weights, by Newton's method.

    The intercept is regularised like the weights, so that it stays finite where all outcomes are the same.

    Args:
        features: (N, F) finite.
        success: (N,) booleans.
        ridge: above 0.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    X = np.column_stack([np.ones(len(features)), (features - mean) / spread])
    y = np.asarray(success, np.float64)

    def loss(w: np.ndarray) -> float:
        return float(np.logaddexp(0, X @ w).sum() - y @ (X @ w) + ridge / 2 * w @ w)

    w = np.zeros(X.shape[1])
    for _ in range(MOST_STEPS):
        p = 1 / (1 + np.exp(-(X @ w)))
        gradient = X.T @ (p - y) + ridge * w
        if np.abs(gradient).max() < CONVERGED:
            break
        step = np.linalg.solve((X.T * (p * (1 - p))) @ X + ridge * np.eye(len(w)), gradient)
        while loss(w - step) > loss(w) and np.abs(step).max() > CONVERGED:
            step = step / 2
        w = w - step
    return Logistic(mean, spread, w[1:], float(w[0]))


def held_out_log_odds(features: np.ndarray, success: np.ndarray, folds: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """The log-odds of each outcome, (N,), from a fit to the outcomes of all other folds; NaN where there are none.

    Args:
        features: (N, F) finite.
        success: (N,) booleans.
        folds: (N,) the fold of each outcome.
        ridge: see ``fit_logistic``.
    """
    folds = np.asarray(folds)
    odds = np.full(len(folds), np.nan)
    for fold in np.unique(folds):
        held_out = folds == fold
        if not held_out.all():
            odds[held_out] = fit_logistic(features[~held_out], success[~held_out], ridge).log_odds(features[held_out])
    return odds
