"""Norms that neither underflow nor overflow, and taps whose gradient is the norm alone instead of the whole vector."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_floats
from rnnjax.typing import Taps


class NormTap(NamedTuple):
    """Replaces a tap (T, ..., H) where only norms are wanted: its "gradient" is ‖∂L/∂s_t‖₂ at every step, not ∂L/∂s_t.

    It is never added to a state, so neither zeros nor gradients (T, ..., H) are stored. Use each one once: the norms of
    two uses would be added up, and that is not the norm of the sum.
    """

    norm: jax.Array  # (T, ..., 1), or in the order of axes of the tap that it replaces


def norm_taps(taps: Taps) -> Taps:
    """``taps`` from ``zero_taps`` with each array replaced by a ``NormTap``."""
    return jax.tree.map(lambda a: NormTap(jnp.zeros_like(a[..., :1])), taps)


def is_norm_tap(node: Any) -> bool:
    """Whether ``node`` is a ``NormTap``."""
    return isinstance(node, NormTap)


def has_norm_taps(taps: Taps) -> bool:
    """Whether any of ``taps`` is a ``NormTap``."""
    return any(map(is_norm_tap, jax.tree.leaves(taps, is_leaf=is_norm_tap)))


def tap_arrays(taps: Taps) -> Taps:
    """``taps`` with each ``NormTap`` replaced by its array.

    Raises:
        ValueError: arrays and ``NormTap`` are mixed.
    """
    kinds = set(map(is_norm_tap, jax.tree.leaves(taps, is_leaf=is_norm_tap)))
    if len(kinds) > 1:
        raise ValueError("taps must all be arrays, or all be NormTap where norms are wanted, got both")
    return jax.tree.map(lambda a: a.norm if is_norm_tap(a) else a, taps, is_leaf=is_norm_tap)


def gradient_norms(totals: Taps) -> Taps:
    """The gradient of ``norm_taps``, from the gradient (..., H) of the taps that they replace."""
    return jax.tree.map(lambda a: NormTap(safe_norm(a)[..., None]), totals)


def zeros_for_norm_taps(taps: Taps, features: int) -> Taps:
    """Zeros (..., H) for each ``NormTap``, which gets the norm of their gradient as its own; other taps unchanged."""
    return jax.tree.map(lambda a: _zeros(a.norm, features) if is_norm_tap(a) else a, taps, is_leaf=is_norm_tap)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _zeros(norm: jax.Array, features: int) -> jax.Array:
    return jnp.repeat(jnp.zeros_like(norm), features, axis=-1)


def _zeros_backward(features: int, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (safe_norm(gradient)[..., None],)


_zeros.defvjp(lambda norm, features: (_zeros(norm, features), None), _zeros_backward)


def safe_norm(vectors: jax.Array) -> jax.Array:
    """‖v‖₂ over the last axis: (..., H) → (...), right also where squares would be too small or large for the dtype.

    There v is first multiplied by a power of two. The sum of squares shows where that is needed: XLA's CPU compiler
    computes it in one pass, the largest |v_i| in two.

    Raises:
        ValueError: ``vectors`` is not an array of floating-point numbers, or has an axis of length 0.
    """
    check_floats("vectors", vectors, "(..., H)")
    vectors = jnp.asarray(vectors)
    large = jnp.asarray(2.0 ** (-3 * jnp.finfo(vectors.dtype).minexp // 4), vectors.dtype)
    squares = jnp.sum(jnp.square(vectors), axis=-1)  # between 1/large and large, squares that underflow do not matter
    factor = jnp.where(squares < 1 / large, large, jnp.where(squares > large, 1 / large, 1))
    return jnp.sqrt(jnp.sum(jnp.square(vectors * factor[..., None]), axis=-1)) / factor
