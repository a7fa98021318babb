"""State dicts of PyTorch in the one form of ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU``: weight_ih_l0, weight_hh_l0, ...

Single-step cells (``nn.LSTMCell``, ...) name their weights without ``_l0``, and weight normalisation keeps g and v in
place of a weight, under names that changed with PyTorch 2.0.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnjax.interop.convert import to_array

_KEY = re.compile(
    r"(?P<prefix>.*?)(?:parametrizations\.)?(?P<name>(?:weight|bias)_(?:ih|hh|hr))(?P<end>_l\d+(?:_reverse)?)?"
    r"(?:(?P<g>\.original0|_g)|(?P<v>\.original1|_v)|(?P<computed>\.original|_orig))?"
)


class Key(NamedTuple):
    """A key of a state dict, taken apart."""

    prefix: str  # of the layer in a whole model
    weight: str  # as nn.LSTM names it, such as weight_hh_l0
    part: str  # "g" or "v" of weight normalisation, "computed" of any other function of parameters, otherwise ""


def recurrent_keys(state_dict: Mapping[Any, Any]) -> dict[str, Key]:
    """The keys of all weights of recurrent layers and cells."""
    found = {key: _KEY.fullmatch(key) for key in state_dict if isinstance(key, str)}
    parts = ("g", "v", "computed")
    return {
        key: Key(match["prefix"], match["name"] + (match["end"] or "_l0"), next(filter(match.__getitem__, parts), ""))
        for key, match in found.items()
        if match
    }


def check_no_checkpoint(state_dict: Mapping[Any, Any]) -> None:
    """Raise ValueError for a mapping that holds a state dict among other things, as checkpoints do."""
    holders = [key for key, value in state_dict.items() if isinstance(value, Mapping) and recurrent_keys(value)]
    if holders:
        raise ValueError(
            f"state_dict is a checkpoint, which holds the weights under {' and '.join(map(repr, holders))}; give "
            f"checkpoint[{holders[0]!r}]."
        )


def layer_weights(state_dict: Mapping[Any, Any], prefix: str) -> dict[str, np.ndarray]:
    """The weights under ``prefix`` as arrays, by the names of ``nn.LSTM`` without the prefix.

    Raises:
        ValueError: values that are no arrays of floating-point numbers, or weights that are functions of other
            parameters than those of weight normalisation.
    """
    keys = {key: parsed for key, parsed in recurrent_keys(state_dict).items() if parsed.prefix == prefix}
    for key, parsed in keys.items():
        if parsed.part == "computed":
            raise ValueError(
                f"{prefix}{parsed.weight} is computed from {key} and other tensors, and that can be imported of "
                "weight_norm only; make it a parameter again in PyTorch, with "
                "torch.nn.utils.parametrize.remove_parametrizations or the remove function of the older interface."
            )
    arrays: dict[str, np.ndarray] = {}
    normalised: dict[str, dict[str, np.ndarray]] = {}
    for key, value in state_dict.items():
        if not isinstance(key, str) or not key.startswith(prefix):
            continue
        array = to_array(key, value)
        if key not in keys:
            arrays[key.removeprefix(prefix)] = array
        elif keys[key].part:
            normalised.setdefault(keys[key].weight, {})[keys[key].part] = array
        else:
            arrays[keys[key].weight] = array
    return arrays | {name: _normalised(prefix + name, **parts) for name, parts in normalised.items()}


def _normalised(name: str, g: np.ndarray | None = None, v: np.ndarray | None = None) -> np.ndarray:
    """The weight g·v/‖v‖ (Salimans & Kingma 2016), with a norm for each entry of g over the axes where g has size 1."""
    if g is None or v is None:
        raise ValueError(f"{name} has weight normalisation, but one of its two tensors, g and v, is missing.")
    if g.ndim not in (0, v.ndim) or any(size not in (1, v.shape[axis]) for axis, size in enumerate(g.shape)):
        raise ValueError(
            f"{name} has weight normalisation with g of shape {g.shape} and v of {v.shape}, which do not fit."
        )
    axes = tuple(axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1)
    return g * v / np.sqrt(np.sum(v * v, axis=axes, keepdims=True))
