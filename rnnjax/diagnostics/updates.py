"""How much one step of training moves each block of parameters."""

from typing import Any

import jax
import jax.numpy as jnp


def update_ratios(updates: Any, params: Any) -> dict[str, jax.Array]:
    """‖ΔW‖₂/‖W‖₂ of each parameter block, by its path with slashes; NaN for a block of zeros.

    About 1e-3 is healthy under Adam: far above, the block is thrown about; far below, it stands still.

    Args:
        updates: what the optimiser adds, in the structure of ``params``.
        params: the parameters before.

    Raises:
        ValueError: two structures that are not alike.
    """
    wanted: Any = jax.tree.structure(params)
    if wanted != jax.tree.structure(updates):
        raise ValueError(f"updates must have the structure of params, {wanted}, got {jax.tree.structure(updates)}")

    def ratio(update: jax.Array, block: jax.Array) -> jax.Array:
        size = jnp.linalg.norm(block.ravel())
        return jnp.where(size > 0, jnp.linalg.norm(update.ravel()) / jnp.where(size > 0, size, 1), jnp.nan)

    ratios = jax.tree_util.tree_leaves_with_path(jax.tree.map(ratio, updates, params))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): value for path, value in ratios}
