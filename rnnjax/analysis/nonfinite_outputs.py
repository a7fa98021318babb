"""Programs that may return NaN on purpose, where a measured number does not exist, also under ``jax_debug_nans``.

JAX then refuses every program that returns a NaN (``jax_debug_infs``: an infinity). The three lowest finite numbers of
a dtype, which no measurement is, stand for them on the way out of a program.
"""

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.typing import AnyArray, PyTree


def _marks(dtype: np.dtype) -> tuple[tuple[float, AnyArray], ...]:
    """NaN, inf and -inf, each with the finite number that stands for it."""
    info = jnp.finfo(dtype)
    step = 2.0 ** (info.maxexp - 1 - info.nmant)  # between neighbours among the lowest numbers
    return tuple((value, info.min + i * np.asarray(step, dtype)) for i, value in enumerate((np.nan, np.inf, -np.inf)))


def hide_nonfinite(tree: PyTree) -> PyTree:
    """``tree`` with every NaN and infinity replaced by a finite number; inside a program."""

    def hide(a: jax.Array) -> jax.Array:
        if not jnp.issubdtype(a.dtype, jnp.floating):
            return a
        (_, nan), (_, inf), (_, minus_inf) = _marks(a.dtype)
        return jnp.where(jnp.isfinite(a), a, jnp.where(jnp.isnan(a), nan, jnp.where(a > 0, inf, minus_inf)))

    return jax.tree.map(hide, tree)


def show_nonfinite(tree: PyTree) -> PyTree:
    """The tree that ``hide_nonfinite`` was given, as numpy arrays; outside of programs."""

    def show(a: AnyArray) -> np.ndarray:
        a = np.asarray(a)
        if jnp.issubdtype(a.dtype, jnp.floating):
            a = a.copy()
            for value, mark in _marks(a.dtype):
                a[a == mark] = value
        return a

    return jax.tree.map(show, jax.device_get(tree))
