"""Looking up the input products of words, instead of their vectors, gives the same logits."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.cells.one_hot import OneHot
from rnnjax.core.skipped_padding import skipping_padding
from rnnjax.core.unroll import unroll_with_outputs
from rnnjax.nn.word_projections import project_words_once


class HalfInputs(rnnjax.LSTM):
    """A cell with a product of its own."""

    def project(self, x, w, b=None):
        return super().project(x / 2, w, b)


class Doubled(nn.Module):
    """Another reader of the inputs, around a layer."""

    recurrent: nn.Module

    def __call__(self, xs, **options):
        return self.recurrent(2 * xs, **options)


WORDS, STEPS = 150, 40
LENGTHS = np.array([40, 7, 1, 26], np.int32)
LSTM, GRU = rnnjax.LSTM(5), rnnjax.GRU(4)
MODELS = {
    "LSTM": rnnjax.RNN(LSTM),
    "GRU": rnnjax.RNN(GRU),
    "reverse": rnnjax.RNN(rnnjax.SimpleRNN(5), reverse=True),
    "no W_h": rnnjax.RNN(rnnjax.MinGRU(5)),
    "segments": rnnjax.RNN(LSTM, store_every=10),
    "stack": rnnjax.Stack((rnnjax.RNN(GRU), rnnjax.RNN(LSTM))),
    "both directions": rnnjax.Stack(
        (rnnjax.Bidirectional(rnnjax.RNN(LSTM), rnnjax.RNN(GRU, reverse=True)), rnnjax.RNN(LSTM))
    ),
}
AS_THEY_ARE = {
    "autodiff": rnnjax.RNN(LSTM, backward="autodiff"),
    "associative": rnnjax.RNN(rnnjax.MinGRU(5), backend="associative"),
    "bfloat16": rnnjax.RNN(rnnjax.LSTM(5, dtype=jnp.bfloat16)),
    "its own product": rnnjax.RNN(HalfInputs(5)),
    "another reader": rnnjax.Stack((Doubled(rnnjax.RNN(LSTM)), rnnjax.RNN(LSTM))),
    "not elementwise": rnnjax.RNN(rnnjax.LayerNormLSTM(5)),
}


def tokens():
    return np.random.default_rng(0).integers(WORDS, size=(4, STEPS)).astype(np.int32)


def prepared(recurrent, **options):
    model = rnnjax.SequenceClassifier(WORDS, 6, recurrent, **options)
    return model, model.init(jax.random.key(0), tokens())["params"], project_words_once(model)


@pytest.mark.parametrize("lengths", [LENGTHS, None])
@pytest.mark.parametrize("name", MODELS)
def test_the_same_logits(name, lengths):
    model, params, (projected, prepare) = prepared(MODELS[name], word_dropout=0.5)
    assert projected is not model
    expected = model.apply({"params": params}, tokens(), lengths=lengths)
    with skipping_padding(True):
        looked_up = jax.jit(projected.apply)({"params": prepare(params)}, tokens(), lengths=lengths)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), looked_up, expected)


@pytest.mark.parametrize("name", MODELS)
def test_no_vector_of_a_word_is_made(name):
    _, params, (projected, prepare) = prepared(MODELS[name])
    with skipping_padding(True):
        program = jax.jit(projected.apply).lower({"params": prepare(params)}, tokens(), lengths=LENGTHS)
    assert re.search(rf"tensor<\d+x\d+x{WORDS}xf32>", program.as_text()) is None


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_other_models_stay_as_they_are(name):
    model, params, (projected, prepare) = prepared(AS_THEY_ARE[name])
    assert projected is model
    assert prepare(params) is params


@pytest.mark.parametrize("options", [{}, {"lengths": LENGTHS}, {"lengths": LENGTHS, "reverse": True}])
@pytest.mark.parametrize("cell", [LSTM, GRU.replace(input_dropout=0.5), rnnjax.LSTM(5, dtype=jnp.bfloat16)])
def test_one_hot_inputs_without_their_zeros(cell, options):
    params, places = cell.init(jax.random.key(0), WORDS), tokens().T
    masks = cell.dropout_masks(jax.random.key(1), jnp.arange(4), WORDS, STEPS)
    one_hot = OneHot(jnp.array(places), WORDS)
    looked_up = unroll_with_outputs(cell, params, one_hot, dropout=masks, **options)
    expected = unroll_with_outputs(cell, params, one_hot.vectors(), dropout=masks, **options)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), looked_up, expected)
