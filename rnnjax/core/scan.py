"""The definition of a recurrence: ``cell.step`` under ``lax.scan``, and what every way to scan has in common.

Scans take time-major arrays and return ``lax.scan``'s order, the carry first:

    scan(cell, params, inputs, state) -> (final, states, ys)

Shapes: T steps, N examples, D inputs, H units of the cell; arrays of a state are (N, *), (N, H) in elementwise cells.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells import Cell, DropoutMasks, ElementwiseCell
from rnnjax.core.tapped_step import step_with_taps
from rnnjax.core.taps import zeros_for_norm_taps
from rnnjax.core.valid_span import Span
from rnnjax.typing import CellState, PyTree, Taps


class ScanInputs(NamedTuple):
    """What a scan reads at each step, and one dropout mask for all of them; None for what is not used."""

    xs: Any  # (T, N, D); in a fused scan that is not differentiated also the places (T, N, 1) of a OneHot
    mask: jax.Array | None = None  # (T, N, 1) bool: a step where it is false keeps the state, its tap is not added
    taps: Taps = None  # like the stacked states, or of NormTap (T, N, 1)
    hold: jax.Array | None = None  # (T, N, H) bool: the units that zoneout leaves as they were
    noise: PyTree = None  # (T, N, *) what the cell drew
    reset: jax.Array | None = None  # (T, N, 1) bool: a step that starts from the initial state
    mask_h: jax.Array | None = None  # (N, H): dropout of h_{t-1} before W_h, the same at every step
    span: Span | None = None  # where there is a mask

    @property
    def of_steps(self) -> tuple[Any, Any, Any, Any, Any, Any]:
        """The arrays that have a row for each step."""
        return self.xs, self.mask, self.taps, self.hold, self.noise, self.reset


def plain_scan(cell: Cell, params: PyTree, inputs: ScanInputs, state: CellState) -> tuple[CellState, CellState, Any]:
    """The definition: JAX differentiates it in any mode and to any order."""
    initial = None if inputs.reset is None else initial_like(cell, state)

    def body(state: CellState, inputs_t: Any) -> tuple[CellState, Any]:
        x_t, mask_t, tap_t, hold_t, noise_t, reset_t = inputs_t
        before = where(reset_t, initial, state)
        tap_t = zeros_for_norm_taps(tap_t, state)
        if isinstance(cell, ElementwiseCell):
            dropout = DropoutMasks(None, inputs.mask_h, hold_t, noise_t)
            new, y = cell.step(params, before, x_t, dropout=dropout, tap=tap_t)
            new = keep_past_end(mask_t, new, state)
        else:
            hold = None if mask_t is None else partial(_hold, mask_t, jax.tree.leaves(state))
            new, y = step_with_taps(cell, params, before, x_t, noise_t, tap_t, hold)
        return new, (new, new.h if hasattr(new, "h") else keep_past_end(mask_t, y, jnp.zeros_like(y)))

    inputs = inputs._replace(xs=keep_valid(inputs.mask, inputs.xs))
    final, (states, ys) = jax.lax.scan(body, state, inputs.of_steps)
    return final, states, ys


def _hold(mask: jax.Array, old: list[jax.Array], i: int, new: jax.Array) -> tuple[jax.Array, jax.Array]:
    """An array of the new state, held past an example's end; and the same, but there as the step made it.

    The rest of the step reads the second one: of an old state that no step can make, it might make NaN.
    """
    held = where(mask, new, old[i])
    return held, where(mask, held, new)


def initial_like(cell: Cell, state: CellState) -> CellState:
    """The cell's initial state of as many examples as ``state`` has, divided over devices as that is."""

    def like(a: jax.Array, one: jax.Array) -> jax.Array:
        if jnp.issubdtype(a.dtype, jax.dtypes.extended):  # keys of jax.random, which cannot be added
            return jnp.broadcast_to(one, a.shape)
        return jnp.zeros_like(a) + jnp.expand_dims(one.astype(a.dtype), range(a.ndim - one.ndim))

    return jax.tree.map(like, state, cell.initial_state())


def keep_past_end(mask: jax.Array | None, new: PyTree, old: PyTree) -> PyTree:
    """``new`` where the mask is true, ``old`` at steps past an example's end."""
    return new if mask is None else where(mask, new, old)


def keep_valid(mask: jax.Array | None, xs: jax.Array) -> jax.Array:
    """``xs``, zeros at steps past an example's end, or NaN there would reach the weights as 0·NaN."""
    return xs if mask is None else jnp.where(mask, xs, 0)


def where(condition: jax.Array | None, chosen: PyTree, other: PyTree) -> PyTree:
    """``chosen`` where ``condition`` (..., N, 1) is true, else ``other``; arrays (..., N, *). None stands for false."""
    if condition is None:
        return other

    def choose(a: jax.Array, b: jax.Array) -> jax.Array:
        mask = condition.reshape(*condition.shape[:-1], *(1,) * (b.ndim - condition.ndim + 1))
        return jnp.where(mask, a, b)

    return jax.tree.map(choose, chosen, other)


def map_steps(function: Callable[[jax.Array], jax.Array], inputs: ScanInputs) -> ScanInputs:
    """``inputs`` with a function applied to every array that has a row for each step."""
    xs, mask, taps, hold, noise, reset = jax.tree.map(function, inputs.of_steps)
    return ScanInputs(xs, mask, taps, hold, noise, reset, inputs.mask_h, inputs.span)


def pad_steps(inputs: ScanInputs, multiple: int) -> ScanInputs:
    """``inputs`` with steps appended until T is a multiple of ``multiple``; the mask, if any, is false there."""
    steps = inputs.xs.shape[0]
    missing = 0 if steps == multiple else -steps % multiple
    if missing == 0:
        return inputs
    return map_steps(lambda a: jnp.pad(a, [(0, missing), *[(0, 0)] * (a.ndim - 1)]), inputs)


def mask_padding(inputs: ScanInputs, steps: int) -> ScanInputs:
    """``inputs`` with a mask that is false at the steps from ``steps`` on, which ``pad_steps`` has appended."""
    rows = inputs.xs.shape[0]
    if inputs.mask is not None or rows == steps:
        return inputs
    mask = jnp.broadcast_to((jnp.arange(rows, dtype=jnp.int32) < steps)[:, None, None], inputs.xs[..., :1].shape)
    return inputs._replace(mask=mask)
