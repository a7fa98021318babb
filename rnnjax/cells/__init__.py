"""Cells as pure functions of arrays: SimpleRNN, LSTM, GRU. They depend on jax only, not on Flax."""

from rnnjax.cells.base import Cell, DropoutMasks, Params
from rnnjax.cells.gru import GRU, GRUState
from rnnjax.cells.initializers import Glorot, Identity, Initializer, Orthogonal
from rnnjax.cells.lstm import LSTM, LSTMState
from rnnjax.cells.simple import SimpleRNN, SimpleRNNState

__all__ = [
    "GRU", "LSTM", "Cell", "DropoutMasks", "GRUState", "Glorot", "Identity", "Initializer", "LSTMState",
    "Orthogonal", "Params", "SimpleRNN", "SimpleRNNState",
]  # fmt: skip
