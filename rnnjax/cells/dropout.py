"""Masks of dropout and zoneout. Those of an example do not depend on the other examples or on sharding."""

from typing import NamedTuple

import jax
from jax.typing import DTypeLike


class DropoutMasks(NamedTuple):
    """Masks of one pass over a sequence: ``x`` and ``h`` are the same at every step, ``hold`` is not.

    Gal & Ghahramani (2016), section 4, tied weights, for x and h; Krueger et al. (2017), Zoneout, for ``hold``.
    """

    x: jax.Array | None  # (..., D), multiplies x_t
    h: jax.Array | None  # (..., H), multiplies h_{t-1} on its way into W_h
    hold: jax.Array | None = None  # (T, ..., H) bool, true where m_t is m_{t-1}; of one step (..., H)


NO_DROPOUT = DropoutMasks(None, None, None)


def draw_masks(
    key: jax.Array,
    rows: jax.Array,
    *,
    x: tuple[float, int],
    h: tuple[float, int],
    hold: tuple[float, tuple[int, int]],
    dtype: DTypeLike,
) -> DropoutMasks:
    """Draw the masks of ``Cell.dropout_masks``.

    Args:
        key: from ``jax.random.key``.
        rows: (...) integers, the index of each example in the whole batch.
        x: rate of dropout of the inputs, and D.
        h: rate of dropout of h_{t-1}, and H.
        hold: rate of zoneout, and (T, H).
        dtype: of the masks ``x`` and ``h``, whose entries are 0 or 1 / (1 - rate).
    """

    def mask(key: jax.Array, rate: float, size: int) -> jax.Array | None:
        if rate == 0.0:
            return None
        return jax.random.bernoulli(key, 1.0 - rate, (size,)).astype(dtype) / (1.0 - rate)

    def masks_of_row(row: jax.Array) -> DropoutMasks:
        key_row = jax.random.fold_in(key, row)
        key_x, key_h = jax.random.split(key_row)
        rate, shape = hold
        hold_mask = jax.random.bernoulli(jax.random.fold_in(key_row, 2), rate, shape) if rate > 0.0 else None
        return DropoutMasks(mask(key_x, *x), mask(key_h, *h), hold_mask)

    masks = jax.vmap(masks_of_row, out_axes=DropoutMasks(0, 0, 1))(rows.reshape(-1))  # type: ignore[arg-type]
    return jax.tree.map(lambda a: a.reshape(*a.shape[:-2], *rows.shape, a.shape[-1]), masks)
