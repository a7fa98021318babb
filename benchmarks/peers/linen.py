"""flax.linen.RNN with the cells of Flax."""

from typing import Any

import flax.linen as nn
import jax

from benchmarks.cases import Case, blocks, weights
from benchmarks.peers import Layer
from benchmarks.peers.jax_layer import jax_layer

CELLS = {"simple": nn.SimpleCell, "lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}


def _params(case: Case) -> dict[str, Any]:
    arrays = weights(case)
    w_x, w_h, b = (blocks(case, packed) for packed in arrays[:3])
    if case.cell == "simple":
        return {"i": {"kernel": w_x[0], "bias": b[0]}, "h": {"kernel": w_h[0]}}
    if case.cell == "lstm":  # its bias belongs to the recurrent kernel
        inner = {f"i{gate}": {"kernel": w_x[k]} for k, gate in enumerate("ifgo")}
        return inner | {f"h{gate}": {"kernel": w_h[k], "bias": b[k]} for k, gate in enumerate("ifgo")}
    inner = {f"i{gate}": {"kernel": w_x[k], "bias": b[k]} for k, gate in enumerate("rzn")}
    recurrent: dict[str, Any] = {f"h{gate}": {"kernel": w_h[k]} for k, gate in enumerate("rzn")}
    recurrent["hn"]["bias"] = arrays.b_h
    return inner | recurrent


def build(case: Case) -> Layer:
    """``nn.RNN``."""
    module = nn.RNN(CELLS[case.cell](case.features))

    def last_output(variables: Any, xs: jax.Array) -> jax.Array:
        return module.apply(variables, xs)[:, -1]

    return jax_layer(case, last_output, {"params": {"cell": _params(case)}})
