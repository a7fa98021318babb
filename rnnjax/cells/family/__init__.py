"""Cells beside SimpleRNN, LSTM and GRU, to compare them with."""

from rnnjax.cells.family.ctrnn import CTRNN, CTRNNState
from rnnjax.cells.family.indrnn import IndRNN, IndRNNState, RecurrentWeights
from rnnjax.cells.family.janet import JANET, JANETState
from rnnjax.cells.family.minimal import MinGRU, MinGRUState, MinLSTM, MinLSTMState
from rnnjax.cells.family.peephole_lstm import PeepholeLSTM, Peepholes

__all__ = [
    "CTRNN", "JANET", "CTRNNState", "IndRNN", "IndRNNState", "JANETState", "MinGRU", "MinGRUState",
    "MinLSTM", "MinLSTMState", "PeepholeLSTM", "Peepholes", "RecurrentWeights",
]  # fmt: skip
