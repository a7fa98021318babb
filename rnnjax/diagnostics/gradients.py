"""Gradient per timestep: per-example norms by lag, their half-life and their reach.

The lag of a step is its distance in steps from the example's last valid step, where lag is 0; examples of
different lengths are compared at equal lag.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

QUANTILES = (0.1, 0.5, 0.9)


class LagStatistics(NamedTuple):
    """Norms over the examples that reach each lag; NaN where none does."""

    examples: jax.Array  # (T,) how many reach the lag
    mean: jax.Array  # (T,)
    quantiles: jax.Array  # (3, T) at QUANTILES


def norms_by_lag(tap_gradients: jax.Array, lengths: jax.Array, loss_weights: jax.Array) -> jax.Array:
    """‖∂L_b/∂s_t‖₂ of each example's own loss, by lag.

    Args:
        tap_gradients: (T, B, H), the gradient of Σ_b w_b·L_b with respect to the taps of a state s.
        lengths: (B,) integers, valid steps of each example.
        loss_weights: (B,) the w_b (1/B under a batch mean); an example of weight 0 does not count.

    Returns:
        (T, B): entry (l, b) belongs to step lengths[b] - 1 - l; NaN where that step does not exist.
    """
    norms = jnp.linalg.norm(tap_gradients.astype(jnp.promote_types(tap_gradients.dtype, jnp.float32)), axis=-1)
    steps = lengths[None, :] - 1 - jnp.arange(norms.shape[0])[:, None]
    by_lag = jnp.take_along_axis(norms, jnp.clip(steps, 0, None), axis=0)
    counts = (steps >= 0) & (loss_weights > 0)[None, :]
    return jnp.where(counts, by_lag / jnp.where(loss_weights > 0, loss_weights, 1)[None, :], jnp.nan)


def lag_statistics(norms: jax.Array) -> LagStatistics:
    """Mean and quantiles over examples of ``norms`` (T, B), NaN where an example has no such lag."""
    valid = ~jnp.isnan(norms)
    examples = valid.sum(axis=1)
    mean = jnp.where(valid, norms, 0).sum(axis=1) / jnp.where(examples > 0, examples, jnp.nan)
    return LagStatistics(examples, mean, jnp.nanquantile(norms, jnp.array(QUANTILES, norms.dtype), axis=1))


def half_life(norms: np.ndarray) -> float:
    """Steps in which the gradient halves on its way back: ln 2 / -slope of log norm against lag.

    Args:
        norms: (T,) norm by lag, the median over examples as a rule.

    Returns:
        Least-squares fit over the lags whose norm is finite and a normal float32 (a vanished gradient is 0 or
        subnormal, and has no slope); infinity where the norm does not decay, NaN with fewer than two such lags.
    """
    norms = np.asarray(norms, np.float64)
    lags = np.flatnonzero(np.isfinite(norms) & (norms > np.finfo(np.float32).tiny))
    if len(lags) < 2:
        return float("nan")
    slope = np.polyfit(lags, np.log(norms[lags]), 1)[0]
    return float(np.log(2) / -slope) if slope < 0 else float("inf")


def reach(norms: np.ndarray, share: float = 0.01) -> int:
    """Largest lag whose norm (T,) is at least ``share`` of the norm at lag 0; 0 where nothing is finite."""
    norms = np.asarray(norms, np.float64)
    far = np.flatnonzero(np.isfinite(norms) & (norms >= share * norms[0])) if len(norms) else np.array([])
    return int(far[-1]) if len(far) else 0
