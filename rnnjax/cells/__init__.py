"""Cells as pure functions of arrays: SimpleRNN, LSTM, GRU and others. They depend on jax only, not on Flax."""

from rnnjax.cells.base import Cell
from rnnjax.cells.dropout import DropoutMasks
from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.family import (
    CTRNN,
    JANET,
    CTRNNState,
    IndRNN,
    IndRNNState,
    JANETState,
    MinGRU,
    MinGRUState,
    MinLSTM,
    MinLSTMState,
    PeepholeLSTM,
    Peepholes,
    RecurrentWeights,
)
from rnnjax.cells.gru import GRU, GRUState
from rnnjax.cells.initializers import Glorot, Identity, Initializer, Orthogonal
from rnnjax.cells.lstm import LSTM, LSTMState
from rnnjax.cells.params import Params
from rnnjax.cells.simple import SimpleRNN, SimpleRNNState

__all__ = [
    "CTRNN", "GRU", "JANET", "LSTM", "CTRNNState", "Cell", "DropoutMasks", "ElementwiseCell", "GRUState", "Glorot",
    "Identity", "IndRNN", "IndRNNState", "Initializer", "JANETState", "LSTMState", "MinGRU", "MinGRUState", "MinLSTM",
    "MinLSTMState", "Orthogonal", "Params", "PeepholeLSTM", "Peepholes", "RecurrentWeights", "SimpleRNN",
    "SimpleRNNState",
]  # fmt: skip
