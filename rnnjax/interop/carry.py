"""States of rnnjax cells as the carry of Flax's cells, and the reverse.

Flax's LSTM carries the pair (c, h), memory first, and its other cells the array h; ``cell.State`` is (h, c) or (h,).
The state of a cell that is not elementwise is its carry as it is.
"""

from typing import Any

import jax

from rnnjax.argument_checks import describe
from rnnjax.cells import Cell, ElementwiseCell
from rnnjax.cells.params import check_like
from rnnjax.dtypes import promoted
from rnnjax.typing import CellState, PyTree


def to_flax_carry(cell: Cell, state: CellState) -> PyTree:
    """The pair (memory, h) where memory and output are two states, the array h where they are one."""
    if not isinstance(cell, ElementwiseCell):
        return state
    return (state[-1], state[0]) if cell.has_separate_memory else state[0]


def from_flax_carry(cell: Cell, carry: PyTree, batch_shape: tuple[int, ...]) -> CellState:
    """The state of ``cell`` from the carry of ``to_flax_carry``.

    Raises:
        ValueError: it is none; of an elementwise cell, ``cell.State`` too is refused, since its order is the other one.
    """
    if not isinstance(cell, ElementwiseCell):
        expected = jax.eval_shape(lambda: cell.initial_state(batch_shape))
        check_like("the carry", carry, expected, f"{type(cell).__name__}({cell.features})")
        return carry
    fields = tuple(reversed(cell.State._fields))
    wanted = f"the pair ({', '.join(fields)})" if cell.has_separate_memory else f"the array {fields[0]}"
    if isinstance(carry, cell.State):
        given = ", ".join(f"state.{field}" for field in fields)
        given = f"({given})" if cell.has_separate_memory else given
        raise ValueError(
            f"the carry must be {wanted}, in the order of Flax's cells, got {describe(carry)}; give {given}"
        )
    if not cell.has_separate_memory:
        if isinstance(carry, tuple | list):
            raise ValueError(f"the carry must be {wanted}, as in Flax's cells, got {describe(carry)}")
        return cell.State(carry)
    if not isinstance(carry, tuple | list) or len(carry) != 2:
        raise ValueError(f"the carry must be {wanted}, in the order of Flax's cells, got {describe(carry)}")
    return cell.make_state(carry[1], carry[0])


def output_dtype(cell: Cell) -> Any:
    """The dtype of outputs in Flax: that of parameters and products together, while states are float32 at least."""
    return promoted(cell.param_dtype, cell.dtype or cell.param_dtype)
