"""Arguments of a step: checked against what the cell makes, vectors brought to the axes of what they are added to."""

import functools

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.argument_checks import check_floats
from rnnjax.cells.base import Cell
from rnnjax.cells.params import check_like
from rnnjax.typing import CellState, PyTree


def check_step(cell: Cell, params: PyTree, state: CellState, x_t: jax.Array) -> None:
    """Check the arguments of ``Cell.step``.

    Raises:
        ValueError: ``x_t`` is no array (..., D) of floating-point numbers, or parameters or state have another
            structure or other shapes than those that ``init`` and ``initial_state`` make for it.
    """
    check_floats("x_t", x_t, "(..., D)")
    expected_params, expected_state = _expected(cell, x_t.shape)
    name = f"{type(cell).__name__}({cell.features})"
    check_like("params", params, expected_params, name)
    check_like("state", state, expected_state, name)


@functools.lru_cache(maxsize=256)
def _expected(cell: Cell, shape: tuple[int, ...]) -> tuple[PyTree, CellState]:
    """Parameters and state for inputs of ``shape`` (..., D), as shapes; a loop over steps asks for them every time."""
    return jax.eval_shape(lambda: (cell.init(jax.random.key(0), shape[-1]), cell.initial_state(shape[:-1])))


def along_last_axis(vector: jax.Array, like: jax.Array, dtype: DTypeLike) -> jax.Array:
    """``vector`` (K,) in ``dtype`` with axes of size 1 in front, to be combined with ``like`` (..., K)."""
    return jnp.expand_dims(vector.astype(dtype), range(like.ndim - 1))
