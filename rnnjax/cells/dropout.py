"""The random numbers of a training pass. Those of an example do not depend on the other examples or on sharding."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.typing import DTypeLike

from rnnjax.typing import PyTree


class DropoutMasks(NamedTuple):
    """Random numbers of one pass over a sequence: ``x`` and ``h`` are the same at every step, the others are not.

    Gal & Ghahramani (2016), section 4, tied weights, for x and h; Krueger et al. (2017), Zoneout, for ``hold``.
    """

    x: jax.Array | None  # (..., D), multiplies x_t
    h: jax.Array | None  # (..., H), multiplies h_{t-1} on its way into W_h
    hold: jax.Array | None = None  # (T, ..., H) bool, true where m_t is m_{t-1}; of one step (..., H)
    noise: PyTree = None  # (T, ..., *) what ``Cell.noise`` drew; of one step (..., *)


NO_DROPOUT = DropoutMasks(None, None)


def draw_masks(
    key: jax.Array,
    rows: jax.Array,
    *,
    x: tuple[float, int],
    h: tuple[float, int],
    hold: tuple[float, tuple[int, int]],
    noise: Callable[[jax.Array], PyTree],
    dtype: DTypeLike,
) -> DropoutMasks:
    """Draw the masks of ``ElementwiseCell.dropout_masks``.

    Args:
        key: from ``jax.random.key``.
        rows: (...) integers, the index of each example in the whole batch.
        x: rate of dropout of the inputs, and D.
        h: rate of dropout of h_{t-1}, and H.
        hold: rate of zoneout, and (T, H).
        noise: function of a key that draws the noise of one example, arrays (T, *) or None.
        dtype: of the masks ``x`` and ``h``, whose entries are 0 or 1 / (1 - rate).
    """

    def mask(key: jax.Array, rate: float, size: int) -> jax.Array | None:
        if rate == 0.0:
            return None
        return jax.random.bernoulli(key, 1.0 - rate, (size,)).astype(dtype) / (1.0 - rate)

    def masks_of_row(key_row: jax.Array) -> DropoutMasks:
        key_x, key_h = jax.random.split(key_row)
        rate, shape = hold
        hold_mask = jax.random.bernoulli(jax.random.fold_in(key_row, 2), rate, shape) if rate > 0.0 else None
        return DropoutMasks(mask(key_x, *x), mask(key_h, *h), hold_mask, noise(jax.random.fold_in(key_row, 3)))

    return draw_by_row(masks_of_row, key, rows, DropoutMasks(0, 0, 1, 1))  # type: ignore[arg-type]


def draw_by_row(draw: Callable[[jax.Array], PyTree], key: jax.Array, rows: jax.Array, batch_axes: PyTree = 1) -> PyTree:
    """``draw(key)`` for each of ``rows`` (...), with a key of its own; its axes are put at ``batch_axes``."""
    flat = rows.reshape(-1)
    drawn = jax.vmap(lambda row: draw(jax.random.fold_in(key, row)), out_axes=batch_axes)(flat)

    def unmerge(axis: int, arrays: PyTree) -> PyTree:
        return jax.tree.map(lambda a: a.reshape(*a.shape[:axis], *rows.shape, *a.shape[axis + 1 :]), arrays)

    return jax.tree.map(unmerge, batch_axes, drawn)
