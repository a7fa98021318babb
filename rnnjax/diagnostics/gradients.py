"""Gradient per timestep: per-example norms by lag, their half-life and their reach.

The lag of a step is its distance in steps from the example's last valid step, where lag is 0; examples of
different lengths are compared at equal lag.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.argument_checks import (
    as_int32,
    check_array,
    check_floats,
    check_integers,
    check_shape,
    concrete_values,
    describe,
    is_number,
)
from rnnjax.core.taps import safe_norm
from rnnjax.dtypes import promoted

QUANTILES = (0.1, 0.5, 0.9)
ROUNDING = 1e-12  # a slope of log norm flatter than this is a rounding error


class LagStatistics(NamedTuple):
    """Norms over the examples that are long enough for each lag; NaN where none is."""

    examples: jax.Array  # (T,) how many have the lag
    mean: jax.Array  # (T,)
    quantiles: jax.Array  # (3, T) at QUANTILES


def norms_by_lag(tap_gradients: jax.Array, lengths: jax.Array, loss_weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """‖∂L_b/∂s_t‖₂ of each example's own loss, by lag.

    Args:
        tap_gradients: (T, B, H), the gradient of Σ_b w_b·L_b with respect to the taps of a state s.
        lengths: (B,) integers, valid steps of each example.
        loss_weights: (B,) the w_b (1/B under a batch mean); an example of weight 0 does not count.

    Returns:
        ``norms`` and ``exists``, both (T, B). Entry (l, b) belongs to step lengths[b] - 1 - l; ``exists`` is true
        where the example counts and has such a step, and the norm is 0 elsewhere.

    Raises:
        ValueError: another shape or dtype; lengths outside 0..T or negative weights, where they are not traced.
    """
    check_floats("tap_gradients", tap_gradients, "(T, B, H)")
    check_integers("lengths", lengths, tap_gradients.shape[1:2], 0, tap_gradients.shape[0])
    check_floats("loss_weights", loss_weights, "(B,)")
    check_shape("loss_weights", loss_weights, tap_gradients.shape[1:2])
    weights = concrete_values(loss_weights)
    if weights is not None and not (weights >= 0).all():
        raise ValueError(f"loss_weights must be 0 or more, got {weights[~(weights >= 0)][0]}")
    norms = safe_norm(tap_gradients.astype(promoted(tap_gradients.dtype, jnp.float32)))
    return example_loss_norms(norms, lengths, loss_weights)


def example_loss_norms(norms: jax.Array, lengths: jax.Array, loss_weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``norms_by_lag``, from the norms (T, B) of the gradient of Σ_b w_b·L_b instead of the gradient itself."""
    norms, exists = by_lag(norms, lengths)
    exists = exists & (loss_weights > 0)[None, :]
    return jnp.where(exists, norms / jnp.where(loss_weights > 0, loss_weights, 1)[None, :], 0), exists


