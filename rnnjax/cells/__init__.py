"""Cells as pure functions of arrays: SimpleRNN, LSTM, GRU. They depend on jax only, not on Flax."""

from rnnjax.cells.base import Cell
from rnnjax.cells.dropout import DropoutMasks
from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.gru import GRU, GRUState
from rnnjax.cells.initializers import Glorot, Identity, Initializer, Orthogonal
from rnnjax.cells.lstm import LSTM, LSTMState
from rnnjax.cells.params import Params
from rnnjax.cells.simple import SimpleRNN, SimpleRNNState

__all__ = [
    "GRU", "LSTM", "Cell", "DropoutMasks", "ElementwiseCell", "GRUState", "Glorot", "Identity", "Initializer",
    "LSTMState", "Orthogonal", "Params", "SimpleRNN", "SimpleRNNState",
]  # fmt: skip
