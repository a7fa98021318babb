"""rnnjax: recurrent networks in JAX whose gradients can be seen."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnjax import diagnostics
    from rnnjax.cells import (
        CTRNN,
        GRU,
        JANET,
        LRU,
        LSTM,
        SLSTM,
        Cell,
        CoRNN,
        ElementwiseCell,
        Glorot,
        Identity,
        IndRNN,
        LayerNormLSTM,
        MinGRU,
        MinLSTM,
        Normal,
        Orthogonal,
        Params,
        PeepholeLSTM,
        ProjectedLSTM,
        SimpleRNN,
        Sparse,
    )
    from rnnjax.core.unroll import unroll
    from rnnjax.diagnosis import diagnose
    from rnnjax.interop import LinenCell, from_keras, from_linen, from_torch
    from rnnjax.interop.nnx import NnxRNN as NnxRNN  # not in __all__: not every flax has an nnx that fits its jax
    from rnnjax.nn.classifier import SequenceClassifier
    from rnnjax.nn.recurrent import RNN, Bidirectional, Stack
    from rnnjax.prediction import load
    from rnnjax.scan_gradients import gradient_flow
    from rnnjax.scans.observation import observe
    from rnnjax.training_log import TrainingLog

__version__ = "0.1.0"

__all__ = [
    "CTRNN",
    "GRU",
    "JANET",
    "LRU",
    "LSTM",
    "RNN",
    "SLSTM",
    "Bidirectional",
    "Cell",
    "CoRNN",
    "ElementwiseCell",
    "Glorot",
    "Identity",
    "IndRNN",
    "LayerNormLSTM",
    "LinenCell",
    "MinGRU",
    "MinLSTM",
    "Normal",
    "Orthogonal",
    "Params",
    "PeepholeLSTM",
    "ProjectedLSTM",
    "SequenceClassifier",
    "SimpleRNN",
    "Sparse",
    "Stack",
    "TrainingLog",
    "diagnose",
    "diagnostics",
    "from_keras",
    "from_linen",
    "from_torch",
    "gradient_flow",
    "load",
    "observe",
    "unroll",
]

_HOME = {
    **dict.fromkeys(
        (
            "CTRNN",
            "GRU",
            "JANET",
            "LRU",
            "LSTM",
            "SLSTM",
            "Cell",
            "CoRNN",
            "ElementwiseCell",
            "Glorot",
            "Identity",
            "IndRNN",
            "LayerNormLSTM",
            "MinGRU",
            "MinLSTM",
            "Normal",
            "Orthogonal",
            "Params",
            "PeepholeLSTM",
            "ProjectedLSTM",
            "SimpleRNN",
            "Sparse",
        ),
        "rnnjax.cells",
    ),
    **dict.fromkeys(("RNN", "Bidirectional", "Stack"), "rnnjax.nn.recurrent"),
    **dict.fromkeys(("LinenCell", "from_keras", "from_linen", "from_torch"), "rnnjax.interop"),
    "NnxRNN": "rnnjax.interop.nnx",
    "SequenceClassifier": "rnnjax.nn.classifier",
    "TrainingLog": "rnnjax.training_log",
    "diagnose": "rnnjax.diagnosis",
    "gradient_flow": "rnnjax.scan_gradients",
    "load": "rnnjax.prediction",
    "observe": "rnnjax.scans.observation",
    "unroll": "rnnjax.core.unroll",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that ``launch.py --help`` need not wait for jax."""
    if name == "diagnostics":
        return importlib.import_module("rnnjax.diagnostics")
    if name not in _HOME:
        raise AttributeError(f"module 'rnnjax' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """All public names, imported or not."""
    return sorted({*globals(), *__all__, *_HOME})
