"""Truncated backpropagation through time: how many steps back the gradient must go, from its measured decay."""

import math

import numpy as np

from rnnjax.argument_checks import describe, is_number
from rnnjax.diagnostics.gradients import curve_of_norms, half_life


def truncation_length(norms: np.ndarray, bias: float = 0.1) -> float:
    """The smallest number of steps K so that what lies further back is at most ``bias`` of the gradient.

    With φ_k the norm of the gradient of one step's loss with respect to the state k steps before, and M a bound of
    ‖∂state/∂parameters‖ of one step, the parameters' gradient misses at most M·Σ_{k≥K} φ_k where backpropagation stops
    after K steps. K is the smallest for which that is at most ``bias`` of M·Σ_k φ_k. Where the contributions of
    different lags cancel each other, the bias relative to the gradient that is left is larger. Beyond the measured lags
    φ_k is assumed to go on at the rate of the farther half of them. After Aicher, Foti & Fox (2019), Adaptively
    truncating backpropagation through time to control gradient bias.

    Args:
        norms: (L,) φ_k by lag, in any unit, such as the median over examples of ``loss_decay``.
        bias: above 0 and below 1.

    Returns:
        K, at least 1; infinity where the farther half of the norms does not decay, NaN where there are no two norms.

    Raises:
        ValueError: ``norms`` is not an array of numbers (L,), or ``bias`` is not between 0 and 1.

    Examples:
        >>> truncation_length(0.9 ** np.arange(30), bias=0.1)  # 0.9 to the power of 22 is 0.098
        22.0
    """
    norms = curve_of_norms(norms)
    if not is_number(bias) or not 0 < bias < 1:
        raise ValueError(f"bias must be above 0 and below 1, as 0.1 for 10%, got {describe(bias)}")
    norms = norms[np.isfinite(norms)]
    if len(norms) < 2 or not norms.sum() > 0:
        return float("nan")
    halves_in = half_life(norms[len(norms) // 2 :])
    if math.isinf(halves_in):
        return float("inf")
    factor = 0.0 if math.isnan(halves_in) else 0.5 ** (1 / halves_in)  # of a step; NaN where the gradient is 0 there
    beyond = norms[-1] * factor / (1 - factor)
    rest = np.append(norms[::-1].cumsum()[::-1], 0.0) + beyond  # of K = 0, 1, ..., L
    enough = np.flatnonzero(rest <= bias * rest[0] * (1 + 1e-12))
    if len(enough):
        return float(max(enough[0], 1))
    return float(len(norms) + math.ceil(math.log(bias * rest[0] / beyond) / math.log(factor) - 1e-9))
