"""Trained weights of other libraries as rnnjax modules, to run and to look into; none of them is imported."""

from rnnjax.interop.keras import from_keras
from rnnjax.interop.linen import from_linen
from rnnjax.interop.torch import from_torch

__all__ = ["from_keras", "from_linen", "from_torch"]
