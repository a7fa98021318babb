"""The input product of every word of the vocabulary, computed once instead of wherever the word occurs."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from rnnjax.nn.classifier import SequenceClassifier
from rnnjax.nn.layers import looks_up_one_hot, reading_layers
from rnnjax.typing import ModelParams


class PreparedModel(NamedTuple):
    """A model, and what its parameters are made of those of the model that it stands for."""

    model: nn.Module
    prepare: Callable[[ModelParams], ModelParams]


def project_words_once(model: nn.Module) -> PreparedModel:
    """A model with the same logits as ``model`` without dropout, which looks up x W_x instead of x.

    For word vectors E (V, E), the rows of E W_x (V, G·H) are the input products of a one-hot vector. It pays where many
    more than V words are read with the same parameters. A model is returned as it is where the layers that read its
    words do not look up rows of W_x, or where products are rounded to another dtype than parameters.
    """
    layers = reading_layers(model)
    exact = all(layer.cell.dtype in (None, layer.cell.param_dtype) for _, layer in layers)
    if not isinstance(model, SequenceClassifier) or not model.embedding or not looks_up_one_hot(model) or not exact:
        return PreparedModel(model, lambda params: params)

    def prepare(params: ModelParams) -> ModelParams:
        arrays = flatten_dict(params)
        words = arrays.pop(("Embed_0", "embedding"))
        for name, layer in layers:
            w_x = (*name.split("/"), "cell", "w_x")
            arrays[w_x] = layer.cell.project(words, arrays[w_x])
        return unflatten_dict(arrays)

    return PreparedModel(model.clone(embedding=0, word_dropout=0.0), prepare)
