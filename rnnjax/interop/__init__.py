"""Other libraries: their trained weights as rnnjax modules, and rnnjax cells as cells of Flax.

Weights are read without importing the library that they come from. ``rnnjax.NnxRNN``, a layer for ``flax.nnx``, is
imported only when it is used.
"""

from rnnjax.interop.keras import from_keras
from rnnjax.interop.linen import from_linen
from rnnjax.interop.linen_cell import LinenCell
from rnnjax.interop.torch import from_torch

__all__ = ["LinenCell", "from_keras", "from_linen", "from_torch"]
