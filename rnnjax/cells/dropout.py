"""Masks of dropout and zoneout, drawn for each example by itself: the same however a batch is divided."""

from typing import NamedTuple

import jax
from jax.typing import DTypeLike


class DropoutMasks(NamedTuple):
    """Masks of one pass over a sequence: two that every step shares, and one that is drawn anew at every step.

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
    """What ``Cell.dropout_masks`` draws, by rate and shape.

    Args:
        key: from ``jax.random.key``.
        rows: (...) integers, the number of each example in the whole batch.
        x: share of the components that are silenced, and D.
        h: the same, and H.
        hold: share of the units that are held at a step, and (T, H).
        dtype: of the masks that multiply; what is not silenced is scaled up, which keeps the mean.
    """

    def mask(key: jax.Array, rate: float, size: int) -> jax.Array | None:
        if rate == 0.0:
            return None
        return jax.random.bernoulli(key, 1.0 - rate, (size,)).astype(dtype) / (1.0 - rate)

    def of_one(row: jax.Array) -> DropoutMasks:
        key_row = jax.random.fold_in(key, row)
        key_x, key_h = jax.random.split(key_row)
        rate, shape = hold
        held = jax.random.bernoulli(jax.random.fold_in(key_row, 2), rate, shape) if rate > 0.0 else None
        return DropoutMasks(mask(key_x, *x), mask(key_h, *h), held)

    masks = jax.vmap(of_one, out_axes=DropoutMasks(0, 0, 1))(rows.reshape(-1))  # type: ignore[arg-type]
    return jax.tree.map(lambda a: a.reshape(*a.shape[:-2], *rows.shape, a.shape[-1]), masks)
