"""The kernels against the scan, once for each cell and shapes, on the TPU that runs the program.

They are tested as operations of JAX and compiled for TPUs, but on a TPU that no test has run on, a wrong number would
look like any other. So where this process has one, the first use compares the two on random numbers.
"""

import functools
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.cells import ElementwiseCell
from rnnjax.core.pallas.vmem import product_dtype
from rnnjax.core.scan import ScanInputs
from rnnjax.typing import PyTree

TOLERANCE = 0.02  # ‖difference‖ over ‖scan's‖ of each result; both multiply as bfloat16, which has steps of 0.004


def has_tpu() -> bool:
    """Whether this process runs its programs on a TPU."""
    return any(device.platform == "tpu" for device in jax.local_devices())


def agree(first: Callable[..., Any], second: Callable[..., Any], cell: ElementwiseCell, *arguments: PyTree) -> bool:
    """Whether two ways to scan agree on arguments like these, and else a warning that says why not.

    Args:
        first: a function ``(cell, params, inputs, state)`` of this module's kind, defined at module level.
        second: another one, which is right.
        cell: an elementwise cell.
        arguments: params, inputs and state, traced or not; only their shapes and dtypes are read.
    """
    leaves, structure = jax.tree.flatten(arguments)
    types = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in leaves)
    return _error(first, second, cell.uninitialised(), product_dtype(cell), structure, types) is None


@functools.cache
def _error(
    first: Callable[..., Any],
    second: Callable[..., Any],
    cell: ElementwiseCell,
    product: jnp.dtype,
    structure: Any,
    types: Any,
) -> str | None:
    """What is wrong, at the first call also as a warning; None where the two agree."""

    def compare() -> str | None:
        with jax.default_matmul_precision("default" if product == jnp.bfloat16 else "highest"):
            arguments = _random_arguments(cell, *jax.tree.unflatten(structure, types))
            expected = _results(second, cell, *arguments)
            try:
                found = _results(first, cell, *arguments)
            except Exception as failure:  # whatever a compiler raises
                return f"does not compile on this TPU ({type(failure).__name__}: {str(failure)[:200]})"
        errors = [_relative(a, b) for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True)]
        if max(errors) <= TOLERANCE:
            return None
        return f"differs from backend='scan' on this TPU, by {max(errors):.2g} of the norm of a result"

    with ThreadPoolExecutor(1) as thread:  # in another thread, nothing is being traced
        error = thread.submit(compare).result()
    if error is not None:
        name = f"{type(cell).__name__}({cell.features})"
        warnings.warn(f"backend='pallas' of {name} {error}; backend='scan' is used", stacklevel=2)
    return error


def _random_arguments(
    cell: ElementwiseCell, params: PyTree, inputs: ScanInputs, state: PyTree
) -> tuple[PyTree, ScanInputs, PyTree]:
    """Initial parameters, with which no cell explodes, and random numbers."""
    rng = np.random.default_rng(0)

    def draw(a: jax.ShapeDtypeStruct) -> jax.Array:
        return jnp.asarray(rng.random(a.shape) < 0.1 if a.dtype == bool else rng.normal(size=a.shape), a.dtype)

    first = cell.init(jax.random.key(0), inputs.xs.shape[-1])
    params = jax.tree.map(lambda a, like: a.astype(like.dtype), first, params)
    drawn, state = jax.tree.map(draw, (inputs._replace(span=None), state))
    if inputs.mask is not None:  # the first steps of each example, as lengths make it
        steps, rows, _ = inputs.mask.shape
        lengths = rng.integers(0, steps + 1, (1, rows, 1))
        drawn = drawn._replace(mask=jnp.asarray(np.arange(steps)[:, None, None] < lengths))
    return params, drawn, state


def _results(scan: Callable[..., Any], cell: ElementwiseCell, params: PyTree, inputs: ScanInputs, state: PyTree) -> Any:
    """The states, and the gradients of a loss of all of them with respect to all that is differentiable."""

    @jax.jit
    def run(params: PyTree, xs: jax.Array, taps: PyTree, state: PyTree) -> Any:
        def states(params: PyTree, xs: jax.Array, taps: PyTree, state: PyTree) -> Any:
            return scan(cell, params, inputs._replace(xs=xs, taps=taps), state)[:2]

        results, pull = jax.vjp(states, params, xs, taps, state)
        return results, pull(jax.tree.map(jnp.cos, results))

    return jax.device_get(run(params, inputs.xs, inputs.taps, state))


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    error = float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(b)), 1e-30)
    return error if np.isfinite(error) else np.inf
