"""Scans that JAX differentiates, which skip the steps past the longest example of a batch."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.cells import Cell
from rnnjax.core.chunks import MOST_RAGGED_STEPS, equal_chunks
from rnnjax.core.scan import ScanInputs, map_steps, pad_steps, plain_scan
from rnnjax.typing import CellState, PyTree

# Entered while a training program is traced. Elsewhere a scan stays one scan over all steps, as diagnostics expect, and
# word vectors can be differentiated in any mode and to any order.
skipping_padding = jax.make_user_context(False)


def scan_valid_chunks(
    cell: Cell, params: PyTree, inputs: ScanInputs, state: CellState
) -> tuple[CellState, CellState, Any]:
    """``plain_scan`` in chunks of a few steps, of which those are skipped in which no step of any example is valid."""
    steps, span = inputs.xs.shape[0], inputs.span
    length = equal_chunks(steps, MOST_RAGGED_STEPS) if isinstance(steps, int) else steps
    if span is None or length == steps:
        return plain_scan(cell, params, inputs, state)
    chunks = map_steps(lambda a: a.reshape(-1, length, *a.shape[1:]), pad_steps(inputs, length))

    def run(state: CellState, steps_of_chunk: Any) -> tuple[CellState, Any]:
        xs, mask, taps, hold, noise, reset = steps_of_chunk
        final, states, ys = plain_scan(
            cell, params, ScanInputs(xs, mask, taps, hold, noise, reset, inputs.mask_h), state
        )
        return final, (states, ys)

    def skip(state: CellState, steps_of_chunk: Any) -> tuple[CellState, Any]:
        _, (states, ys) = jax.eval_shape(run, state, steps_of_chunk)
        held = jax.tree.map(lambda a, like: jnp.broadcast_to(a, like.shape), state, states)
        return state, (held, held.h if hasattr(held, "h") else jnp.zeros(ys.shape, ys.dtype))

    def chunk(state: CellState, inputs: tuple[jax.Array, Any]) -> tuple[CellState, Any]:
        first, steps_of_chunk = inputs
        has_valid_steps = (first < span.stop) & (first + length > span.first)
        return jax.lax.cond(has_valid_steps, run, skip, state, steps_of_chunk)

    firsts = jnp.arange(0, chunks.xs.shape[0] * length, length, dtype=jnp.int32)
    final, outputs = jax.lax.scan(chunk, state, (firsts, chunks.of_steps))
    states, ys = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:steps], outputs)
    return final, states, ys
