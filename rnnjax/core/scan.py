"""The definition of a recurrence: ``cell.step`` under ``lax.scan``, and what every way to scan has in common.

Scans take time-major arrays and return ``lax.scan``'s order, the carry first:

    scan(cell, params, inputs, state) -> (final, states)

Shapes: T steps, N examples, D inputs, H features of the cell.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells import Cell, DropoutMasks, Params
from rnnjax.core.taps import zeros_for_norm_taps
from rnnjax.typing import CellState, PyTree, Taps


class ScanInputs(NamedTuple):
    """What a scan reads at each step, and one dropout mask for all of them; None for what is not used."""

    xs: jax.Array  # (T, N, D)
    mask: jax.Array | None = None  # (T, N, 1) bool: a step where it is false keeps the state, its tap is not added
    taps: Taps = None  # cell.State of (T, N, H), or of NormTap (T, N, 1)
    hold: jax.Array | None = None  # (T, N, H) bool: the units that zoneout leaves as they were
    mask_h: jax.Array | None = None  # (N, H): dropout of h_{t-1} before W_h, the same at every step


def plain_scan(cell: Cell, params: Params, inputs: ScanInputs, state: CellState) -> tuple[CellState, CellState]:
    """The definition: JAX differentiates it in any mode and to any order."""

    def body(state: CellState, inputs_t: Any) -> tuple[CellState, CellState]:
        x_t, mask_t, tap_t, hold_t = inputs_t
        tap_t = zeros_for_norm_taps(tap_t, cell.features)
        new, _ = cell.step(params, state, x_t, dropout=DropoutMasks(None, inputs.mask_h, hold_t), tap=tap_t)
        new = keep_past_end(mask_t, new, state)
        return new, new

    return jax.lax.scan(body, state, inputs[:4])


def keep_past_end(mask: jax.Array | None, new: PyTree, old: PyTree) -> PyTree:
    """``new`` where the mask is true, ``old`` at steps past an example's end."""
    return new if mask is None else jax.tree.map(lambda a, b: jnp.where(mask, a, b), new, old)


def map_steps(function: Callable[[jax.Array], jax.Array], inputs: ScanInputs) -> ScanInputs:
    """``inputs`` with a function applied to every array that has a row for each step."""
    xs, mask, taps, hold = jax.tree.map(function, inputs[:4])
    return ScanInputs(xs, mask, taps, hold, inputs.mask_h)


def pad_steps(inputs: ScanInputs, multiple: int) -> ScanInputs:
    """``inputs`` with steps appended until T is a multiple of ``multiple``; the mask, if any, is false there."""
    steps = inputs.xs.shape[0]
    missing = 0 if steps == multiple else -steps % multiple
    if missing == 0:
        return inputs
    return map_steps(lambda a: jnp.pad(a, [(0, missing), (0, 0), (0, 0)]), inputs)


def mask_padding(inputs: ScanInputs, steps: int) -> ScanInputs:
    """``inputs`` with a mask that is false at the steps from ``steps`` on, which ``pad_steps`` has appended."""
    rows = inputs.xs.shape[0]
    if inputs.mask is not None or rows == steps:
        return inputs
    mask = jnp.broadcast_to((jnp.arange(rows) < steps)[:, None, None], inputs.xs[..., :1].shape)
    return inputs._replace(mask=mask)
