"""The parameters of a cell inside a Flax module: a dict under the name "cell"."""

from collections.abc import Mapping

import flax.linen as nn
import jax

from rnnjax.argument_checks import describe
from rnnjax.cells import Cell, Params
from rnnjax.cells.validation import check_params


def cell_params(module: nn.Module, cell: Cell, in_features: int) -> Params:
    """The parameters that ``module`` holds under "cell", checked; initialised where it holds none yet.

    Args:
        module: inside its ``nn.compact`` method.
        cell: the cell of the module.
        in_features: D, components of its inputs.

    Raises:
        ValueError: the parameters are those of another cell or of other inputs.
    """
    if module.has_variable("params", "cell"):
        _check(cell, module.get_variable("params", "cell"), in_features)
    return Params(**module.param("cell", cell.init_dict, in_features))


def _check(cell: Cell, params: object, in_features: int) -> None:
    """Raise ValueError unless ``params`` is a dict of this cell's parameters for inputs of ``in_features``."""
    biases = jax.eval_shape(cell.init_bias, jax.random.key(0))
    names = ["w_x", "w_h", *(name for name, b in zip(("b", "b_h"), biases, strict=True) if b is not None)]
    if not isinstance(params, Mapping) or set(params) != set(names):
        given = (", ".join(map(str, params)) if isinstance(params, Mapping) else describe(params)) or "none"
        raise ValueError(
            f"the parameters of {type(cell).__name__} under 'cell' must be {', '.join(names)}, got {given}"
        )
    check_params(cell, Params(**params), in_features)
