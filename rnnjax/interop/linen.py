"""Weights of the recurrent cells of ``flax.linen`` and ``flax.nnx``."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from rnnjax.cells import GRU, LSTM, ElementwiseCell, SimpleRNN
from rnnjax.interop.convert import build, check_mapping, check_shapes, infer_cell, pack, to_array
from rnnjax.typing import ModelParams, PyTree


class DenseLayers(NamedTuple):
    """The dense layers of a cell of flax: for each side, x and h, their names in the order of rnnjax's gates."""

    name: str
    cell: type[ElementwiseCell]
    x: tuple[str, ...]
    h: tuple[str, ...]
    biased: frozenset[str]  # names of the dense layers with a bias

    @property
    def gates_per_layer(self) -> int:
        """Gates that one dense layer holds, side by side."""
        return len(self.cell.gates) // len(self.x)


_H_GATES = ("hi", "hf", "hg", "ho")
FLAX_CELLS = (
    DenseLayers("SimpleCell", SimpleRNN, ("i",), ("h",), frozenset({"i"})),
    DenseLayers("LSTMCell", LSTM, ("ii", "if", "ig", "io"), _H_GATES, frozenset(_H_GATES)),
    DenseLayers("GRUCell", GRU, ("ir", "iz", "in"), ("hr", "hz", "hn"), frozenset({"ir", "iz", "in", "hn"})),
    DenseLayers("nnx.LSTMCell", LSTM, ("ii", "if_", "ig", "io"), _H_GATES, frozenset(_H_GATES)),
    DenseLayers("nnx.OptimizedLSTMCell", LSTM, ("dense_i",), ("dense_h",), frozenset({"dense_h"})),
    DenseLayers("nnx.GRUCell", GRU, ("dense_i",), ("dense_h",), frozenset({"dense_i"})),
    DenseLayers("nnx.SimpleCell", SimpleRNN, ("dense_i",), ("dense_h",), frozenset({"dense_i"})),
)


def from_linen(
    params: Mapping[str, Any], *, activation: str | None = None, residual: bool | None = None
) -> tuple[nn.Module, ModelParams]:
    """Import a cell of Flax: ``SimpleCell``, ``LSTMCell``, ``OptimizedLSTMCell`` or ``GRUCell``, of linen or of nnx.

        module, params = from_linen(variables["params"])
        module, params = from_linen(nnx.state(cell, nnx.Param))
        final, ys = module.apply({"params": params}, xs)

    flax has a dense layer for each gate, whose kernels (in, H) are concatenated here, or one for all of them: the
    LSTM's i, f, g, o, and the GRU's r, z, n as r, u, n, where z is u, the keep gate. The bias of ``SimpleCell`` is
    added to the product with x and that of the LSTMs to the product with h; both become b. ``GRUCell`` has biases for
    x, which become b, and in linen a bias for h for n only; b_h is zero for r and u, where its gradient equals that of
    b. All other gradients are arranged like their weights, so they can be converted in the same way.

    Args:
        params: the cell's parameters, or those of a module with no others, such as ``nn.RNN(cell)``. ``gate_fn`` and
            ``activation_fn`` of ``LSTMCell`` and ``GRUCell``, which they do not show, are assumed to be flax's
            defaults, sigmoid and tanh.
        activation: ``activation_fn`` of ``SimpleCell``, "tanh" (flax's default) or "relu". Parameters do not show it,
            so it must be given for this cell.
        residual: of ``SimpleCell``, False, which must be given likewise; rnnjax does not have True.

    Returns:
        ``rnnjax.RNN`` and its parameters, of the dtype of the weights.

    Raises:
        ValueError: parameters of another cell, missing or too many, shapes that do not fit together, an option of
            ``SimpleCell`` that is not given, or one that the cell does not have.
    """
    wanted = "the parameters of one cell, as in variables['params'], or nnx.state(cell, nnx.Param)"
    check_mapping("params", params, wanted)
    while len(params) == 1 and isinstance(inner := next(iter(params.values())), Mapping):
        params = inner
    layers = _dense_layers(params)
    _check_options(layers, activation, residual)
    arrays = {
        f"{dense}/{name}": to_array(f"{dense}/{name}", value)
        for dense, held in params.items()
        for name, value in (held.items() if isinstance(held, Mapping) else [("", held)])
    }
    inputs, columns = (*np.shape(arrays.get(f"{layers.x[0]}/kernel", np.zeros((0, 0)))), 0, 0)[:2]
    features = columns // layers.gates_per_layer
    shapes: dict[str, tuple[int, ...]] = {}
    for x, h in zip(layers.x, layers.h, strict=True):
        shapes |= {f"{x}/kernel": (inputs, columns), f"{h}/kernel": (features, columns)}
    shapes |= {f"{dense}/bias": (columns,) for dense in layers.biased}
    check_shapes(arrays, shapes, f"flax's {layers.name}")

    def concatenated(names: tuple[str, ...], kind: str) -> np.ndarray:
        zeros = np.zeros(columns, arrays[f"{names[0]}/kernel"].dtype)
        return np.concatenate([arrays.get(f"{dense}/{kind}", zeros) for dense in names], axis=-1)

    packed = [concatenated(names, kind) for kind in ("kernel", "bias") for names in (layers.x, layers.h)]
    return build([[(layers.cell, pack(layers.cell, *packed))]], activation or "tanh")


def _dense_layers(params: Mapping[str, PyTree]) -> DenseLayers:
    """The cell that has dense layers of these names; where several have, the size of the kernels decides."""
    matching = [layers for layers in FLAX_CELLS if set(params) == {*layers.x, *layers.h}]
    if not matching:
        names = ", ".join(dict.fromkeys(layers.name.removeprefix("nnx.") for layers in FLAX_CELLS))
        raise ValueError(
            f"No cell of flax that can be imported ({names}) has the parameters "
            f"{', '.join(map(repr, params)) or 'of an empty dict'}; give those of one cell, of flax.nnx as "
            "nnx.state(cell, nnx.Param)."
        )
    if len(matching) == 1:
        return matching[0]
    held = params["dense_h"]
    kernel = held.get("kernel") if isinstance(held, Mapping) else None
    cell, _ = infer_cell("dense_h/kernel", np.shape(to_array("dense_h/kernel", kernel)))
    return next(layers for layers in matching if layers.cell is cell)


def _check_options(layers: DenseLayers, activation: str | None, residual: bool | None) -> None:
    """Raise ValueError where options of a ``SimpleCell`` are not given, or are of no cell of rnnjax."""
    if residual:
        raise ValueError(
            "A SimpleCell with residual=True adds h to its products, which rnnjax's SimpleRNN does not; it cannot be "
            "imported."
        )
    if layers.cell is SimpleRNN and (activation is None or residual is None):
        raise ValueError(
            "The parameters of a SimpleCell do not say its activation_fn and residual; give activation='tanh', which "
            "is flax's default, or activation='relu', and residual=False."
        )
