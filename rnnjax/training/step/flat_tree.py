"""A pytree of arrays as one vector: a program that returns one array instead of many returns sooner."""

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.nonfinite_outputs import hide_nonfinite, show_nonfinite
from rnnjax.dtypes import promoted
from rnnjax.typing import AnyArray, PyTree


@partial(jax.tree_util.register_dataclass, data_fields=["numbers"], meta_fields=["structure", "arrays"])
@dataclasses.dataclass(frozen=True)
class FlatTree:
    """All N numbers of a pytree."""

    numbers: AnyArray  # (N,), see ``hide_nonfinite``
    structure: jax.tree_util.PyTreeDef
    arrays: tuple[jax.ShapeDtypeStruct, ...]  # shape and dtype of each leaf, in order

    def unpack(self) -> PyTree:
        """The tree, with numpy arrays as leaves."""
        ends = np.cumsum([math.prod(a.shape) for a in self.arrays])
        parts = np.split(show_nonfinite(self.numbers), ends[:-1])
        arrays = [part.reshape(a.shape).astype(a.dtype) for part, a in zip(parts, self.arrays, strict=True)]
        return jax.tree.unflatten(self.structure, arrays)


def flatten_tree(tree: PyTree) -> FlatTree:
    """Flatten ``tree`` into the common dtype of its leaves.

    Integers survive only where they are small enough for that dtype: below 2²⁴ for float32.
    """
    arrays, structure = jax.tree.flatten(tree)
    numbers = hide_nonfinite(jnp.concatenate([a.ravel().astype(promoted(*(a.dtype for a in arrays))) for a in arrays]))
    return FlatTree(numbers, structure, tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays))
