"""How much one training step changes each parameter."""

import jax
import jax.numpy as jnp

from rnnjax.dtypes import promoted
from rnnjax.typing import ModelParams, PyTree


def update_ratios(updates: ModelParams, params: ModelParams) -> dict[str, jax.Array]:
    """‖ΔW‖₂/‖W‖₂ of each parameter, by its path with slashes; NaN for a parameter of zeros.

    About 1e-3 is healthy under Adam. Far above, training is unstable; far below, the parameter hardly changes.

    Args:
        updates: what the optimizer adds to ``params``, of the same structure.
        params: the parameters before the step.

    Raises:
        ValueError: two different structures.
    """
    structure: PyTree = jax.tree.structure(params)
    if structure != jax.tree.structure(updates):
        raise ValueError(f"updates must have the structure of params, {structure}, got {jax.tree.structure(updates)}")

    def ratio(update: jax.Array, block: jax.Array) -> jax.Array:
        change, size = (jnp.linalg.norm(a.ravel().astype(promoted(a.dtype, jnp.float32))) for a in (update, block))
        return jnp.where(size > 0, change / jnp.where(size > 0, size, 1), jnp.nan)

    ratios = jax.tree_util.tree_leaves_with_path(jax.tree.map(ratio, updates, params))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): value for path, value in ratios}
