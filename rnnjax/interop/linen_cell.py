"""Cells of rnnjax as cells of Flax, for ``flax.linen.RNN``, ``nn.Bidirectional`` and code written for either."""

import flax.linen as nn
import jax

from rnnjax.argument_checks import check_floats
from rnnjax.cells import Cell
from rnnjax.core.unroll import check_cell
from rnnjax.nn.cell_params import cell_params
from rnnjax.typing import CellState


class LinenCell(nn.RNNCellBase):
    """One step of ``cell`` with the signature of Flax cells: ``(carry, inputs) -> (carry, output)``.

        final, ys = nn.RNN(rnnjax.LinenCell(rnnjax.LSTM(128)), return_carry=True).apply(variables, xs)

    Its parameters are those of ``rnnjax.RNN``, under "cell", so weights can be moved between the two. The carry is
    ``cell.State``; Flax's LSTM carries the pair (c, h). Compared with ``rnnjax.RNN`` there are no taps, gradients are
    those of the plain scan, and dropout and zoneout are as in evaluation.

    Attributes:
        cell: any cell of ``rnnjax``.
    """

    cell: Cell

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell)

    @nn.compact
    def __call__(self, carry: CellState, inputs: jax.Array) -> tuple[CellState, jax.Array]:
        """One step.

        Args:
            carry: ``cell.State`` of (..., H).
            inputs: (..., D), any leading batch shape.

        Returns:
            The new state, and its output h (..., H).

        Raises:
            ValueError: carry, inputs and parameters that do not belong to the cell.
        """
        check_floats("inputs", inputs, "(..., D)")
        return self.cell.step(cell_params(self, self.cell, inputs.shape[-1]), carry, inputs)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> CellState:
        """Zeros for inputs of ``input_shape`` (..., D); ``rng`` is part of Flax's signature, and not used."""
        return self.cell.initial_state(input_shape[:-1])

    @property
    def num_feature_axes(self) -> int:
        """Number of feature axes of the inputs: the last axis."""
        return 1
