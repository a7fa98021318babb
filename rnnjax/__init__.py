"""rnnjax: recurrent networks in JAX whose gradients can be seen."""

from rnnjax.cells import GRU, LSTM, Cell, Glorot, Identity, Orthogonal, SimpleRNN
from rnnjax.modules import RNN, Bidirectional, SequenceClassifier, Stack
from rnnjax.recurrence import unroll

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "Cell",
    "Glorot",
    "Identity",
    "Orthogonal",
    "SequenceClassifier",
    "SimpleRNN",
    "Stack",
    "unroll",
]
