"""The parameters of a cell inside a Flax module: nested dicts under the name "cell"."""

from typing import Any

import flax.linen as nn

from rnnjax.cells import Cell, ElementwiseCell
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
    params: Any = module.get_variable("params", "cell")  # Module.param would trace the initialiser for the shapes
    _check(cell, params, in_features)
    return cell.params_from_dict(params, in_features)


def _check(cell: Cell, params: object, in_features: int) -> None:
    """Raise ValueError unless ``params`` fit an elementwise cell; ``unroll`` checks those of other cells."""
    structured = cell.params_from_dict(params, in_features)
    if isinstance(cell, ElementwiseCell):
        check_params(cell, structured, in_features)
