"""Weights of PyTorch's ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU``."""

import re
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from rnnjax.cells import Cell, Params
from rnnjax.interop.convert import build, check_mapping, check_shapes, infer_cell, pack, to_array

TORCH_NAMES = {"SimpleRNN": "an nn.RNN", "GRU": "an nn.GRU", "LSTM": "an nn.LSTM"}


def from_torch(
    state_dict: Mapping[str, Any], *, prefix: str = "", nonlinearity: str = "tanh"
) -> tuple[nn.Module, dict[str, Any]]:
    """A network of PyTorch's ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``, all layers and directions of it.

        module, params = from_torch(lstm.state_dict())
        final, ys = module.apply({"params": params}, xs)

    ``module`` is batch-major, xs (B, T, D), whatever ``batch_first`` was; in ``final`` are the h_n and c_n of
    each layer and direction. PyTorch's kernels (G·H, in) are transposed, its gates stand in our order: i, f, g, o
    and r, z, n, where its z is our u, the gate that keeps.

    PyTorch has two biases. The GRU has both here, b = bias_ih and b_h = bias_hh. The RNN and the LSTM read their sum
    alone, b = bias_ih + bias_hh, so the gradients are ∂L/∂bias_ih = ∂L/∂bias_hh = ∂L/∂b; every other gradient
    has the place of its weight. ``bias=False`` becomes zeros. Dropout between layers leaves no trace in a
    state dict and is zero here, as in ``eval()``.

    Args:
        state_dict: of the layer, or of a whole model; torch tensors, or whatever ``np.asarray`` can read.
        prefix: takes from a whole model the keys that start with it, as in ``prefix="encoder.lstm."``.
        nonlinearity: of ``nn.RNN``, "tanh" or "relu"; a state dict does not say.

    Returns:
        ``rnnjax.RNN`` for one layer of one direction, ``rnnjax.Bidirectional`` for one layer of two,
        ``rnnjax.Stack`` of those for several; and its parameters, of the dtype of the weights.

    Raises:
        ValueError: no such layer under ``prefix``, keys that are missing or too many, shapes that do not fit
            together, ``proj_size``, or a ``nonlinearity`` that the cell does not have.
    """
    check_mapping("state_dict", state_dict, "the state_dict() of a layer or of a whole model")
    chosen = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
    _check_start(chosen, state_dict, prefix)
    arrays = {name: to_array(prefix + name, value) for name, value in chosen.items()}
    cell, features = infer_cell(prefix + "weight_hh_l0", arrays["weight_hh_l0"].shape)
    depth = 1 + max(int(number) for number in re.findall(r"\bweight_[ih]h_l(\d+)", " ".join(arrays)))
    directions = ("", "_reverse") if any(name.endswith("_reverse") for name in arrays) else ("",)

    rows = len(cell.gates) * features
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(depth):
        columns = (len(directions) * features,) if layer else arrays["weight_ih_l0"].shape[-1:]
        for direction in directions:
            end = f"_l{layer}{direction}"
            shapes |= {f"weight_ih{end}": (rows, *columns), f"weight_hh{end}": (rows, features)}
            if any(name.startswith("bias_") for name in arrays):
                shapes |= {f"bias_ih{end}": (rows,), f"bias_hh{end}": (rows,)}
    origin = f"{TORCH_NAMES[cell.__name__]} of {depth} layer{'s' * (depth > 1)} and {len(directions)} direction"
    check_shapes(arrays, shapes, origin + "s" * (len(directions) > 1))
    layers = [[(cell, _params(cell, arrays, f"_l{layer}{d}")) for d in directions] for layer in range(depth)]
    return build(layers, nonlinearity)


def _check_start(chosen: Mapping[str, Any], state_dict: Mapping[str, Any], prefix: str) -> None:
    """That ``chosen``, what ``state_dict`` has under ``prefix``, begins a recurrent layer that we have."""
    if any(name.startswith("weight_hr_") for name in chosen):
        raise ValueError(
            "The weights are of an nn.LSTM with proj_size (they hold weight_hr_l0), which shows a projection of its "
            "output; rnnjax's LSTM has no projection."
        )
    for name in ("weight_ih_l0", "weight_hh_l0"):
        if name in chosen:
            continue
        elsewhere = [repr(key.removesuffix(name)) for key in state_dict if key.endswith(name)]
        hint = f", but under {' and '.join(elsewhere)}" if elsewhere else " nor under any other"
        raise ValueError(f"The state dict has no {name} under the prefix {prefix!r}{hint}.")


def _params(cell: type[Cell], arrays: Mapping[str, np.ndarray], end: str) -> Params:
    """Those of one direction of one layer, whose names have ``end``."""
    weights = [arrays[f"weight_{kind}{end}"].T for kind in ("ih", "hh")]
    return pack(cell, *weights, *[arrays.get(f"bias_{kind}{end}") for kind in ("ih", "hh")])
