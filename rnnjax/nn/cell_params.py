"""The parameters of a cell inside a Flax module: nested dicts under the name "cell"."""

import flax.linen as nn

from rnnjax.cells import Cell, ElementwiseCell
from rnnjax.cells.params import check_like
from rnnjax.cells.validation import check_params
from rnnjax.typing import PyTree


def cell_params(module: nn.Module, cell: Cell, in_features: int) -> PyTree:
    """The parameters that ``module`` holds under "cell", checked; initialised where it holds none yet.

    Args:
        module: inside its ``nn.compact`` method.
        cell: the cell of the module.
        in_features: D, components of its inputs.

    Raises:
        ValueError: the parameters are those of another cell or of other inputs.
    """
    if not module.has_variable("params", "cell"):
        return cell.params_from_dict(module.param("cell", cell.init_dict, in_features), in_features)
    # not by Module.param, which would trace the initialiser for the shapes each time
    params: PyTree = cell.params_from_dict(module.get_variable("params", "cell"), in_features)
    if isinstance(cell, ElementwiseCell):
        check_params(cell, params, in_features)
    else:
        check_like("params", params, cell.param_shapes(in_features), f"{type(cell).__name__}({cell.features})")
    return params
