"""Norms that neither underflow nor overflow, and taps whose gradient is the norm alone instead of the whole vector."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.argument_checks import check_floats
from rnnjax.cells import Cell
from rnnjax.typing import CellState, Taps


class NormTap(NamedTuple):
    """Replaces a tap (T, ..., H) where only norms are wanted: its "gradient" is ‖∂L/∂s_t‖₂ at every step, not ∂L/∂s_t.

    It is never added to a state, so neither zeros nor gradients (T, ..., H) are stored. Use each one once: the norms of
    two uses would be added up, and that is not the norm of the sum.
    """

    norm: jax.Array  # (T, ..., 1), or in the order of axes of the tap that it replaces


def zero_taps(cell: Cell, shape: tuple[int, ...]) -> Taps:
    """Zeros like states (*shape, ...) of ``cell``; None for arrays that are not differentiable."""
    state = jax.eval_shape(lambda: cell.initial_state(shape))

    def zeros(a: jax.Array) -> jax.Array | None:
        return jnp.zeros(a.shape, a.dtype) if jnp.issubdtype(a.dtype, jnp.inexact) else None

    return jax.tree.map(zeros, state)


def norm_taps(taps: Taps, leading: int | None = None) -> Taps:
    """``taps`` from ``zero_taps`` with each array replaced by a ``NormTap``.

    Args:
        taps: arrays (T, ..., *).
        leading: number of their axes of steps and batch; all but the last one if not given.
    """

    def norm_tap(a: jax.Array) -> NormTap:
        lead = a.shape[:-1] if leading is None else a.shape[:leading]
        return NormTap(jnp.zeros((*lead, 1), jnp.finfo(a.dtype).dtype))

    return jax.tree.map(norm_tap, taps)


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


def zeros_for_norm_taps(taps: Taps, state: CellState) -> Taps:
    """Zeros like the arrays (N, *) of ``state`` for each ``NormTap``, which gets the norm of their gradient as its own.

    Other taps are unchanged. For stacked states (T, N, *) and taps (T, N, 1) it gets those of all steps.
    """
    if taps is None:
        return None

    def zeros(tap: Any, a: jax.Array) -> Any:
        return _zeros(tap.norm, a.shape, a.dtype) if is_norm_tap(tap) else tap

    return jax.tree.map(zeros, taps, state, is_leaf=lambda node: node is None or is_norm_tap(node))


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _zeros(norm: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
    zeros = jnp.repeat(jnp.zeros_like(norm), math.prod(shape[norm.ndim - 1 :]), axis=-1)
    return zeros.reshape(shape).astype(dtype)


def _zeros_forward(norm: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> tuple[jax.Array, jax.Array]:
    return _zeros(norm, shape, dtype), norm[:0]


def _zeros_backward(shape: tuple[int, ...], dtype: DTypeLike, like: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (norms_of_rows(gradient, like.ndim - 1)[..., None].astype(like.dtype),)


_zeros.defvjp(_zeros_forward, _zeros_backward)


def norms_of_rows(arrays: jax.Array, axes: int = 1) -> jax.Array:
    """‖a‖₂ of each entry (*) of arrays (N, *), real or complex: (N,); with 2 ``axes``, of (T, N, *): (T, N)."""
    rows = arrays.reshape(*arrays.shape[:axes], -1) if arrays.ndim != axes + 1 else arrays
    if jnp.iscomplexobj(rows):
        rows = jnp.concatenate([rows.real, rows.imag], axis=-1)
    return safe_norm(rows)


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
