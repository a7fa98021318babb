"""Decompositions of a batch of matrices, one matrix at a time.

Given a batch, JAX's LAPACK calls on the CPU distribute it over the thread pool in which they themselves run, and wait:
as many such calls at the same time as the machine has cores are a deadlock (seen with jaxlib 0.10.2 on two cores). A
call with a single matrix needs no other thread.
"""

import math
from collections.abc import Callable

import jax

from rnnjax.typing import PyTree


def sequential_map(function: Callable[[jax.Array], PyTree], matrices: jax.Array) -> PyTree:
    """``function`` of each matrix (..., M, N), one after the other, its results stacked to (..., *); differentiable."""
    lead = matrices.shape[:-2]
    if not lead:
        return function(matrices)
    results = jax.lax.map(function, matrices.reshape(math.prod(lead), *matrices.shape[-2:]))
    return jax.tree.map(lambda a: a.reshape(*lead, *a.shape[1:]), results)
