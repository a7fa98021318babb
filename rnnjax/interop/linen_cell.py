"""Cells of rnnjax as cells of Flax, for ``flax.linen.RNN``, ``nn.Bidirectional`` and code written for either."""

from typing import Any

import flax.linen as nn
import jax

from rnnjax.argument_checks import check_floats
from rnnjax.cells import Cell, Params
from rnnjax.cells.validation import check_held
from rnnjax.core.unroll import check_cell


class LinenCell(nn.RNNCellBase):
    """One step of ``cell``, as Flax has it: ``(carry, inputs) -> (carry, output)``.

        final, ys = nn.RNN(rnnjax.LinenCell(rnnjax.LSTM(128)), return_carry=True).apply(variables, xs)

    Parameters are those of ``rnnjax.RNN``, under "cell", so weights go from the one to the other. The carry is
    ``cell.State``; Flax's LSTM carries the pair (c, h). There are no taps here, gradients are those of the plain scan,
    and dropout and zoneout are as in evaluation; ``rnnjax.RNN`` has all of it.

    Attributes:
        cell: any cell of ``rnnjax``.
    """

    cell: Cell

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell)

    @nn.compact
    def __call__(self, carry: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
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
        if self.has_variable("params", "cell"):
            check_held(self.cell, self.get_variable("params", "cell"), inputs.shape[-1])
        params = Params(**self.param("cell", self.cell.init_dict, inputs.shape[-1]))
        return self.cell.step(params, carry, inputs)

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> Any:
        """Zeros for inputs of ``input_shape`` (..., D); ``rng`` is Flax's, and not used."""
        return self.cell.initial_state(input_shape[:-1])

    @property
    def num_feature_axes(self) -> int:
        """The last axis of inputs alone holds features."""
        return 1
