"""The recurrent layers of a model, by name."""

from collections.abc import Iterator
from typing import NamedTuple

import flax.linen as nn

from rnnjax.nn.recurrent import RNN, Bidirectional, Stack


class NamedLayer(NamedTuple):
    """One ``RNN`` of a model."""

    name: str  # path of the module, with slashes, as Flax names its parameters
    layer: RNN


def recurrent_layers(module: nn.Module, name: str = "") -> tuple[NamedLayer, ...]:
    """The layers of ``rnnjax.nn`` in ``module`` in the order in which they are called; none of other modules.

    Args:
        module: a layer, ``Stack`` or ``Bidirectional``, or a module with one as its field ``recurrent``.
        name: its own path.
    """
    return tuple(_layers(module, name))


def _layers(module: object, name: str) -> Iterator[NamedLayer]:
    def of_field(field: str, inner: object) -> Iterator[NamedLayer]:
        return _layers(inner, f"{name}/{field}" if name else field)

    if isinstance(module, RNN):
        yield NamedLayer(name or "rnn", module)
    elif isinstance(module, Stack):
        for i, layer in enumerate(module.layers):
            yield from of_field(f"layers_{i}", layer)
    elif isinstance(module, Bidirectional):
        for field in ("forward_rnn", "backward_rnn"):
            yield from of_field(field, getattr(module, field))
    elif hasattr(module, "recurrent"):
        yield from of_field("recurrent", module.recurrent)
