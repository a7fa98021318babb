"""Equinox's cells under lax.scan, as in its documentation."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from benchmarks.cases import Case, weights
from benchmarks.peers import Layer
from benchmarks.peers.jax_layer import jax_layer


def build(case: Case) -> Layer:
    """``eqx.nn.LSTMCell`` or ``GRUCell``, over the examples by ``vmap``."""
    arrays, cell_type = weights(case), {"lstm": eqx.nn.LSTMCell, "gru": eqx.nn.GRUCell}[case.cell]
    cell: Any = cell_type(case.features, case.features, key=jax.random.key(0))
    cell = eqx.tree_at(
        lambda c: (c.weight_ih, c.weight_hh, c.bias),
        cell,
        (jnp.asarray(arrays.w_x.T), jnp.asarray(arrays.w_h.T), jnp.asarray(arrays.b)),
    )
    if case.cell == "gru":
        cell = eqx.tree_at(lambda c: c.bias_n, cell, jnp.asarray(arrays.b_h))
    params, rest = eqx.partition(cell, eqx.is_inexact_array)

    def last_output(params: Any, xs: jax.Array) -> jax.Array:
        cell = eqx.combine(params, rest)
        zeros = jnp.zeros(case.features)
        first = (zeros, zeros) if case.cell == "lstm" else zeros

        def last_of_sequence(xs: jax.Array) -> jax.Array:
            final, _ = jax.lax.scan(lambda state, x: (cell(x, state), None), first, xs)
            return final[0] if case.cell == "lstm" else final

        return jax.vmap(last_of_sequence)(xs)

    return jax_layer(case, last_output, params)
