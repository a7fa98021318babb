"""Names for the types that many functions share.

A pytree has no type of its own in Python: the aliases of ``Any`` say which one is meant.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

PyTree: TypeAlias = Any  # any nesting of tuples, lists, dicts and registered classes with arrays as leaves
ModelParams: TypeAlias = PyTree  # the parameters of a Flax model, nested dicts of arrays
CellState: TypeAlias = PyTree  # ``cell.State``: a named tuple of arrays, h first and the memory last
States: TypeAlias = PyTree  # the state of a model: that of its layers, nested as they are
AnyArray: TypeAlias = Any  # a jax.Array, a numpy array, or in their place a jax.ShapeDtypeStruct or ShardingRole
Taps: TypeAlias = PyTree  # zeros shaped like stacked states, in whose place a gradient is asked for
JSONValue: TypeAlias = Any  # what ``json.loads`` returns
JSONObject: TypeAlias = dict[str, JSONValue]

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

if TYPE_CHECKING:
    Number: TypeAlias = float
else:

    class Number(float):
        """A float that may be null in a JSON file, where it is read as NaN."""
