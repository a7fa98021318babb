"""Flags of the architecture: which modules they build, and which values they refuse."""

import jax
import numpy as np
import pytest

import rnnjax
from rnnjax.config.model import Architecture
from rnnjax.data.dataset import Sizes
from rnnjax.errors import UserError

CELL = rnnjax.LSTM(4)
WORDS, NUMBERS = Sizes(9, 0, 1), Sizes(0, 3, 5)


def both_ways(cell):
    return rnnjax.Bidirectional(rnnjax.RNN(cell), rnnjax.RNN(cell, reverse=True))


def test_the_default_is_one_layer_whose_last_output_is_read():
    expected = rnnjax.SequenceClassifier(9, 7, rnnjax.RNN(CELL), embedding_scale=0.5)
    assert Architecture().model(WORDS, CELL, embedding=7, embedding_scale=0.5) == expected


@pytest.mark.parametrize(
    ("flags", "recurrent"),
    [
        ({"layers": 3}, rnnjax.Stack((rnnjax.RNN(CELL),) * 3)),
        ({"bidirectional": True}, both_ways(CELL)),
        ({"layers": 2, "bidirectional": True}, rnnjax.Stack((both_ways(CELL), both_ways(CELL)))),
        ({"layer_norm": True, "dropout": 0.25}, rnnjax.RNN(CELL)),
        ({"layers": 2, "layer_norm": True, "dropout": 0.25}, rnnjax.Stack((rnnjax.RNN(CELL),) * 2, 0.25, True)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_built_around_a_cell(flags, recurrent):
    model = Architecture(**flags).model(NUMBERS, CELL, embedding_scale=0.1)
    around = {name: flags[name] for name in ("layer_norm", "dropout") if name in flags}
    assert model == rnnjax.SequenceClassifier(0, 0, recurrent, classes=5, **around)


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_pooling_is_handed_on(pooling):
    assert Architecture(pooling=pooling).model(WORDS, CELL).pooling == pooling


def test_a_model_that_answers_at_every_step():
    model = Architecture(layers=2, dropout=0.5).model(NUMBERS, CELL, every_step=True)
    assert (model.pooling, model.dropout, model.classes) == ("every", 0.5, 5)


def test_sizes_say_what_is_read_and_answered():
    def shapes(model, inputs):
        params = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]
        return {"/".join(k.key for k in path): a.shape for path, a in jax.tree_util.tree_leaves_with_path(params)}

    options = {"layers": 2, "bidirectional": True, "layer_norm": True, "pooling": "attention"}
    params = shapes(Architecture(**options).model(NUMBERS, CELL), np.zeros((1, 2, 3), np.float32))
    assert params["recurrent/layers_0/forward_rnn/cell/w_x"] == (3, 16)
    assert params["recurrent/layers_1/backward_rnn/cell/w_x"] == (8, 16)
    assert params["recurrent/LayerNorm_0/scale"] == params["LayerNorm_0/scale"] == (8,)
    assert params["attention/Dense_1/kernel"] == (8, 8)
    assert params["Dense_0/kernel"] == (8, 5)
    one_hot = shapes(Architecture().model(WORDS, CELL), np.zeros((1, 2), np.int32))
    assert one_hot["recurrent/cell/w_x"] == (9, 16)
    assert not any("Embed" in name for name in one_hot)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"layers": 0}, "--layers must be at least 1, but 0 was given"),
        ({"dropout": 1.0}, r"--dropout must be from 0 to below 1, but 1\.0 was given"),
        ({"dropout": -0.1}, r"--dropout must be from 0 to below 1, but -0\.1 was given"),
        ({"dropout": float("nan")}, "--dropout must be from 0 to below 1, but nan was given"),
    ],
)
def test_wrong_values_are_one_sentence(wrong, said):
    with pytest.raises(UserError, match=rf"^{said}\.$"):
        Architecture(**wrong)
