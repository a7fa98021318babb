"""Haiku's LSTM under its dynamic_unroll."""

from typing import Any

import haiku as hk
import jax
import numpy as np

from benchmarks.cases import Case, blocks, weights
from benchmarks.peers import Layer
from benchmarks.peers.jax_layer import jax_layer


def build(case: Case) -> Layer:
    """``hk.LSTM``, whose gates are packed as i, g, f, o and whose forget gate adds 1 to its bias."""
    arrays = weights(case)
    stacked = np.concatenate([arrays.w_x, arrays.w_h])
    i, f, g, o = blocks(case, stacked)
    b_i, b_f, b_g, b_o = blocks(case, arrays.b)
    linear = {"w": np.concatenate([i, g, f, o], axis=1), "b": np.concatenate([b_i, b_g, b_f - 1, b_o])}

    def unrolled(xs: jax.Array) -> jax.Array:
        core = hk.LSTM(case.features)
        ys, _ = hk.dynamic_unroll(core, xs, core.initial_state(case.batch), time_major=False)
        return ys[:, -1]

    apply = hk.without_apply_rng(hk.transform(unrolled)).apply

    def last_output(params: Any, xs: jax.Array) -> jax.Array:
        return apply(params, xs)

    return jax_layer(case, last_output, {"lstm/linear": linear})