def by_lag(values: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Values of steps (T, B) in the order of their lag: (values, exists), both (T, B).

    Entry (l, b) belongs to step lengths[b] - 1 - l; ``exists`` is true where the example has that step, and the value
    is 0 elsewhere.

    Raises:
        ValueError: as ``norms_by_lag``.
    """
    check_array("values", values, "(T, B)")
    check_integers("lengths", lengths, values.shape[1:], 0, values.shape[0])
    steps = as_int32(lengths)[None, :] - 1 - jnp.arange(values.shape[0], dtype=jnp.int32)[:, None]
    exists = steps >= 0
    return jnp.where(exists, jnp.take_along_axis(values, jnp.clip(steps, 0, None), axis=0), 0), exists


def lag_statistics(norms: jax.Array, exists: jax.Array) -> LagStatistics:
    """Mean and quantiles over the examples that have a lag; NaN for a lag at which a norm is NaN.

    Args:
        norms: (T, B) by lag.
        exists: (T, B) whether the example has the lag.

    Raises:
        ValueError: two different shapes, or norms that are not floating-point.
    """
    check_floats("norms", norms, "(T, B)")
    check_shape("exists", exists, norms.shape)
    examples = exists.sum(axis=1)
    mean = norms.sum(axis=1, where=exists) / jnp.where(examples > 0, examples.astype(norms.dtype), jnp.nan)
    quantiles = quantiles_over_examples(norms, exists)
    return LagStatistics(examples, mean, jnp.where(jnp.isnan(mean)[None, :], jnp.nan, quantiles))


def quantiles_over_examples(values: jax.Array, exists: jax.Array) -> jax.Array:
    """``QUANTILES`` over the N examples that exist, NaN where none does: (..., N) → (3, ...).

    Between two examples they are interpolated linearly; infinite values are ordered as any others.
    """
    examples = exists.sum(axis=-1, keepdims=True)  # (..., 1)
    ascending = _sorted(jnp.where(exists, values, jnp.inf))
    shares = jnp.array(QUANTILES, values.dtype).reshape(*(1,) * (values.ndim - 1), -1)
    ranks = shares * jnp.maximum(examples - 1, 0).astype(values.dtype)  # (..., 3), from 0
    neighbors = jnp.floor(ranks), jnp.ceil(ranks)
    below, above = (jnp.take_along_axis(ascending, rank.astype(int), axis=-1) for rank in neighbors)
    fraction = ranks % 1
    quantiles = jnp.where(fraction > 0, (1 - fraction) * below + fraction * above, below)
    return jnp.moveaxis(jnp.where(examples > 0, quantiles, jnp.nan), -1, 0)


def _sorted(values: jax.Array) -> jax.Array:
    """In ascending order along the last axis. Sorting the bits as integers takes a tenth of the time on a CPU."""
    integers = jnp.dtype(f"int{8 * values.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(values, integers)

    def monotone(bits: jax.Array) -> jax.Array:  # the bits of negative floats ascend as their values descend
        return jnp.where(bits < 0, bits ^ jnp.iinfo(integers).max, bits)

    return jax.lax.bitcast_convert_type(monotone(jnp.sort(monotone(bits), axis=-1, stable=False)), values.dtype)


def half_life(norms: np.ndarray) -> float:
    """Steps in which the gradient halves on its way back: ln 2 / -slope of log norm against lag.

    Args:
        norms: (T,) norm by lag, such as the median over examples.

    Returns:
        By least squares over the lags whose norm is finite and a normal float32 (a vanished gradient is 0 or subnormal
        and has no slope); infinity where the norm does not decay, NaN with fewer than two such lags.

    Raises:
        ValueError: ``norms`` is not an array of numbers (T,).

    Examples:
        >>> round(half_life(0.5 ** (np.arange(40) / 3)), 6)
        3.0
    """
    norms = curve_of_norms(norms)
    lags = np.flatnonzero(np.isfinite(norms) & (norms > np.finfo(np.float32).tiny))
    if len(lags) < 2:
        return float("nan")
    slope = np.polyfit(lags, np.log(norms[lags]), 1)[0]
    return float(np.log(2) / -slope) if slope < -ROUNDING else float("inf")


def reach(norms: np.ndarray, share: float = 0.01) -> int:
    """Largest lag whose norm (T,) is at least ``share`` of the norm at lag 0; 0 where all is zero or not finite.

    Raises:
        ValueError: as ``half_life``, or ``share`` is not above 0 and at most 1.
    """
    norms = curve_of_norms(norms)
    if not is_number(share) or not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, as 0.01 for 1%, got {describe(share)}")
    far = np.flatnonzero(np.isfinite(norms) & (norms > 0) & (norms >= share * norms[:1]))
    return int(far[-1]) if len(far) else 0


def curve_of_norms(norms: object) -> np.ndarray:
    """Norms by lag as float64."""
    try:
        curve = np.asarray(norms, np.float64)
    except jax.errors.TracerArrayConversionError:
        raise
    except (TypeError, ValueError):
        raise ValueError(f"norms must be numbers (T,), one for each lag, got {describe(norms)}") from None
    if curve.ndim != 1:
        raise ValueError(
            f"norms must be (T,), one for each lag, got {describe(norms)}; take the median over examples, as in "
            "jnp.median(norms, axis=1)"
        )
    return curve
