"""Keras' own numbers (origins.npz) from its imported weights, and what cannot be imported."""

import jax
import numpy as np
import pytest
from origins import assert_answers_alike, load

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


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_are_those_of_keras(name):
    origin = load(name)
    options = {"activation": "relu"} if "relu" in name else {}
    module, params = from_keras(listed(origin.weights), **options)
    assert module == NETWORKS[name]
    _, converted = from_keras(listed(origin.gradients), **options)
    assert_answers_alike(module, params, origin, converted, biases="without" not in name)


@pytest.mark.parametrize("name", ["keras_simple_rnn", "keras_lstm_bidirectional"])
def test_without_biases_they_are_zero(name):
    weights = listed(load(name).weights)
    module, params = from_keras([a for a in weights if a.ndim == 2])
    _, zeroed = from_keras([a * (a.ndim == 2) for a in weights])
    assert module == NETWORKS[name]
    jax.tree.map(np.testing.assert_array_equal, params, zeroed)


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
            {"activation": "relu"},
            "GRU has the activation tanh only, so weights trained with 'relu'",
        ),
        (weights_of("keras_simple_rnn"), {"activation": "elu"}, "activation must be one of tanh, relu, got 'elu'"),
    ],
)
def test_what_cannot_be_imported_is_named(weights, options, message):
    with pytest.raises(ValueError, match=message):
        from_keras(weights, **options)
