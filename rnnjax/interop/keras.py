"""Weights of Keras' ``SimpleRNN``, ``LSTM`` and ``GRU``."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from rnnjax.argument_checks import describe
from rnnjax.cells import GRU, Cell, Params
from rnnjax.interop.convert import build, check_shapes, infer_cell, pack, to_array
from rnnjax.typing import ModelParams


def from_keras(weights: Sequence[Any], *, activation: str = "tanh") -> tuple[nn.Module, ModelParams]:
    """Import a layer of Keras: ``SimpleRNN``, ``LSTM`` or ``GRU``, or one of these inside ``Bidirectional``.

        module, params = from_keras(layer.get_weights())
        final, ys = module.apply({"params": params}, xs)

    ys (B, T, H) are the layer's outputs with ``return_sequences=True``, and ``final`` is its final state. Keras'
    kernels are (in, G·H) as in rnnjax. The LSTM's gates i, f, c, o are i, f, g, o here. The GRU's z, r, h are reordered
    to r, u, n, where z is u, the keep gate; its bias (2, 3·H) holds b and b_h. Gradients are arranged like their
    weights, so they can be converted in the same way. ``use_bias=False`` becomes zeros.

    Options that cannot be read off the weights are assumed to have Keras' defaults: ``recurrent_activation="sigmoid"``
    (early versions had "hard_sigmoid"), ``merge_mode="concat"``, and ``reset_after=True`` for a GRU without bias.

    Args:
        weights: ``layer.get_weights()``: kernel (D, G·H), recurrent kernel (H, G·H) and, with ``use_bias=True``, bias;
            of ``Bidirectional``, those of the forward layer and then those of the backward layer. The arrays of two
            layers together are read as a ``Bidirectional`` where their shapes allow it.
        activation: of ``SimpleRNN``, "tanh" or "relu".

    Returns:
        ``rnnjax.RNN``, or ``rnnjax.Bidirectional``; and its parameters, of the dtype of the weights.

    Raises:
        ValueError: a number of arrays that no such layer has, shapes that do not fit together, a GRU with
            ``reset_after=False``, or an ``activation`` that the cell does not have.
    """
    if not isinstance(weights, Sequence) or isinstance(weights, str | bytes):
        raise ValueError(f"weights must be layer.get_weights(), a list of arrays, got {describe(weights)}.")
    arrays = [to_array(f"weights[{k}]", value) for k, value in enumerate(weights)]
    sides = {2: ("",), 3: ("",), 4: ("forward ", "backward "), 6: ("forward ", "backward ")}.get(len(arrays))
    if sides is None:
        raise ValueError(
            "A recurrent layer of Keras has 2 arrays, or 3 with a bias, and twice as many inside Bidirectional, "
            f"but {len(arrays)} were given; give layer.get_weights() of one layer."
        )
    size, inputs = len(arrays) // len(sides), arrays[0].shape[:1]
    parts = [arrays[k * size : (k + 1) * size] for k in range(len(sides))]
    return build([[_direction(part, side, inputs) for part, side in zip(parts, sides, strict=True)]], activation)


def _direction(arrays: Sequence[np.ndarray], side: str, inputs: tuple[int, ...]) -> tuple[type[Cell], Params]:
    """The cell and its parameters, from kernel, recurrent kernel and, where there is one, bias."""
    named = dict(zip((f"{side}kernel", f"{side}recurrent_kernel", f"{side}bias"), arrays, strict=False))
    cell, features = infer_cell(f"{side}recurrent_kernel", arrays[1].shape)
    columns = len(cell.gates) * features
    if cell is GRU and len(arrays) == 3 and arrays[2].shape == (columns,):
        raise ValueError(
            f"The {side}bias of shape {(columns,)} is that of a GRU with reset_after=False, which resets h before the "
            "product with W_h; rnnjax's GRU resets after it (reset_after=True, the default of Keras)."
        )
    shapes = [(*inputs, columns), (features, columns), (2, columns) if cell is GRU else (columns,)]
    check_shapes(named, dict(zip(named, shapes, strict=False)), f"one layer of Keras' {cell.__name__}")
    if cell is not GRU:
        return cell, pack(cell, *arrays)
    w_x, w_h, *biases = (np.concatenate([r, z, h], axis=-1) for z, r, h in (np.split(a, 3, axis=-1) for a in arrays))
    return cell, pack(cell, w_x, w_h, *(biases[0] if biases else ()))
