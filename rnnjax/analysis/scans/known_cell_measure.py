"""Measurements of a scan of a cell of Flax, as those of a layer of rnnjax with the same equations."""

import jax
import jax.numpy as jnp

from rnnjax.analysis.capture import LayerCall
from rnnjax.analysis.measure import LayerMeasurements, measure_layer
from rnnjax.diagnostics.gradient_paths import paths
from rnnjax.diagnostics.linearization import cut_at, linearise_steps
from rnnjax.scans.calls import Arrays, ScanCall
from rnnjax.scans.known_cells import AtSteps, KnownCell
from rnnjax.typing import CellState


def measure_known_cell(
    call: ScanCall, known: KnownCell, read: AtSteps, direct: Arrays, total: Arrays
) -> LayerMeasurements:
    """Measure a scan whose cell is known.

    Args:
        call: the scan, of R runs.
        known: its cell.
        read: what the cell reads and makes, each (R, T, ..., F).
        direct: the direct gradient of each array of the cell's carry, from ``gradient_paths``; (R, T, ..., H).
        total: its total gradient.

    Returns:
        ``LayerMeasurements``; examples are the rows of all runs, their steps those up to the last to which a gradient
        comes.
    """
    cell, params = known.cell(call.run())

    def rows(a: jax.Array) -> jax.Array:  # (T, N, F)
        return jnp.moveaxis(a, 0, 1).reshape(a.shape[1], -1, a.shape[-1])

    def state(arrays: Arrays) -> CellState:  # the carry of Flax's cells has the memory first
        return cell.State(*(rows(a).astype(cell.state_dtype) for a in reversed(arrays)))

    xs, before, after = rows(read.xs), state(read.before), state(read.after)
    resets = None if read.reset is None else rows(read.reset[..., None])[..., 0]
    reached = jnp.stack([(rows(a) != 0).any(axis=-1) for a in total]).any(axis=0)
    t = jnp.arange(len(xs), dtype=jnp.int32)[:, None]
    lengths = jnp.max(jnp.where(reached, t + 1, 0), axis=0).astype(jnp.int32)
    own = linearise_steps(cell, params, xs, before, after, t < lengths[None])
    steps = own if resets is None else cut_at(own, resets)
    ct = state(direct)
    if cell.has_separate_memory:  # what reads the memory alone, and not the output made of it
        ct = ct._replace(**{ct._fields[-1]: ct[-1] - own.r * ct[0]})
    first = jax.tree.map(lambda a: a[0], before)
    layer = LayerCall(call.site.name, cell, call.site.reverse, True, params, xs, lengths, resets, first)
    return measure_layer(layer, own, steps, paths(cell, params, steps, ct), ct)
