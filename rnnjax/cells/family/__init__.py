"""Cells beside SimpleRNN, LSTM and GRU, to compare them with."""

from rnnjax.cells.family.cornn import CoRNN, CoRNNParams, CoRNNState
from rnnjax.cells.family.ctrnn import CTRNN, CTRNNState
from rnnjax.cells.family.indrnn import IndRNN, IndRNNState, RecurrentWeights
from rnnjax.cells.family.janet import JANET, JANETState
from rnnjax.cells.family.layer_norm_lstm import LayerNormLSTM, LayerNormLSTMParams
from rnnjax.cells.family.lru import LRU, LRUParams, LRUState
from rnnjax.cells.family.minimal import MinGRU, MinGRUState, MinLSTM, MinLSTMState
from rnnjax.cells.family.peephole_lstm import PeepholeLSTM, Peepholes
from rnnjax.cells.family.projected_lstm import ProjectedLSTM, ProjectedLSTMParams, ProjectedLSTMState
from rnnjax.cells.family.slstm import SLSTM, SLSTMParams, SLSTMState

__all__ = [
    "CTRNN",
    "JANET",
    "LRU",
    "SLSTM",
    "CTRNNState",
    "CoRNN",
    "CoRNNParams",
    "CoRNNState",
    "IndRNN",
    "IndRNNState",
    "JANETState",
    "LRUParams",
    "LRUState",
    "LayerNormLSTM",
    "LayerNormLSTMParams",
    "MinGRU",
    "MinGRUState",
    "MinLSTM",
    "MinLSTMState",
    "PeepholeLSTM",
    "Peepholes",
    "ProjectedLSTM",
    "ProjectedLSTMParams",
    "ProjectedLSTMState",
    "RecurrentWeights",
    "SLSTMParams",
    "SLSTMState",
]  # fmt: skip
