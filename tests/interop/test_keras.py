"""Keras' own numbers (origins.npz) from its imported weights, and what cannot be imported."""

import json

import jax
import numpy as np
import pytest
from origins import ARRAYS, assert_answers_alike, load
from sequences import assert_same, slow_unless

import rnnjax
from rnnjax.interop import from_keras

H = 4
LSTM = rnnjax.LSTM(H)
NETWORKS = {
    "keras_simple_rnn": rnnjax.RNN(rnnjax.SimpleRNN(H)),
    "keras_simple_rnn_relu": rnnjax.RNN(rnnjax.SimpleRNN(H, activation="relu")),
    "keras_lstm": rnnjax.RNN(LSTM),
    "keras_gru": rnnjax.RNN(rnnjax.GRU(H)),
    "keras_gru_without_bias": rnnjax.RNN(rnnjax.GRU(H)),
    "keras_lstm_bidirectional": rnnjax.Bidirectional(rnnjax.RNN(LSTM), rnnjax.RNN(LSTM, reverse=True)),
}


def listed(arrays):
    """As ``get_weights`` orders them."""
    return [arrays[str(k)] for k in range(len(arrays))]


def weights_of(name, **changes):
    """Those of a network, one of them changed in place k: ``_k=function``."""
    weights = listed(load(name).weights)
    for place, change in changes.items():
        weights[int(place.removeprefix("_"))] = change
    return weights


GATED = {"activation": "tanh", "recurrent_activation": "sigmoid"}
OPTIONS = dict.fromkeys(NETWORKS, GATED) | {
    "keras_simple_rnn": {"activation": "tanh"},
    "keras_simple_rnn_relu": {"activation": "relu"},
    "keras_gru_without_bias": GATED | {"reset_after": True},
}


class Layer:
    """As much of a layer of Keras as is read; its class has the name of Keras' class."""

    def __init__(self, weights, config):
        self.weights, self.config = weights, config

    def get_weights(self):
        return self.weights

    def get_config(self):
        return self.config


def layer_of(name, kind=None, weights=None, **options):
    """A layer with the recorded weights and options, some of them replaced; "layer" is inside Bidirectional."""
    recorded = json.loads(str(ARRAYS[f"{name}/config"]))
    config = recorded["config"]
    for part in ("layer", "backward_layer"):
        if changed := options.pop(part, None):
            config[part]["config"] |= changed
    weights = listed(load(name).weights) if weights is None else weights
    return type(kind or recorded["class_name"], (Layer,), {})(weights, config | options)


QUICK = ("keras_simple_rnn_relu", "keras_lstm", "keras_gru_without_bias", "keras_lstm_bidirectional")


@pytest.mark.parametrize("name", [slow_unless(name in QUICK, name) for name in NETWORKS])
def test_outputs_and_gradients_are_those_of_keras(name):
    origin, options = load(name), OPTIONS[name]
    module, params = from_keras(listed(origin.weights), **options)
    assert module == NETWORKS[name]
    _, converted = from_keras(listed(origin.gradients), **options)
    assert_answers_alike(module, params, origin, converted, biases="without" not in name)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_says_its_options_itself(name):
    assert_same(from_keras(layer_of(name)), from_keras(listed(load(name).weights), **OPTIONS[name]))


@pytest.mark.parametrize("name", ["keras_simple_rnn", "keras_lstm_bidirectional"])
def test_without_biases_they_are_zero(name):
    weights = listed(load(name).weights)
    module, params = from_keras([a for a in weights if a.ndim == 2], **OPTIONS[name])
    _, zeroed = from_keras([a * (a.ndim == 2) for a in weights], **OPTIONS[name])
    assert module == NETWORKS[name]
    jax.tree.map(np.testing.assert_array_equal, params, zeroed)


@pytest.mark.parametrize("options", [{}, {"activation": "tanh"}, {"recurrent_activation": "sigmoid"}], ids=str)
@pytest.mark.parametrize("name", ["keras_lstm", "keras_gru", "keras_lstm_bidirectional"])
def test_activations_that_are_assumed_are_told(name, options):
    told = "do not say its activations: activation='tanh' and recurrent_activation='sigmoid', .* are assumed"
    with pytest.warns(UserWarning, match=told) as warned:
        found = from_keras(listed(load(name).weights), **options)
    assert warned[0].filename == __file__
    assert_same(found, from_keras(listed(load(name).weights), **GATED))


def zeros(*shape):
    return np.zeros(shape, np.float32)


