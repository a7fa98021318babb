"""Makes origins.npz: small networks of PyTorch and Keras, what they answer and their gradients.

Renew it when a network is added here, or to compare with a newer version of either library; the old numbers stay
right for as long as rnnjax's equations do, so a failing test is no reason to. Both libraries are too heavy for the
tests' own environment, so this wants one of its own; from the root of the repository:

    pip install torch keras numpy
    python tests/interop/make_origins.py

Every array is float32. For each network the file holds, under its name, ``weights/`` and ``gradients/`` (of the loss
Σ sin(ys + phases)) by the library's own keys, ``phases`` and ``ys`` (B, T, H), and of a layer of Keras ``config``, its
options as JSON; of an LSTM with ``proj_size`` also its final states ``h_n`` and ``c_n``, (layers·directions, B, ...);
and once ``xs`` (B, T, D) and ``versions``, that of each library.
"""

import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"  # before keras is imported: one library then finds all gradients

import keras
import numpy as np
import torch

B, T, D, H = 2, 6, 3, 4


class Model(torch.nn.Module):
    """A recurrent layer deep inside something bigger, without biases."""

    def __init__(self):
        super().__init__()
        gru = torch.nn.GRU(D, H, num_layers=2, bias=False, batch_first=True)
        self.encoder = torch.nn.ModuleDict({"gru": gru})
        self.head = torch.nn.Linear(H, 1)

    def forward(self, xs):
        return self.encoder["gru"](xs)


class Loop(torch.nn.Module):
    """A single-step cell, run over all steps."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, xs):
        state, outputs = None, []
        for x in xs.unbind(1):
            state = self.cell(x, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, 1), state


def torch_networks():
    shape = {"input_size": D, "hidden_size": H, "batch_first": True}
    yield "torch_rnn", torch.nn.RNN(**shape)
    yield "torch_rnn_relu", torch.nn.RNN(**shape, nonlinearity="relu")
    yield "torch_lstm", torch.nn.LSTM(**shape)
    yield "torch_gru", torch.nn.GRU(**shape)
    yield "torch_gru_bidirectional", torch.nn.GRU(**shape, bidirectional=True)
    yield "torch_lstm_deep_bidirectional", torch.nn.LSTM(**shape, num_layers=2, bidirectional=True)
    yield "torch_gru_in_a_model", Model()


def more_torch_networks():
    """Drawn last, so that the numbers of the networks before them do not change."""
    yield "torch_rnn_cell", Loop(torch.nn.RNNCell(D, H))
    yield "torch_lstm_cell", Loop(torch.nn.LSTMCell(D, H))
    yield "torch_gru_cell", Loop(torch.nn.GRUCell(D, H))
    layer = torch.nn.LSTM(D, H, batch_first=True, bidirectional=True)
    yield "torch_lstm_weight_norm", torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0_reverse")


def projected_torch_networks():
    shape = {"input_size": D, "hidden_size": H, "proj_size": 2, "batch_first": True}
    yield "torch_lstm_projected", torch.nn.LSTM(**shape)
    yield "torch_lstm_projected_without_bias", torch.nn.LSTM(**shape, bias=False)
    yield "torch_lstm_projected_deep_bidirectional", torch.nn.LSTM(**shape, num_layers=2, bidirectional=True)


def keras_networks():
    layers = keras.layers
    yield "keras_simple_rnn", layers.SimpleRNN(H, return_sequences=True)
    yield "keras_simple_rnn_relu", layers.SimpleRNN(H, return_sequences=True, activation="relu")
    yield "keras_lstm", layers.LSTM(H, return_sequences=True)
    yield "keras_gru", layers.GRU(H, return_sequences=True)
    yield "keras_gru_without_bias", layers.GRU(H, return_sequences=True, use_bias=False)
    yield "keras_lstm_bidirectional", layers.Bidirectional(layers.LSTM(H, return_sequences=True))


def record(name, parameters, run, xs, rng):
    """The arrays of one network, whose ``parameters`` (by key) are drawn anew: no bias is zero."""
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(torch.as_tensor(rng.normal(scale=0.5, size=tuple(parameter.shape)), dtype=torch.float32))
    ys = run(torch.as_tensor(xs))
    phases = rng.uniform(0, 2 * np.pi, size=tuple(ys.shape)).astype(np.float32)
    torch.sin(ys + torch.as_tensor(phases)).sum().backward()
    arrays = {f"{name}/phases": phases, f"{name}/ys": ys}
    for key, parameter in parameters.items():
        arrays[f"{name}/weights/{key}"] = parameter
        if parameter.grad is not None:  # the head of Model takes no part
            arrays[f"{name}/gradients/{key}"] = parameter.grad
    return {key: torch.as_tensor(value).detach().numpy() for key, value in arrays.items()}


def main():
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(B, T, D)).astype(np.float32)
    arrays = {"xs": xs, "versions": np.array([f"torch {torch.__version__}", f"keras {keras.__version__}"])}

    def add(networks):
        for name, network in networks:
            run = lambda xs, network=network: network(xs)[0]  # noqa: E731
            arrays.update(record(name, dict(network.named_parameters()), run, xs, rng))

    add(torch_networks())
    for name, layer in keras_networks():
        layer.build(xs.shape)
        parameters = {str(k): variable.value for k, variable in enumerate(layer.weights)}
        arrays |= record(name, parameters, layer, xs, rng)
        config = {"class_name": type(layer).__name__, "config": layer.get_config()}
        arrays[f"{name}/config"] = np.array(json.dumps(config, default=str))
        for k, weight in enumerate(layer.get_weights()):  # what a user hands over is what was recorded
            np.testing.assert_array_equal(weight, arrays[f"{name}/weights/{k}"])
    add(more_torch_networks())
    for name, network in projected_torch_networks():
        add([(name, network)])
        _, final = network(torch.as_tensor(xs))  # of the weights that were drawn
        arrays |= {f"{name}/{key}": a.detach().numpy() for key, a in zip(("h_n", "c_n"), final, strict=True)}
    path = Path(__file__).with_name("origins.npz")
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size} bytes, {', '.join(arrays['versions'])}")


if __name__ == "__main__":
    main()
