"""The compared libraries by name: the module that builds their layer, environment variables and available cells."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cases import Case, CellName

ALL: tuple[CellName, ...] = ("simple", "lstm", "gru")


class Layer(NamedTuple):
    """A compiled layer of one library; every call returns when its result is computed.

    The loss is the sum of the squares of the last output h_T.
    """

    forward: Callable[[], Any]
    gradient: Callable[[], Any]  # of all parameters and the inputs
    check: Callable[[], tuple[np.ndarray, np.ndarray]]  # h_T (B, H), and the gradient of the inputs (B, T, H)


class Peer(NamedTuple):
    """A library that trains recurrent layers."""

    module: str
    cells: tuple[CellName, ...] = ALL
    environment: Mapping[str, str] = {}

    def build(self, case: Case) -> Layer:
        """The layer of ``case``."""
        layer: Layer = importlib.import_module(f"benchmarks.peers.{self.module}").build(case)
        return layer


PEERS = {
    "rnnjax": Peer("ours"),
    "rnnjax, all cores": Peer("ours_divided"),
    "rnnjax, taps": Peer("ours_tapped"),
    "flax.linen": Peer("linen"),
    "Keras, JAX": Peer("keras", environment={"KERAS_BACKEND": "jax"}),
    "Keras, TensorFlow": Peer("keras", environment={"KERAS_BACKEND": "tensorflow"}),
    "PyTorch": Peer("torch"),
    "Equinox": Peer("equinox", cells=("lstm", "gru")),
    "Haiku": Peer("haiku", cells=("lstm",)),  # its GRU resets before the product, its RNN uses relu
}
