"""PyTorch's own numbers (origins.npz) from its imported weights, and what cannot be imported."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from origins import assert_answers_alike, load
from sequences import assert_close, assert_same

import rnnjax
from rnnjax.interop import from_torch

H = 4


def both_ways(cell):
    return rnnjax.Bidirectional(rnnjax.RNN(cell), rnnjax.RNN(cell, reverse=True))


NETWORKS = {
    "torch_rnn": rnnjax.RNN(rnnjax.SimpleRNN(H)),
    "torch_rnn_relu": rnnjax.RNN(rnnjax.SimpleRNN(H, activation="relu")),
    "torch_lstm": rnnjax.RNN(rnnjax.LSTM(H)),
    "torch_gru": rnnjax.RNN(rnnjax.GRU(H)),
    "torch_gru_bidirectional": both_ways(rnnjax.GRU(H)),
    "torch_lstm_deep_bidirectional": rnnjax.Stack((both_ways(rnnjax.LSTM(H)),) * 2),
    "torch_gru_in_a_model": rnnjax.Stack((rnnjax.RNN(rnnjax.GRU(H)),) * 2),
}
OPTIONS = {"torch_rnn_relu": {"nonlinearity": "relu"}, "torch_gru_in_a_model": {"prefix": "encoder.gru."}}


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_are_those_of_torch(name):
    """Where the two biases are summed, the gradient of either one is that of the sum."""
    origin, options = load(name), OPTIONS.get(name, {})
    module, params = from_torch(origin.weights, **options)
    assert module == NETWORKS[name]
    converted = []
    for absent in ["no bias"] if "gru" in name else ["bias_ih", "bias_hh"]:
        gradients = {key: g * (absent not in key) for key, g in origin.gradients.items()}
        converted.append(from_torch(gradients, **options)[1])
    has_biases = name != "torch_gru_in_a_model"
    assert_answers_alike(module, params, origin, *converted, biases=has_biases)
    if not has_biases:
        assert not any(np.any(a) for path, a in jax.tree.leaves_with_path(params) if path[-1].key.startswith("b"))


class Tensor:
    """As much of a tensor that needs a gradient, on a device, as is read: NumPy refuses it until it is detached."""

    def __init__(self, array, calls=()):
        self.array, self.calls = array, calls

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def detach(self):
        return Tensor(self.array, (*self.calls, "detach"))

    def cpu(self):
        return Tensor(self.array, (*self.calls, "cpu"))

    def numpy(self):
        assert self.calls == ("detach", "cpu")
        if self.array is None:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


def test_tensors_are_detached_and_fetched():
    weights = load("torch_gru").weights
    assert_same(from_torch({key: Tensor(a) for key, a in weights.items()})[1], from_torch(weights)[1])


def test_the_cell_has_the_dtype_of_the_weights(x64):
    origin = load("torch_lstm")
    for dtype in (jnp.float64, jnp.float16):
        module, params = from_torch({key: a.astype(dtype) for key, a in origin.weights.items()})
        expected = rnnjax.RNN(rnnjax.LSTM(H, param_dtype=dtype))
        assert module == expected
        assert hash(module.cell) == hash(expected.cell)
        assert {a.dtype for a in jax.tree.leaves(params)} == {jnp.dtype(dtype)}
    _, ys = rnnjax.RNN(rnnjax.LSTM(H)).apply({"params": from_torch(origin.weights)[1]}, origin.xs)
    assert_close(ys, jnp.asarray(origin.ys), 1e-5)


def changed(name, **changes):
    """The weights of a network with some replaced, or left out where a change is None."""
    return {key: a for key, a in (load(name).weights | changes).items() if a is not None}


ZEROS = np.zeros((16, 8), np.float32)
DEEP = "torch_lstm_deep_bidirectional"


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (changed("torch_lstm", bias_hh_l0=None), {}, "an nn.LSTM of 1 layer and 1 direction, but they lack bias_hh_l0"),
        (changed("torch_gru", **{"fc.weight": ZEROS}), {}, "an nn.GRU of .* but they also hold fc.weight"),
        (changed("torch_rnn", weight_ih_l0=None), {}, "no weight_ih_l0 under the prefix '' nor under any other"),
        (changed(DEEP, weight_ih_l1=None), {}, "2 layers and 2 directions, but they lack weight_ih_l1"),
        (changed(DEEP, weight_hh_l0_reverse=None), {}, "they lack weight_hh_l0_reverse"),
        (changed(DEEP, weight_ih_l1=ZEROS[:, :4]), {}, r"weight_ih_l1 has shape \(16, 8\), but \(16, 4\) was given"),
        (changed("torch_lstm", bias_ih_l0=ZEROS[0]), {}, r"bias_ih_l0 has shape \(16,\), but \(8,\) was given"),
        (changed("torch_lstm", weight_ih_l0=ZEROS[:, 0]), {}, r"weight_ih_l0 has shape \(16, 16\), but \(16,\) was"),
        (changed("torch_lstm", weight_hh_l0=ZEROS), {}, r"weight_hh_l0 has shape \(16, 8\), but one side must be 1, 3"),
        (changed("torch_lstm", weight_hh_l0=ZEROS[0]), {}, r"weight_hh_l0 has shape \(8,\), but one side must be"),
        (changed("torch_lstm", weight_hh_l0=ZEROS[:0]), {}, r"weight_hh_l0 has shape \(0, 8\), but one side must be"),
        (changed("torch_lstm", weight_hr_l0=ZEROS), {}, "an nn.LSTM with proj_size"),
        (changed("torch_lstm", bias_ih_l0=np.zeros(16, int)), {}, "bias_ih_l0 must hold floating-point .* got int64"),
        (changed("torch_lstm", bias_ih_l0=Tensor(None)), {}, "bias_ih_l0 cannot be read .*BFloat16.*as float32"),
        (changed("torch_gru_in_a_model"), {}, "no weight_ih_l0 under the prefix '', but under 'encoder.gru.'"),
        (changed("torch_gru_in_a_model"), {"prefix": "encoder.gru"}, "prefix 'encoder.gru', but under 'encoder.gru.'"),
        (changed("torch_gru_in_a_model"), {"prefix": "decoder."}, "prefix 'decoder.', but under 'encoder.gru.'"),
        ({}, {}, "no weight_ih_l0 under the prefix '' nor under any other"),
        (
            changed("torch_lstm"),
            {"nonlinearity": "relu"},
            "LSTM has the activation tanh only, so weights trained with 'relu'",
        ),
        (changed("torch_rnn"), {"nonlinearity": "gelu"}, "activation must be one of tanh, relu, got 'gelu'"),
    ],
)
def test_what_cannot_be_imported_is_named(weights, options, message):
    with pytest.raises(ValueError, match=message):
        from_torch(weights, **options)
