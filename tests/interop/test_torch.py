"""PyTorch's own numbers (origins.npz) from its imported weights, and what cannot be imported."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from origins import ARRAYS, assert_answers_alike, load
from sequences import assert_close, assert_same, slow_unless

import rnnjax
from rnnjax.interop import from_torch

H = 4


def both_ways(cell):
    return rnnjax.Bidirectional(rnnjax.RNN(cell), rnnjax.RNN(cell, reverse=True))


PROJECTED = rnnjax.ProjectedLSTM(H, projection=2)
NETWORKS = {
    "torch_rnn": rnnjax.RNN(rnnjax.SimpleRNN(H)),
    "torch_rnn_relu": rnnjax.RNN(rnnjax.SimpleRNN(H, activation="relu")),
    "torch_lstm": rnnjax.RNN(rnnjax.LSTM(H)),
    "torch_gru": rnnjax.RNN(rnnjax.GRU(H)),
    "torch_gru_bidirectional": both_ways(rnnjax.GRU(H)),
    "torch_lstm_deep_bidirectional": rnnjax.Stack((both_ways(rnnjax.LSTM(H)),) * 2),
    "torch_gru_in_a_model": rnnjax.Stack((rnnjax.RNN(rnnjax.GRU(H)),) * 2),
    "torch_lstm_projected": rnnjax.RNN(PROJECTED),
    "torch_lstm_projected_without_bias": rnnjax.RNN(PROJECTED),
    "torch_lstm_projected_deep_bidirectional": rnnjax.Stack((both_ways(PROJECTED),) * 2),
    "torch_rnn_cell": rnnjax.RNN(rnnjax.SimpleRNN(H)),
    "torch_lstm_cell": rnnjax.RNN(rnnjax.LSTM(H)),
    "torch_gru_cell": rnnjax.RNN(rnnjax.GRU(H)),
}
OPTIONS = {
    "torch_rnn": {"nonlinearity": "tanh"},
    "torch_rnn_relu": {"nonlinearity": "relu"},
    "torch_gru_in_a_model": {"prefix": "encoder.gru."},
    "torch_rnn_cell": {"nonlinearity": "tanh", "prefix": "cell."},
    "torch_lstm_cell": {"prefix": "cell."},
    "torch_gru_cell": {"prefix": "cell."},
}


QUICK = ("torch_rnn_relu", "torch_gru_bidirectional", "torch_gru_in_a_model", "torch_lstm_projected", "torch_lstm_cell")


@pytest.mark.parametrize("name", [slow_unless(name in QUICK, name) for name in NETWORKS])
def test_outputs_and_gradients_are_those_of_torch(name):
    """Where the two biases are summed, the gradient of either one is that of the sum."""
    origin, options = load(name), OPTIONS.get(name, {})
    module, params = from_torch(origin.weights, **options)
    assert module == NETWORKS[name]
    converted = []
    for absent in ["no bias"] if "gru" in name else ["bias_ih", "bias_hh"]:
        gradients = {key: g * (absent not in key) for key, g in origin.gradients.items()}
        converted.append(from_torch(gradients, **options)[1])
    has_biases = any(key.split(".")[-1].startswith("bias_") for key in origin.weights)
    assert_answers_alike(module, params, origin, *converted, biases=has_biases)
    if not has_biases:
        assert not any(np.any(a) for path, a in jax.tree.leaves_with_path(params) if path[-1].key.startswith("b"))


@pytest.mark.parametrize("name", [slow_unless(name in QUICK, name) for name in NETWORKS if "projected" in name])
def test_final_states_of_a_projected_lstm_are_those_of_torch(name):
    origin = load(name)
    module, params = from_torch(origin.weights)
    final, _ = jax.jit(lambda params: module.apply({"params": params}, origin.xs))(params)
    states = jax.tree.leaves(final, is_leaf=lambda node: isinstance(node, rnnjax.cells.ProjectedLSTMState))
    assert_close(jnp.stack([state.h for state in states]), ARRAYS[f"{name}/h_n"], 1e-5)
    assert_close(jnp.stack([state.c for state in states]), ARRAYS[f"{name}/c_n"], 1e-5)


NORMALISED = "weight_hh_l0_reverse"


def test_a_weight_under_weight_norm_is_computed():
    """From the names since PyTorch 2.0, those before, and with the norm over other axes."""
    origin = load("torch_lstm_weight_norm")
    module, params = from_torch(origin.weights)
    assert module == both_ways(rnnjax.LSTM(H))
    assert_answers_alike(module, params, origin)
    g, v = (origin.weights[f"parametrizations.{NORMALISED}.original{k}"] for k in (0, 1))
    plain = {key: a for key, a in origin.weights.items() if not key.startswith("parametrizations")}
    older = {f"{NORMALISED}_g": g, f"{NORMALISED}_v": v}
    assert_same(from_torch(plain | older)[1], params)
    for g, norm in ((np.float32(2), np.linalg.norm(v)), (v[:1], np.linalg.norm(v, axis=0, keepdims=True))):
        expected = from_torch(plain | {NORMALISED: g * v / norm})[1]
        older = {f"{NORMALISED}_g": np.asarray(g), f"{NORMALISED}_v": v}
        assert_close(
            from_torch({f"lstm.{key}": a for key, a in (plain | older).items()}, prefix="lstm.")[1], expected, 1e-6
        )


class Tensor:
    """As much of a tensor that needs a gradient, on a device, as is read: NumPy refuses it until it is detached."""

    def __init__(self, array, calls=(), is_meta=False):
        self.array, self.calls, self.is_meta = array, calls, is_meta

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
        (
            changed("torch_lstm", weight_hr_l0=ZEROS),
            {},
            r"an nn.LSTM with proj_size of 1 layer and 1 direction, where weight_ih_l0 has shape \(32, 3\)",
        ),
        (
            changed("torch_lstm_projected", weight_hr_l0=ZEROS[0]),
            {},
            r"weight_hr_l0 has shape \(8,\), but it must be that of a matrix from the units of an nn.LSTM to",
        ),
        (
            changed("torch_lstm_projected_deep_bidirectional", weight_hr_l1=None),
            {},
            "an nn.LSTM with proj_size of 2 layers and 2 directions, but they lack weight_hr_l1",
        ),
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
        (
            changed("torch_rnn"),
            {},
            "nn.RNN does not say its nonlinearity; give nonlinearity='tanh', which is .*='relu'",
        ),
        (changed("torch_rnn_cell"), {"prefix": "cell."}, "nn.RNN does not say its nonlinearity;"),
        (
            {"epoch": 3, "state_dict": changed("torch_lstm"), "optimizer": {"state": {0: ZEROS}}},
            {},
            r"a checkpoint, which holds the weights under 'state_dict'; give checkpoint\['state_dict'\]",
        ),
        ({"model": changed("torch_gru_in_a_model")}, {}, r"under 'model'; give checkpoint\['model'\]"),
        (
            changed("torch_lstm", weight_ih_l0=Tensor(None, is_meta=True)),
            {},
            "weight_ih_l0 is on PyTorch's meta device: it has a shape, but no numbers; load the weights first",
        ),
        (
            changed("torch_lstm", weight_hh_l0=None, **{"parametrizations.weight_hh_l0.original": ZEROS}),
            {},
            "weight_hh_l0 is computed from parametrizations.weight_hh_l0.original and other .* weight_norm only; make",
        ),
        (
            changed("torch_lstm", weight_hh_l0=None, weight_hh_l0_orig=ZEROS, weight_hh_l0_mask=ZEROS),
            {},
            "weight_hh_l0 is computed from weight_hh_l0_orig and other tensors",
        ),
        (
            changed("torch_lstm", weight_hh_l0=None, weight_hh_l0_g=ZEROS[:, :1]),
            {},
            "weight_hh_l0 has weight normalisation, but one of its two tensors, g and v, is missing",
        ),
        (
            changed("torch_lstm", weight_hh_l0=None, weight_hh_l0_g=ZEROS[:3, :1], weight_hh_l0_v=ZEROS),
            {},
            r"g of shape \(3, 1\) and v of \(16, 8\), which do not fit",
        ),
        (changed("torch_lstm_cell"), {}, "no weight_ih_l0 under the prefix '', but under 'cell.'"),
        (changed("torch_lstm", **{"0": ZEROS}) | {1: ZEROS}, {}, "but they also hold 0"),
    ],
)
def test_what_cannot_be_imported_is_named(weights, options, message):
    with pytest.raises(ValueError, match=message):
        from_torch(weights, **options)
