"""Weights of PyTorch's ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU``."""

import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from rnnjax.cells import LSTM, Cell, ElementwiseCell, ProjectedLSTM, SimpleRNN
from rnnjax.interop.convert import build, check_mapping, check_shapes, infer_cell, pack, pack_projected
from rnnjax.interop.torch_state import check_no_checkpoint, layer_weights, recurrent_keys
from rnnjax.typing import ModelParams, PyTree

TORCH_NAMES = {
    "SimpleRNN": "an nn.RNN",
    "GRU": "an nn.GRU",
    "LSTM": "an nn.LSTM",
    "ProjectedLSTM": "an nn.LSTM with proj_size",
}


def from_torch(
    state_dict: Mapping[str, Any], *, prefix: str = "", nonlinearity: str | None = None
) -> tuple[nn.Module, ModelParams]:
    """Import an ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` of PyTorch, with all its layers and directions.

        module, params = from_torch(lstm.state_dict())
        final, ys = module.apply({"params": params}, xs)

    ``module`` is batch-major, xs (B, T, D), regardless of ``batch_first``; ``final`` holds h_n and c_n of each layer
    and direction. PyTorch's kernels (G·H, in) are transposed. Its gates are in the same order as here: i, f, g, o, and
    r, z, n, where z is u, the keep gate. An ``nn.RNNCell``, ``nn.LSTMCell`` or ``nn.GRUCell`` becomes a layer that runs
    it over the steps, and an ``nn.LSTM`` with ``proj_size`` becomes ``rnnjax.ProjectedLSTM``. Where a weight has weight
    normalisation, g·v/‖v‖ is imported.

    PyTorch has two biases. The GRU has both here, b = bias_ih and b_h = bias_hh. The RNN and the LSTM depend only on
    their sum, b = bias_ih + bias_hh, so the gradients are ∂L/∂bias_ih = ∂L/∂bias_hh = ∂L/∂b; all other gradients are
    arranged like their weights. ``bias=False`` becomes zeros. Dropout between layers is not part of a state dict and is
    zero here, as in ``eval()``.

    Args:
        state_dict: of the layer, or of a whole model; torch tensors, or anything that ``np.asarray`` can read.
        prefix: of the layer's keys in a whole model, as in ``prefix="encoder.lstm."``.
        nonlinearity: of ``nn.RNN``, "tanh" (PyTorch's default) or "relu". It is not part of a state dict, so it must be
            given; the LSTM and the GRU have none.

    Returns:
        ``rnnjax.RNN`` for one layer of one direction, ``rnnjax.Bidirectional`` for one layer of two,
        ``rnnjax.Stack`` of those for several layers; and its parameters, of the dtype of the weights.

    Raises:
        ValueError: no such layer under ``prefix``, keys that are missing or too many, shapes that do not fit
            together, a checkpoint around the state dict, weights that are functions of other parameters (spectral
            normalisation, pruning), an ``nn.RNN`` without ``nonlinearity``, or one that the cell does not have.
    """
    check_mapping("state_dict", state_dict, "the state_dict() of a layer or of a whole model")
    check_no_checkpoint(state_dict)
    _check_start(state_dict, prefix)
    arrays = layer_weights(state_dict, prefix)
    cell, gates, features, outputs = _sizes(prefix, arrays)
    depth = 1 + max(int(number) for number in re.findall(r"\bweight_[ih]h_l(\d+)", " ".join(arrays)))
    directions = ("", "_reverse") if any(name.endswith("_reverse") for name in arrays) else ("",)

    rows = gates * features
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(depth):
        columns = (len(directions) * outputs,) if layer else arrays["weight_ih_l0"].shape[-1:]
        for direction in directions:
            end = f"_l{layer}{direction}"
            shapes |= {f"weight_ih{end}": (rows, *columns), f"weight_hh{end}": (rows, outputs)}
            if cell is ProjectedLSTM:
                shapes |= {f"weight_hr{end}": (outputs, features)}
            if any(name.startswith("bias_") for name in arrays):
                shapes |= {f"bias_ih{end}": (rows,), f"bias_hh{end}": (rows,)}
    origin = f"{TORCH_NAMES[cell.__name__]} of {depth} layer{'s' * (depth > 1)} and {len(directions)} direction"
    check_shapes(arrays, shapes, origin + "s" * (len(directions) > 1))
    if cell is SimpleRNN and nonlinearity is None:
        raise ValueError(
            "The state dict of an nn.RNN does not say its nonlinearity; give nonlinearity='tanh', which is PyTorch's "
            "default, or nonlinearity='relu'."
        )
    layers = [[(cell, _params(cell, arrays, f"_l{layer}{d}")) for d in directions] for layer in range(depth)]
    return build(layers, nonlinearity or "tanh")


def _check_start(state_dict: Mapping[str, Any], prefix: str) -> None:
    """Raise ValueError unless the keys of ``state_dict`` under ``prefix`` are of a supported layer."""
    keys = recurrent_keys(state_dict).values()
    for name in ("weight_ih_l0", "weight_hh_l0"):
        prefixes = list(dict.fromkeys(key.prefix for key in keys if key.weight == name))
        if prefix in prefixes:
            continue
        hint = f", but under {' and '.join(map(repr, prefixes))}" if prefixes else " nor under any other"
        raise ValueError(f"The state dict has no {name} under the prefix {prefix!r}{hint}.")


def _sizes(prefix: str, arrays: Mapping[str, np.ndarray]) -> tuple[type[Cell], int, int, int]:
    """The cell, its numbers of gates G and of units H, and the number of its outputs, H or ``proj_size``."""
    projection = arrays.get("weight_hr_l0")
    if projection is None:
        cell, features = infer_cell(prefix + "weight_hh_l0", arrays["weight_hh_l0"].shape)
        return cell, len(cell.gates), features, features
    if projection.ndim != 2 or projection.size == 0:
        raise ValueError(
            f"{prefix}weight_hr_l0 has shape {projection.shape}, but it must be that of a matrix from the units of an "
            "nn.LSTM to its proj_size outputs."
        )
    outputs, features = projection.shape
    return ProjectedLSTM, len(LSTM.gates), features, outputs


def _params(cell: type[Cell], arrays: Mapping[str, np.ndarray], end: str) -> PyTree:
    """Parameters of one direction of one layer, whose names end in ``end``."""
    w_x, w_h = (arrays[f"weight_{kind}{end}"].T for kind in ("ih", "hh"))
    b, b_h = (arrays.get(f"bias_{kind}{end}") for kind in ("ih", "hh"))
    if issubclass(cell, ElementwiseCell):
        return pack(cell, w_x, w_h, b, b_h)
    return pack_projected(w_x, w_h, arrays[f"weight_hr{end}"].T, b, b_h)
