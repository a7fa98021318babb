"""Checks of the arguments of a loss, before it is traced."""

from typing import Any

import jax
import numpy as np

from rnnjax.argument_checks import check_byte_order, describe
from rnnjax.typing import PyTree


def check_numeric(**trees: PyTree) -> None:
    """Raise ValueError unless every leaf of the trees is a number or an array of numbers."""
    for name, tree in trees.items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_list_of_numbers):
            if not _is_numeric(leaf):
                hint = "; make an array of it with jnp.asarray" if isinstance(leaf, list) else ""
                raise ValueError(
                    f"{name}{jax.tree_util.keystr(path)} must be an array of numbers, got {describe(leaf)}{hint}"
                )
            if isinstance(leaf, np.ndarray):
                check_byte_order(f"{name}{jax.tree_util.keystr(path)}", leaf)


def check_concrete(name: str, tree: PyTree) -> None:
    """ValueError where an array is traced, so that there are no numbers to return."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree)):
        raise ValueError(
            f"{name} cannot be called inside jax.jit, jax.grad, jax.vmap or another transformation, where there are "
            "no numbers yet; call it outside of them (it compiles its own program)"
        )


def _is_list_of_numbers(node: Any) -> bool:
    """Whether it is a list, also of lists, of numbers of Python."""
    return isinstance(node, list) and bool(node) and all(isinstance(a, int | float) for a in jax.tree.leaves(node))


def _is_numeric(leaf: Any) -> bool:
    """Whether JAX can make an array of it."""
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype.kind not in "OSUMm"
    return isinstance(leaf, jax.Array | bool | int | float | complex)
