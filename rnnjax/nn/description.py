"""A model of this library as JSON, and back: its class with the fields that differ from their defaults."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from rnnjax.cells import (
    CTRNN,
    GRU,
    JANET,
    LSTM,
    Glorot,
    Identity,
    IndRNN,
    MinGRU,
    MinLSTM,
    Orthogonal,
    PeepholeLSTM,
    SimpleRNN,
)
from rnnjax.nn.classifier import SequenceClassifier
from rnnjax.nn.recurrent import RNN, Bidirectional, Stack
from rnnjax.typing import JSONObject, JSONValue

MODULES = (SequenceClassifier, Stack, Bidirectional, RNN)
CELLS = (SimpleRNN, LSTM, GRU, PeepholeLSTM, JANET, IndRNN, MinGRU, MinLSTM, CTRNN)
INITIALIZERS = (Glorot, Orthogonal, Identity)
CLASSES = {kind.__name__: kind for kind in (*MODULES, *CELLS, *INITIALIZERS)}
KIND = "class"
LARGEST = 2**31 - 1  # of the whole numbers of a model: words, units, steps


def describe_model(model: nn.Module) -> JSONObject | None:
    """``model`` as JSON; None if a part of it is of another class than ``CLASSES``, such as a cell of the user's."""
    try:
        return _to_json(model)
    except TypeError:
        return None


def model_from_description(description: JSONObject) -> nn.Module:
    """The model that ``describe_model`` described.

    Raises:
        ValueError: it describes no model.
    """
    try:
        model = _from_json(description)
    except (TypeError, KeyError) as error:
        raise ValueError(f"it describes no model of rnnjax ({error})") from None
    if not isinstance(model, nn.Module):
        raise ValueError("it describes no model of rnnjax")
    return model


def _to_json(value: Any) -> JSONValue:
    if type(value) in CLASSES.values():
        fields = {field.name: (field, getattr(value, field.name)) for field in dataclasses.fields(value)}
        given = {
            name: jnp.dtype(content).name if name.endswith("dtype") and content is not None else _to_json(content)
            for name, (field, content) in fields.items()
            if name not in ("parent", "name") and content != field.default
        }
        return {KIND: type(value).__name__, **given}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Sequence):
        return [_to_json(item) for item in value]
    raise TypeError(type(value).__name__)


def _field(name: str, value: JSONValue) -> Any:
    return jnp.dtype(value) if name.endswith("dtype") and value is not None else _from_json(value)


def _from_json(value: JSONValue) -> Any:
    if isinstance(value, dict):
        kind = CLASSES[value[KIND]]
        return kind(**{name: _field(name, item) for name, item in value.items() if name != KIND})
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"it describes no model of rnnjax (its whole numbers must be at most {LARGEST})")
    return tuple(map(_from_json, value)) if isinstance(value, list) else value
