"""Dropout in Flax modules: masks that depend on an example's row alone, and ``train`` also where it is traced."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.typing import PyTree


def drop_by_row(key: jax.Array, rate: float, xs: jax.Array, rows: jax.Array | None, batch_axis: int = 0) -> jax.Array:
    """Dropout of ``xs`` whose mask of each example depends only on ``key`` and its row; None stands for 0, 1, 2, ...

    ``rows`` may have several axes, those of ``xs`` from ``batch_axis`` on.
    """
    rows = jnp.arange(xs.shape[batch_axis]) if rows is None else rows
    dropout = nn.Dropout(rate, deterministic=False, parent=None)

    def drop_row(row: jax.Array, x: jax.Array) -> PyTree:
        return dropout.apply({}, x, rng=jax.random.fold_in(key, row))

    drop = drop_row
    for _ in range(jnp.ndim(rows)):
        drop = jax.vmap(drop, (0, batch_axis), batch_axis)
    return drop(rows, xs)


def if_training(
    module: nn.Module,
    train: bool | jax.Array,
    dropped: Callable[[jax.Array], PyTree],
    undropped: Callable[[], PyTree],
) -> PyTree:
    """``dropped`` of a key from the stream "dropout" of ``module`` where ``train`` is true, else ``undropped()``.

    ``nn.remat`` and ``nn.jit`` trace keyword arguments: then it is known only when the program runs.

    Raises:
        ValueError: ``train`` is traced and there is no stream "dropout".
    """
    if not isinstance(train, jax.core.Tracer):
        return dropped(module.make_rng("dropout")) if train else undropped()
    if not module.has_rng("dropout"):
        raise ValueError(
            "train is traced (nn.remat and nn.jit trace keyword arguments), so it is not known yet whether dropout is "
            "drawn: pass rngs={'dropout': key} to apply also where train is False, or leave train out"
        )
    key = module.make_rng("dropout")
    return jax.lax.cond(train, lambda: dropped(key), undropped)
