"""The input product of every word of the vocabulary, computed once instead of wherever the word occurs."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict, unflatten_dict

from rnnjax.cells import Cell, ElementwiseCell
from rnnjax.cells.one_hot import OneHot
from rnnjax.nn.classifier import SequenceClassifier
from rnnjax.nn.layers import NamedLayer, recurrent_layers
from rnnjax.nn.recurrent import RNN, Bidirectional, Stack
from rnnjax.typing import ModelParams


class OneHotClassifier(SequenceClassifier):
    """A classifier without word vectors, whose recurrent part looks up rows of W_x; not to be differentiated."""

    def _vectors(self, tokens: jax.Array, lengths: jax.Array | None) -> Any:
        return OneHot(tokens, self.vocabulary)


class PreparedModel(NamedTuple):
    """A model, and what its parameters are made of those of the model that it stands for."""

    model: nn.Module
    prepare: Callable[[ModelParams], ModelParams]


def project_words_once(model: nn.Module) -> PreparedModel:
    """A model with the same logits as ``model`` without dropout, which looks up x W_x instead of x.

    With the word vectors E (V, D), the rows of E W_x (V, G·H) are the input products of one-hot vectors. It pays where
    many more than V words are read with the same parameters. A model whose layers cannot look up rows of W_x is
    returned as it is.
    """
    layers = _reading_layers(model.recurrent, "recurrent") if type(model) is SequenceClassifier else ()
    if not layers or not all(_looks_up_rows(layer) for _, layer in layers) or not model.embedding:
        return PreparedModel(model, lambda params: params)

    def prepare(params: ModelParams) -> ModelParams:
        arrays = flatten_dict(params)
        words = arrays.pop(("Embed_0", "embedding"))
        for name, layer in layers:
            w_x = (*name.split("/"), "cell", "w_x")
            arrays[w_x] = layer.cell.project(words, arrays[w_x])
        return unflatten_dict(arrays)

    fields = {
        f.name: getattr(model, f.name)
        for f in dataclasses.fields(SequenceClassifier)
        if f.name not in ("parent", "name")
    }
    return PreparedModel(OneHotClassifier(**{**fields, "embedding": 0, "word_dropout": 0.0}), prepare)


def _reading_layers(module: nn.Module, name: str) -> tuple[NamedLayer, ...]:
    """The layers that read the inputs of ``module``; none where it is a module of another kind."""
    if isinstance(module, Stack):
        return _reading_layers(module.layers[0], f"{name}/layers_0")
    return recurrent_layers(module, name) if isinstance(module, RNN | Bidirectional) else ()


def _looks_up_rows(layer: RNN) -> bool:
    """Whether the products of one-hot vectors with W_x are its rows, and the layer can look them up.

    They are not where a product is rounded to another dtype than the parameters, or the cell computes its own.
    """
    cell, fused = layer.cell, layer.backward == "fused" and layer.backend == "scan"
    rows = type(cell).project is Cell.project and cell.dtype in (None, cell.param_dtype)
    return fused and rows and isinstance(cell, ElementwiseCell)
