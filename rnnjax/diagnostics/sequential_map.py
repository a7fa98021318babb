"""Decompositions of several matrices, one after the other.

Given several at once, JAX's LAPACK calls on the CPU share them out to the thread pool in which they run themselves, and
wait for it: as many such calls at the same time as the machine has cores wait for each other for ever (seen with jaxlib
0.10.2 on two cores). A call that is given one matrix needs nobody.
"""

import math
from collections.abc import Callable
from typing import Any

import jax


def sequential_map(function: Callable[[jax.Array], Any], matrices: jax.Array) -> Any:
    """``function`` of each matrix (..., M, N), its results stacked along the axes before; differentiable."""
    lead = matrices.shape[:-2]
    if not lead:
        return function(matrices)
    results = jax.lax.map(function, matrices.reshape(math.prod(lead), *matrices.shape[-2:]))
    return jax.tree.map(lambda a: a.reshape(*lead, *a.shape[1:]), results)
