"""PyTorch's layers, with subnormal numbers (vanishing gradients) flushed to zero, as in XLA."""

from typing import Any

import numpy as np
import torch

from benchmarks.cases import Case, inputs, weights
from benchmarks.peers import Layer

CELLS = {"simple": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


def build(case: Case) -> Layer:
    """``torch.nn.RNN``, ``LSTM`` or ``GRU``, batch first."""
    torch.set_flush_denormal(True)
    layer: Any = CELLS[case.cell](case.features, case.features, batch_first=True)
    arrays = weights(case)
    b_h = np.zeros_like(arrays.b)
    b_h[-case.features :] = arrays.b_h
    state_dict = {"weight_ih_l0": arrays.w_x.T, "weight_hh_l0": arrays.w_h.T, "bias_ih_l0": arrays.b, "bias_hh_l0": b_h}
    layer.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state_dict.items()})
    xs = torch.from_numpy(inputs(case)).requires_grad_()

    def forward() -> Any:
        with torch.no_grad():
            return layer(xs)[0][:, -1]

    def gradient() -> Any:
        layer.zero_grad(set_to_none=True)
        xs.grad = None
        (layer(xs)[0][:, -1] ** 2).sum().backward()
        return xs.grad

    return Layer(forward, gradient, lambda: (forward().numpy(), gradient().numpy()))
