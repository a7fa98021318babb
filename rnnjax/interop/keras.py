"""Weights of Keras' ``SimpleRNN``, ``LSTM`` and ``GRU``."""

import warnings
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from rnnjax.argument_checks import describe
from rnnjax.cells import GRU, ElementwiseCell, Params, SimpleRNN
from rnnjax.interop.convert import build, check_shapes, infer_cell, pack, to_array
from rnnjax.interop.keras_config import LayerOptions, check_options, is_layer, read_layer
from rnnjax.typing import ModelParams


def from_keras(
    weights: Any,
    *,
    activation: str | None = None,
    recurrent_activation: str | None = None,
    reset_after: bool | None = None,
) -> tuple[nn.Module, ModelParams]:
    """Import a layer of Keras: ``SimpleRNN``, ``LSTM`` or ``GRU``, or one of these inside ``Bidirectional``.

        module, params = from_keras(layer)
        final, ys = module.apply({"params": params}, xs)

    ys (B, T, H) are the layer's outputs with ``return_sequences=True``, and ``final`` is its final state. Keras'
    kernels are (in, G·H) as in rnnjax. The LSTM's gates i, f, c, o are i, f, g, o here. The GRU's z, r, h are reordered
    to r, u, n, where z is u, the keep gate; its bias (2, 3·H) holds b and b_h. Gradients are arranged like their
    weights, so they can be converted in the same way. ``use_bias=False`` becomes zeros.

    A layer says all of its options. Its weights alone, ``layer.get_weights()``, do not: then the options below say what
    the layer had, and ``merge_mode="concat"`` and ``go_backwards=False`` are assumed.

    Args:
        weights: the layer; or ``layer.get_weights()``: kernel (D, G·H), recurrent kernel (H, G·H) and, with
            ``use_bias=True``, bias; of ``Bidirectional``, those of the forward layer and then those of the backward
            layer. The arrays of two layers together are read as a ``Bidirectional`` where their shapes allow it.
        activation: "tanh" (Keras' default) or, of ``SimpleRNN``, "relu". Bare weights of a ``SimpleRNN`` need it.
        recurrent_activation: of ``LSTM`` and ``GRU``, "sigmoid", the default since Keras 2.3; before, it was
            "hard_sigmoid", which rnnjax does not have. Where bare weights come without the two activations, the
            defaults are assumed and a warning says so.
        reset_after: of ``GRU``, True, the default since TensorFlow 2; rnnjax does not have False. The shape of the bias
            shows it; bare weights without a bias need it.

    Returns:
        ``rnnjax.RNN``, or ``rnnjax.Bidirectional``; and its parameters, of the dtype of the weights.

    Raises:
        ValueError: a layer, options or a number of arrays that rnnjax does not have, shapes that do not fit together, a
            GRU with ``reset_after=False``, or an option that cannot be read from bare weights and is not given.
    """
    options = LayerOptions(activation, recurrent_activation, reset_after)
    if is_layer(weights):
        if given := [name for name, value in options._asdict().items() if value is not None]:
            raise ValueError(f"A layer says its options itself; leave out {' and '.join(given)}.")
        weights, options = read_layer(weights)
    if not isinstance(weights, Sequence) or isinstance(weights, str | bytes):
        raise ValueError(
            f"weights must be a layer of Keras or its get_weights(), a list of arrays, got {describe(weights)}."
        )
    arrays = [to_array(f"weights[{k}]", value) for k, value in enumerate(weights)]
    sides = {2: ("",), 3: ("",), 4: ("forward ", "backward "), 6: ("forward ", "backward ")}.get(len(arrays))
    if sides is None:
        raise ValueError(
            "A recurrent layer of Keras has 2 arrays, or 3 with a bias, and twice as many inside Bidirectional, "
            f"but {len(arrays)} were given; give layer.get_weights() of one layer."
        )
    size, inputs = len(arrays) // len(sides), arrays[0].shape[:1]
    parts = [arrays[k * size : (k + 1) * size] for k in range(len(sides))]
    directions = [_direction(part, side, inputs) for part, side in zip(parts, sides, strict=True)]
    _check_known(directions[0][0], size == 3, options)
    return build([directions], options.activation or "tanh")


def _check_known(cell: type[ElementwiseCell], biased: bool, options: LayerOptions) -> None:
    """Raise ValueError for options that rnnjax lacks or that must be given, and warn where defaults are assumed."""
    check_options(cell.__name__, options._asdict())
    if cell is SimpleRNN and options.activation is None:
        raise ValueError(
            "The weights of a SimpleRNN do not say its activation; give the layer itself, or activation='tanh', which "
            "is Keras' default, or activation='relu'."
        )
    if cell is GRU and not biased and options.reset_after is None:
        raise ValueError(
            "The weights of a GRU without bias do not say whether it had reset_after=True; give the layer itself, or "
            "reset_after=True or False."
        )
    if cell is not SimpleRNN and None in (options.activation, options.recurrent_activation):
        warnings.warn(
            f"The weights of Keras' {cell.__name__} do not say its activations: activation='tanh' and "
            "recurrent_activation='sigmoid', the defaults since Keras 2.3, are assumed. Give the layer itself, or "
            "these two arguments.",
            stacklevel=3,
        )


def _direction(
    arrays: Sequence[np.ndarray], side: str, inputs: tuple[int, ...]
) -> tuple[type[ElementwiseCell], Params]:
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
