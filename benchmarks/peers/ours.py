"""rnnjax itself."""

from typing import Any

import jax
import numpy as np

import rnnjax
from benchmarks.cases import Case, weights
from benchmarks.peers import Layer
from benchmarks.peers.jax_layer import jax_layer
from rnnjax.cells import Cell

CELLS = {"simple": rnnjax.SimpleRNN, "lstm": rnnjax.LSTM, "gru": rnnjax.GRU}


def build_module(case: Case) -> tuple[rnnjax.RNN, Any]:
    """The module and its variables."""
    arrays = weights(case)
    cell: Cell = CELLS[case.cell](case.features)
    params = {"w_x": arrays.w_x, "w_h": arrays.w_h, "b": arrays.b}
    if case.cell == "gru":
        params["b_h"] = np.concatenate([np.zeros(2 * case.features, np.float32), arrays.b_h])
    return rnnjax.RNN(cell), {"params": {"cell": params}}


def build(case: Case) -> Layer:
    """``rnnjax.RNN``."""
    module, variables = build_module(case)

    def last_output(variables: Any, xs: jax.Array) -> jax.Array:
        final, _ = module.apply(variables, xs)
        return final.h

    return jax_layer(case, last_output, variables)
