"""A tree of arrays as one vector: what programs return takes time by the piece."""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@partial(jax.tree_util.register_dataclass, data_fields=["numbers"], meta_fields=["structure", "arrays"])
@dataclasses.dataclass(frozen=True)
class FlatTree:
    """All numbers of a tree."""

    numbers: Any  # (N,)
    structure: Any  # of the tree
    arrays: tuple[jax.ShapeDtypeStruct, ...]  # in their order

    def unpack(self) -> Any:
        """The tree, of numpy arrays."""
        ends = np.cumsum([math.prod(a.shape) for a in self.arrays])
        parts = np.split(np.asarray(self.numbers), ends[:-1])
        arrays = [part.reshape(a.shape).astype(a.dtype) for part, a in zip(parts, self.arrays, strict=True)]
        return jax.tree.unflatten(self.structure, arrays)


def flatten_tree(tree: Any) -> FlatTree:
    """In the dtype that all arrays have in common; an integer must be small enough to be a floating number."""
    arrays, structure = jax.tree.flatten(tree)
    numbers = jnp.concatenate([a.ravel().astype(jnp.result_type(*arrays)) for a in arrays])
    return FlatTree(numbers, structure, tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays))
