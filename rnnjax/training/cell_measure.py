"""Measurements of the layers of cells that are not elementwise: those of their scans, by layer and state."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.capture import Loss
from rnnjax.analysis.diagnosis import LayerDiagnosis
from rnnjax.analysis.layer_diagnosis import scan_layer_diagnosis, state_rank
from rnnjax.analysis.scans.scan_measure import ScanMeasurements, measure_scan
from rnnjax.cells import Cell, ElementwiseCell
from rnnjax.core.unroll import reset_before
from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.nn.layers import recurrent_layers
from rnnjax.scans.calls import backpropagate
from rnnjax.scans.observation import trace
from rnnjax.scans.sites import find_sites
from rnnjax.training.step.state import Batch
from rnnjax.typing import ModelParams, PyTree


@flax.struct.dataclass
class CellMeasurements:
    """Measurements of one recurrent layer and direction."""

    name: str = flax.struct.field(pytree_node=False)  # path of the module, with slashes
    cell: Cell = flax.struct.field(pytree_node=False)
    reverse: bool = flax.struct.field(pytree_node=False)
    scan: ScanMeasurements


def measure_cells(
    model: nn.Module,
    loss: Loss,
    params: PyTree,
    batch: PyTree,
    lengths: jax.Array,
    resets: jax.Array | None = None,
) -> tuple[jax.Array, tuple[CellMeasurements, ...]]:
    """Measure every layer of a cell that is not elementwise; the caller compiles it.

    Args:
        model: of ``loss``; its recurrent part is of ``rnnjax.nn``.
        loss: (params, batch) -> the loss of each example (B,), through ``model``.
        params: its first argument.
        batch: its second argument.
        lengths: (B,) valid steps of each example.
        resets: (T, B) bool, the first steps of episodes inside the sequences; a gradient should not cross one.

    Returns:
        Losses (B,), and the measurements in the order in which the layers are called.
    """
    program, _ = trace(loss, params, batch)
    named = [layer for layer in recurrent_layers(model) if not isinstance(layer.layer.cell, ElementwiseCell)]
    # the scans of the layers themselves, and no scan inside of a step
    sites = [site for site in find_sites(program) if site.layer is None and site.hidden is None and not site.outer]
    losses, calls = backpropagate(program, sites, jax.tree.leaves((params, batch)))
    layers = []
    for (name, layer), call in zip(named, calls, strict=True):
        valid = jnp.arange(call.site.length, dtype=jnp.int32)[:, None] < lengths[None]
        begins = None if resets is None else reset_before(resets, valid, layer.reverse)
        if layer.reverse:  # the layer turns its inputs round, padding included
            valid, begins = jax.tree.map(lambda a: a[::-1], (valid, begins))
        scan = measure_scan(call, len(lengths), valid, begins)
        layers.append(CellMeasurements(name, layer.cell, layer.reverse, scan))
    return losses, tuple(layers)


def check_states(model: nn.Module, params: ModelParams, batch: Batch) -> None:
    """Check that the gradient at every state of a model can be measured.

    Raises:
        ValueError: a step computes its output from an array of the new state where nothing can be added to that, see
            ``rnnjax.core.tapped_step``.
    """
    taps: Any = model.zero_taps(*batch.inputs.shape[:2])

    def apply(params: ModelParams, batch: Batch) -> PyTree:
        return model.apply({"params": params}, batch.inputs, lengths=batch.lengths, taps=taps)

    jax.eval_shape(apply, params, batch)


def cell_diagnoses(measurements: CellMeasurements) -> tuple[LayerDiagnosis, ...]:
    """A diagnosis for each array of the layer's state that a step computes anew, its memory first."""
    layer = jax.tree.map(np.asarray, measurements)
    names = state_names(layer.cell)
    by_name = {names[state.index]: state for state in layer.scan.states}
    return tuple(
        scan_layer_diagnosis(
            layer.scan,
            by_name[name],
            name=layer.name if len(by_name) == 1 else f"{layer.name}, state {name}",
            cell=type(layer.cell).__name__,
            reverse=layer.reverse,
        )
        for name in sorted(by_name, key=state_rank)
    )


def state_names(cell: Cell) -> tuple[str, ...]:
    """The names of the arrays of a cell's state."""
    paths = jax.tree.leaves_with_path(jax.eval_shape(cell.initial_state))
    return tuple(jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths)


def nonfinite_origin_of_cells(losses: jax.Array, layers: Sequence[CellMeasurements]) -> Origin:
    """``nonfinite_origin`` from the measurements of ``measure_cells``."""
    for layer in layers:
        if (step := int(layer.scan.nonfinite_state)) >= 0:
            return Origin("forward", layer.name, None, _step_of_xs(layer, step), None)
    for layer in reversed(layers):
        if (step := int(layer.scan.nonfinite_gradient)) >= 0:
            return Origin("backward", layer.name, None, _step_of_xs(layer, step), None)
    finite = bool(np.isfinite(np.asarray(losses)).all())
    return Origin("backward" if finite else "forward", None, None, None, None)


def _step_of_xs(layer: CellMeasurements, step: int) -> int:
    return layer.scan.site.length - 1 - step if layer.reverse else step
