"""Confidence intervals over seeds."""

import numpy as np
from scipy.special import stdtrit  # quantiles of Student's t; scipy.stats takes a second to import

from rnnjax.argument_checks import describe, is_number
from rnnjax.typing import Floats


def seed_interval(values: Floats, axis: int = 0, confidence: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """Mean over seeds and its confidence interval by Student's t: (mean, low, high), each without ``axis``.

    NaN values are left out. Of fewer than two values low and high are NaN, of none the mean is NaN too. An infinite
    value makes the mean infinite, and low and high NaN.

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.
    """
    if not is_number(confidence) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, as 0.95 for 95%, got {describe(confidence)}")
    values = np.moveaxis(np.asarray(values, np.float64), axis, 0)
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.where(n > 0, n, np.nan)
    with np.errstate(invalid="ignore"):
        spread = np.where(known, (values - mean) ** 2, 0).sum(axis=0) / np.where(n > 1, n - 1, np.nan)
    half = stdtrit(np.maximum(n - 1, 1), (1 + confidence) / 2) * np.sqrt(spread / np.where(n > 0, n, np.nan))
    return mean, mean - half, mean + half
