"""Cells as pure functions of arrays: SimpleRNN, LSTM, GRU and their family. They depend on jax only, not on Flax."""

from rnnjax.cells.base import Cell
from rnnjax.cells.dropout import DropoutMasks
from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.family.cornn import CoRNN, CoRNNParams, CoRNNState
from rnnjax.cells.family.layer_norm_lstm import LayerNormLSTM, LayerNormLSTMParams
from rnnjax.cells.family.lru import LRU, LRUParams, LRUState
from rnnjax.cells.family.projected_lstm import ProjectedLSTM, ProjectedLSTMParams, ProjectedLSTMState
from rnnjax.cells.family.slstm import SLSTM, SLSTMParams, SLSTMState
from rnnjax.cells.gru import GRU, GRUState
from rnnjax.cells.initializers import Glorot, Identity, Initializer, Orthogonal
from rnnjax.cells.lstm import LSTM, LSTMState
from rnnjax.cells.params import Params
from rnnjax.cells.simple import SimpleRNN, SimpleRNNState

__all__ = [
    "GRU", "LRU", "LSTM", "SLSTM", "Cell", "CoRNN", "CoRNNParams", "CoRNNState", "DropoutMasks", "ElementwiseCell",
    "GRUState", "Glorot", "Identity", "Initializer", "LRUParams", "LRUState", "LSTMState", "LayerNormLSTM",
    "LayerNormLSTMParams", "Orthogonal", "Params", "ProjectedLSTM", "ProjectedLSTMParams", "ProjectedLSTMState",
    "SLSTMParams", "SLSTMState", "SimpleRNN", "SimpleRNNState",
]  # fmt: skip
