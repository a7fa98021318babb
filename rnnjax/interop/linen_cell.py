"""Cells of rnnjax as cells of Flax, for ``flax.linen.RNN``, ``nn.Bidirectional`` and code written for either."""

import flax.linen as nn
import jax

from rnnjax.argument_checks import check_floats, check_shape
from rnnjax.cells import Cell
from rnnjax.core.scan import initial_like, where
from rnnjax.core.unroll_arguments import check_cell
from rnnjax.interop.carry import from_flax_carry, output_dtype, to_flax_carry
from rnnjax.nn.cell_params import cell_params
from rnnjax.typing import PyTree


class LinenCell(nn.RNNCellBase):
    """One step of ``cell`` with the signature of Flax cells: ``(carry, inputs) -> (carry, output)``.

        (c, h), ys = nn.RNN(rnnjax.LinenCell(rnnjax.LSTM(128)), return_carry=True).apply(variables, xs)

    Its parameters are those of ``rnnjax.RNN``, under "cell", so weights can be moved between the two. The carry is that
    of Flax's cells: the pair (c, h) of an LSTM, memory first, and the array h of other elementwise cells; of a cell
    that is not elementwise it is the cell's state. Outputs have the dtype of parameters and products, while the carry
    is float32 at least. Compared with ``rnnjax.RNN`` there are no taps, gradients are those of the plain scan, and
    dropout, zoneout and noise are as in evaluation.

    Attributes:
        cell: any cell of ``rnnjax``.
    """

    cell: Cell

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell)

    @nn.compact
    def __call__(self, carry: PyTree, inputs: jax.Array | tuple[jax.Array, jax.Array]) -> tuple[PyTree, jax.Array]:
        """One step.

        Args:
            carry: the pair (c, h) of an LSTM, otherwise h; each (..., H).
            inputs: (..., D), any leading batch shape; or, under ``nn.scan``, the pair of that and resets (...) bool,
                true where an episode begins, so that the step starts from ``cell.initial_state``.

        Returns:
            The new carry, and the output h (..., H).

        Raises:
            ValueError: carry, inputs and parameters that do not belong to the cell.
        """
        xs, reset = inputs if isinstance(inputs, tuple | list) else (inputs, None)
        check_floats("inputs", xs, "(..., D)")
        state = from_flax_carry(self.cell, carry, xs.shape[:-1])
        if reset is not None:
            check_shape("resets", reset, xs.shape[:-1])
            state = where(reset.astype(bool)[..., None], initial_like(self.cell, state), state)
        new, y = self.cell.step(cell_params(self, self.cell, xs.shape[-1]), state, xs)
        return to_flax_carry(self.cell, new), y.astype(output_dtype(self.cell))

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> PyTree:
        """Zeros for inputs of ``input_shape`` (..., D); ``rng`` is part of Flax's signature, and not used."""
        return to_flax_carry(self.cell, self.cell.initial_state(input_shape[:-1]))

    @property
    def num_feature_axes(self) -> int:
        """Number of feature axes of the inputs: the last axis."""
        return 1
