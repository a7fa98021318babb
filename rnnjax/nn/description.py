"""A model of this library as JSON, and back: its class with the fields that differ from their defaults.

A cell of the user's own has the name module:Class; whoever reads the JSON says which class that is.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from rnnjax.cells import Cell, Glorot, Identity, Normal, Orthogonal, Sparse
from rnnjax.cells.registry import CELLS
from rnnjax.nn.classifier import SequenceClassifier
from rnnjax.nn.recurrent import RNN, Bidirectional, Stack
from rnnjax.typing import JSONObject, JSONValue

MODULES = (SequenceClassifier, Stack, Bidirectional, RNN)
INITIALIZERS = (Glorot, Orthogonal, Identity, Normal, Sparse)
CLASSES = {kind.__name__: kind for kind in (*MODULES, *CELLS.values(), *INITIALIZERS)}
KIND = "class"
LARGEST = 2**31 - 1  # of the whole numbers of a model: words, units, steps


def describe_model(model: nn.Module) -> JSONObject | None:
    """``model`` as JSON; None if a part of it is neither of ``CLASSES`` nor a cell that can be found by its name."""
    try:
        return _to_json(model)
    except TypeError:
        return None


def own_cells_of(description: JSONValue) -> list[str]:
    """The names, module:Class, of the user's own cells in what ``describe_model`` returned."""
    if isinstance(description, list):
        return [name for item in description for name in own_cells_of(item)]
    if not isinstance(description, dict):
        return []
    kind = description.get(KIND)
    own = [kind] if isinstance(kind, str) and ":" in kind else []
    return own + [name for item in description.values() for name in own_cells_of(item)]


def model_from_description(description: JSONObject, own: Mapping[str, type[Cell]] | None = None) -> nn.Module:
    """The model that ``describe_model`` described.

    Args:
        description: JSON.
        own: the classes of ``own_cells_of`` by their names.

    Raises:
        ValueError: it describes no model.
    """
    try:
        model = _from_json(description, {**CLASSES, **(own or {})})
    except (TypeError, KeyError) as error:
        raise ValueError(f"it describes no model of rnnjax ({error})") from None
    if not isinstance(model, nn.Module):
        raise ValueError("it describes no model of rnnjax")
    return model


def _to_json(value: Any) -> JSONValue:
    if kind := _name_of(type(value)):
        fields = {field.name: (field, getattr(value, field.name)) for field in dataclasses.fields(value)}
        given = {
            name: jnp.dtype(content).name if name.endswith("dtype") and content is not None else _to_json(content)
            for name, (field, content) in fields.items()
            if name not in ("parent", "name") and content != field.default
        }
        return {KIND: kind, **given}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Sequence):
        return [_to_json(item) for item in value]
    raise TypeError(type(value).__name__)


def _name_of(kind: type) -> str | None:
    """The name of a class in the JSON; None if it is no class of a model, or cannot be found by a name."""
    if kind in CLASSES.values():
        return kind.__name__
    module = sys.modules.get(kind.__module__)
    if issubclass(kind, Cell) and kind.__module__ != "__main__" and getattr(module, kind.__qualname__, None) is kind:
        return f"{kind.__module__}:{kind.__qualname__}"
    return None


def _field(name: str, value: JSONValue, classes: Mapping[str, type]) -> Any:
    return jnp.dtype(value) if name.endswith("dtype") and value is not None else _from_json(value, classes)


def _from_json(value: JSONValue, classes: Mapping[str, type]) -> Any:
    if isinstance(value, dict):
        kind = classes[value[KIND]]
        return kind(**{name: _field(name, item, classes) for name, item in value.items() if name != KIND})
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"it describes no model of rnnjax (its whole numbers must be at most {LARGEST})")
    return tuple(_from_json(item, classes) for item in value) if isinstance(value, list) else value
