"""Norms that do not underflow, and taps that tell the norm of their gradient and keep nothing else of it."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_floats


class NormTap(NamedTuple):
    """In the place of a tap (T, ..., H): its "gradient" is ‖∂L/∂s_t‖₂ of every step and example, not ∂L/∂s_t.

    It is added to no state, whatever its value, and neither zeros nor gradients of H numbers a step need be kept. A
    state must be tapped once: norms of two uses of one tap add up, which is not the norm of the sum.
    """

    norm: jax.Array  # (T, ..., 1), or with the axes of the tap that it stands for


def norm_taps(taps: Any) -> Any:
    """``taps``, as ``zero_taps`` makes them, with a ``NormTap`` for each array."""
    return jax.tree.map(lambda a: NormTap(jnp.zeros_like(a[..., :1])), taps)


def is_norm_tap(node: Any) -> bool:
    """Whether it is one of ``norm_taps``."""
    return isinstance(node, NormTap)


def has_norm_taps(taps: Any) -> bool:
    """Whether ``taps`` are of ``norm_taps``."""
    return any(map(is_norm_tap, jax.tree.leaves(taps, is_leaf=is_norm_tap)))


def tap_arrays(taps: Any) -> Any:
    """``taps`` with the array of each ``NormTap``.

    Raises:
        ValueError: some are of one kind and some of the other.
    """
    kinds = set(map(is_norm_tap, jax.tree.leaves(taps, is_leaf=is_norm_tap)))
    if len(kinds) > 1:
        raise ValueError("taps must be arrays, or for norms of gradients every one a NormTap, got some of each")
    return jax.tree.map(lambda a: a.norm if is_norm_tap(a) else a, taps, is_leaf=is_norm_tap)


def gradient_norms(totals: Any) -> Any:
    """The gradients (..., H) of taps as those of ``norm_taps``."""
    return jax.tree.map(lambda a: NormTap(safe_norm(a)[..., None]), totals)


def zeros_for_norm_taps(taps: Any, features: int) -> Any:
    """Zeros (..., H) in the place of every ``NormTap``, to whose gradient its own is the norm; other taps as given."""
    return jax.tree.map(lambda a: _zeros(a.norm, features) if is_norm_tap(a) else a, taps, is_leaf=is_norm_tap)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _zeros(norm: jax.Array, features: int) -> jax.Array:
    return jnp.repeat(jnp.zeros_like(norm), features, axis=-1)


def _zeros_backward(features: int, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (safe_norm(gradient)[..., None],)


_zeros.defvjp(lambda norm, features: (_zeros(norm, features), None), _zeros_backward)


def safe_norm(vectors: jax.Array) -> jax.Array:
    """‖v‖₂ over the last axis: (..., H) → (...), right also where squares would be too small or large for the dtype.

    Where they might be, v is first multiplied by a power of two. Sums of squares tell where: XLA's CPU compiler takes
    them in one pass, the largest |v_i| in two.

    Raises:
        ValueError: no array of floating-point numbers, or an axis of length 0.
    """
    check_floats("vectors", vectors, "(..., H)")
    vectors = jnp.asarray(vectors)
    large = jnp.asarray(2.0 ** (-3 * jnp.finfo(vectors.dtype).minexp // 4), vectors.dtype)
    squares = jnp.sum(jnp.square(vectors), axis=-1)  # from 1/large to large, no square that was lost would count
    factor = jnp.where(squares < 1 / large, large, jnp.where(squares > large, 1 / large, 1))
    return jnp.sqrt(jnp.sum(jnp.square(vectors * factor[..., None]), axis=-1)) / factor