BOTH = "keras_lstm_bidirectional"


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ([], {}, "2 arrays, or 3 with a bias, .* but 0 were given"),
        (weights_of("keras_lstm") + weights_of("keras_lstm")[:2], {}, "but 5 were given; give layer.get_weights()"),
        (weights_of("keras_gru", _2=zeros(12)), {}, r"The bias of shape \(12,\) is that of a GRU with reset_after=F"),
        ([*weights_of("keras_gru")[:2], zeros(12)] * 2, {}, "The forward bias .* reset_after=False"),
        (weights_of("keras_gru", _2=zeros(2, 16)), {}, r"Keras' GRU, where bias has shape \(2, 12\), but \(2, 16\)"),
        (
            weights_of("keras_lstm", _0=zeros(3, 12)),
            {},
            r"Keras' LSTM, where kernel has shape \(3, 16\), but \(3, 12\)",
        ),
        (weights_of("keras_lstm", _1=zeros(4, 8)), {}, r"recurrent_kernel has shape \(4, 8\), but one side must be"),
        (
            weights_of("keras_lstm", _1=zeros(16, 4)),
            {},
            r"recurrent_kernel has shape \(4, 16\), but \(16, 4\) was given",
        ),
        (weights_of("keras_lstm", _0=zeros()), {}, r"where kernel has shape \(16,\), but \(\) was given"),
        (weights_of(BOTH, _3=zeros(4, 16)), {}, r"where backward kernel has shape \(3, 16\), but \(4, 16\) was given"),
        (
            weights_of("keras_lstm", _2=np.zeros(16, int)),
            {},
            r"weights\[2\] must hold floating-point numbers, got int64",
        ),
        (
            weights_of("keras_gru"),
            GATED | {"activation": "relu"},
            "GRU has the activation tanh only, so weights trained with 'relu'",
        ),
        (weights_of("keras_simple_rnn"), {"activation": "elu"}, "activation must be one of tanh, relu, got 'elu'"),
        (
            weights_of("keras_simple_rnn"),
            {},
            "The weights of a SimpleRNN do not say its activation; give the layer itself, or activation='tanh', .*relu",
        ),
        (
            weights_of("keras_lstm"),
            GATED | {"recurrent_activation": "hard_sigmoid"},
            "LSTM with recurrent_activation='hard_sigmoid' cannot be imported: rnnjax's gates have .* sigmoid only",
        ),
        (
            weights_of("keras_gru_without_bias"),
            GATED,
            "GRU without bias do not say whether it had reset_after=True; give the layer itself, or reset_after=Tr",
        ),
        (
            weights_of("keras_gru_without_bias"),
            GATED | {"reset_after": False},
            "GRU with reset_after=False cannot be imported: it resets h before the product",
        ),
        (
            layer_of("keras_lstm", recurrent_activation="hard_sigmoid"),
            {},
            "='hard_sigmoid' cannot be imported: rnnjax's",
        ),
        (layer_of(BOTH, layer={"recurrent_activation": "hard_sigmoid"}), {}, "'hard_sigmoid' cannot be imported"),
        (
            layer_of(BOTH, backward_layer={"recurrent_activation": "hard_sigmoid"}),
            {},
            "'hard_sigmoid' cannot be import",
        ),
        (
            layer_of(BOTH, backward_layer={"activation": "relu"}),
            {},
            "two directions have the activations 'tanh' and 're",
        ),
        (
            layer_of(BOTH, merge_mode="sum"),
            {},
            "Bidirectional with merge_mode='sum' cannot be imported: .* concatenates",
        ),
        (layer_of("keras_gru_without_bias", reset_after=False), {}, "GRU with reset_after=False cannot be imported"),
        (layer_of("keras_lstm", go_backwards=True), {}, "go_backwards=True cannot .*set reverse=True of the module"),
        (layer_of("keras_lstm", time_major=True), {}, "time_major=True cannot be imported: .*set time_major=True"),
        (
            layer_of("keras_lstm", activation="relu"),
            {},
            "LSTM has the activation tanh only, so weights trained with 're",
        ),
        (layer_of("keras_lstm", activation={"class_name": "f"}), {}, "LSTM has an activation of its own making"),
        (
            layer_of("keras_lstm", kind="Sequential"),
            {},
            "takes one layer, .* got Sequential; of a model, give model.lay",
        ),
        (layer_of("keras_lstm", weights=[]), {}, "The LSTM has no weights yet; call it on a batch first"),
        (layer_of("keras_lstm"), {"activation": "tanh"}, "A layer says its options itself; leave out activation."),
    ],
)
def test_what_cannot_be_imported_is_named(weights, options, message):
    with pytest.raises(ValueError, match=message):
        from_keras(weights, **options)
