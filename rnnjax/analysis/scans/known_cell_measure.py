"""Measurements of a scan of a cell of Flax, as those of a layer of rnnjax with the same equations."""

import jax
import jax.numpy as jnp

from rnnjax.analysis.capture import LayerCall
from rnnjax.analysis.measure import LayerMeasurements, measure_layer
from rnnjax.analysis.scans.counted_steps import counted_first, last_step, steps_reached
from rnnjax.diagnostics.gradient_paths import paths
from rnnjax.diagnostics.linearization import cut_at, linearise_steps
from rnnjax.scans.calls import Arrays, ScanCall
from rnnjax.scans.carries import batch_axis
from rnnjax.scans.known_cells import AtSteps, KnownCell
from rnnjax.typing import CellState


def measure_known_cell(
    call: ScanCall,
    known: KnownCell,
    read: AtSteps,
    direct: Arrays,
    total: Arrays,
    *,
    batch: int | None,
    valid: jax.Array | None,
) -> LayerMeasurements:
    """Measure a scan whose cell is known.

    The gradient is followed through all steps up to the last one that counts. What is measured is of the steps that
    count alone, as if the others were not there.

    Args:
        call: the scan, of R runs.
        known: its cell.
        read: what the cell reads and makes, each (R, T, ..., F).
        direct: the direct gradient of each array of the cell's carry, from ``gradient_paths``; (R, T, ..., H).
        total: its total gradient.
        batch: number of examples of a run; None where they cannot be told apart.
        valid: (T, N) bool, the steps of the examples of all runs that count, in the order of the scan's steps; None for
            all up to the last one to which a gradient comes.

    Returns:
        ``LayerMeasurements``; examples are the rows of all runs.
    """
    cell, params = known.cell(call.run())

    def rows(a: jax.Array) -> jax.Array:  # (T, N, F)
        return jnp.moveaxis(a, 0, 1).reshape(a.shape[1], -1, a.shape[-1])

    def state(arrays: Arrays) -> CellState:  # the carry of Flax's cells has the memory first
        return cell.State(*(rows(a).astype(cell.state_dtype) for a in reversed(arrays)))

    xs, before, after = rows(read.xs), state(read.before), state(read.after)
    resets = None if read.reset is None else rows(read.reset[..., None])[..., 0]
    counted = steps_reached([rows(a) for a in total]) if valid is None else _of_rows(valid, read.after[0].shape, batch)
    t, last = jnp.arange(len(xs), dtype=jnp.int32)[:, None], last_step(counted)[None]
    own = linearise_steps(cell, params, xs, before, after, t <= last)
    steps = own if resets is None else cut_at(own, resets)

    def of_loss(direct: jax.Array, total: jax.Array) -> jax.Array:
        """What later steps, which do not count, send back to the last one that does is as if the loss read it there."""
        return jnp.where((t < last)[..., None], direct, jnp.where((t == last)[..., None], total, 0))

    ct = jax.tree.map(of_loss, state(direct), state(total))
    if cell.has_separate_memory:  # what reads the memory alone, and not the output made of it
        ct = ct._replace(**{ct._fields[-1]: ct[-1] - own.r * ct[0]})
    parts = paths(cell, params, steps, ct)
    ct = jax.tree.map(lambda a: jnp.where(counted[..., None], a, 0), ct)
    lengths = counted.sum(axis=0, dtype=jnp.int32)
    xs, before, resets, own, steps, parts, ct = counted_first((xs, before, resets, own, steps, parts, ct), counted)
    own, steps = (a._replace(valid=t < lengths[None]) for a in (own, steps))
    first = jax.tree.map(lambda a: a[0], before)
    layer = LayerCall(call.site.name, cell, call.site.reverse, True, params, xs, lengths, resets, first)
    return measure_layer(layer, own, steps, parts, ct)


def _of_rows(valid: jax.Array, shape: tuple[int, ...], batch: int | None) -> jax.Array:
    """Steps that count, of all examples (T, N), as those of the rows of a state of this shape, (R, T, *batch, H).

    A row that belongs to no example has the steps of any.
    """
    R, T, *axes, _ = shape
    of_run = valid.reshape(T, R, -1)
    axis = batch_axis(tuple(axes), batch)
    if axis is None:
        of_run = of_run.any(axis=-1)
    of_run = of_run.reshape(T, R, *(-1 if i == axis else 1 for i in range(len(axes))))
    return jnp.broadcast_to(of_run, (T, R, *axes)).reshape(T, -1)
