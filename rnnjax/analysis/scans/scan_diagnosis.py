"""The diagnosis of the scans of any loss: its arguments checked, its program measured, the results as arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from rnnjax.analysis.diagnosis import LayerDiagnosis
from rnnjax.analysis.layer_diagnosis import layer_diagnosis, scan_layer_diagnosis
from rnnjax.analysis.nonfinite_outputs import hide_nonfinite, show_nonfinite
from rnnjax.analysis.scans.scan_measure import ScanMeasurements, StateMeasurements, measure_scans
from rnnjax.argument_checks import as_int32, check_integers, describe
from rnnjax.core.batch_sharding import explicit_sharding
from rnnjax.scans.carries import runs_are_examples
from rnnjax.scans.observation import trace
from rnnjax.scans.sites import Site, find_sites
from rnnjax.typing import PyTree


class ScanDiagnosis(NamedTuple):
    """What was measured of all scans of a loss.

    Attributes:
        losses: (B,), or () where the loss is one number for all examples.
        examples: B; 1 where they cannot be told apart.
        sites: all scans, also those that cannot be seen.
        scans: measurements of those that can.
        layers: for each scan of a known cell of Flax, and of other scans for each array of the carry that is a state,
            the same as the diagnosis of a layer.
        notes: sentences on what was left out.
    """

    losses: np.ndarray
    examples: int
    sites: tuple[Site, ...]
    scans: tuple[ScanMeasurements, ...]
    layers: tuple[LayerDiagnosis, ...]
    notes: tuple[str, ...]


def diagnose_scans(
    loss: Callable[..., jax.Array],
    params: PyTree,
    batch: PyTree,
    *,
    lengths: Any = None,
    mask: Any = None,
    resets: Any = None,
    jacobians: bool = True,
) -> ScanDiagnosis:
    """Measure every scan of ``loss(params, batch)``; the arguments are those of ``measure_scans``.

    Raises:
        ValueError: the loss is neither one number for each example nor one number, it runs no scan that can be seen,
            or lengths, mask and resets have another shape.
    """
    if any(any(sharding.spec) for leaf in jax.tree.leaves((params, batch)) if (sharding := explicit_sharding(leaf))):
        raise ValueError(
            "arrays that are divided over explicit axes of a mesh cannot be followed; give undivided ones, or make the "
            "mesh with axis_types=(jax.sharding.AxisType.Auto, ...)"
        )
    program, shape = trace(loss, params, batch)
    _check_loss(shape)
    sites = find_sites(program)
    seen = [site for site in sites if site.hidden is None and site.layer is None]
    if not any(site.hidden is None for site in sites):
        raise ValueError(_nothing_to_see(sites))
    examples, ambiguous = (shape.shape[0], []) if shape.shape else _number_of_examples(seen, batch)
    lengths, mask, resets = _checked_masks(seen, examples, lengths, mask, resets)

    most = 0 if lengths is None else int(np.max(lengths))

    def measure(arguments: list[Any], *masks: Any) -> Any:
        return hide_nonfinite(
            measure_scans(program, sites, arguments, examples, *masks, most_steps=most, jacobians=jacobians)
        )

    measured = jax.jit(measure)(jax.tree.leaves((params, batch)), lengths, mask, resets)
    losses, scans = jax.device_get(show_nonfinite(measured))
    layers = tuple(layer for scan in scans for layer in _layers(scan))
    notes = [f"{site.name} cannot be seen: {site.hidden}." for site in sites if site.hidden is not None]
    notes += [f"Left out of {scan.site.name}: {why}." for scan in scans for why in scan.left_out]
    notes += [*ambiguous, *(note for scan in scans for note in _on_examples(scan, examples))]
    notes += [
        f"No gradient of the loss comes to {scan.site.name}." for scan in scans if scan.states and not scan.longest
    ]
    if seen and not layers:
        raise ValueError(f"no carry of a scan holds a state: {' '.join(notes) or 'the scans have no steps.'}")
    return ScanDiagnosis(np.asarray(losses), examples or 1, sites, scans, layers, tuple(notes))


def state_name(scan: ScanMeasurements, state: StateMeasurements) -> str:
    """The site's name, with the index of the array where the carry has several states."""
    return scan.site.name if len(scan.states) == 1 else f"{scan.site.name} carry[{state.index}]"


def _on_examples(scan: ScanMeasurements, examples: int | None) -> list[str]:
    """Notes on states whose examples cannot be told apart for sure."""
    if examples is None or examples == 1 or runs_are_examples(scan.site, examples):
        return []
    notes = []
    for state in scan.states:
        shape: Any = scan.site.carry[state.index]
        of_array, axes = f"carry[{state.index}] of {scan.site.name}, {shape.shape},", shape.shape.count(examples)
        if axes == 0:
            notes.append(f"{of_array} has no axis of the {examples} examples: it is measured as one that all share.")
        elif axes > 1:
            notes.append(f"{of_array} has {axes} axes as long as the {examples} examples: the first one is taken.")
    return notes


def _check_loss(shape: Any) -> None:
    if not isinstance(shape, jax.ShapeDtypeStruct) or len(shape.shape) > 1:
        raise ValueError(
            "the loss must be one number for each example, (B,), or their mean, got "
            f"{shape.shape if isinstance(shape, jax.ShapeDtypeStruct) else describe(shape)}"
        )
    if not jnp.issubdtype(shape.dtype, jnp.floating):
        raise ValueError(f"the loss must hold floating-point numbers, got {shape.dtype}; return what is differentiated")


def _nothing_to_see(sites: tuple[Site, ...]) -> str:
    hidden = [f"{site.name} cannot be seen: {site.hidden}" for site in sites if site.hidden is not None]
    reason = "; ".join(hidden) or (
        "it runs no rnnjax.RNN and no jax.lax.scan whose carry holds floating-point numbers; apply the model in the "
        "loss, as in model.apply({'params': params}, batch)"
    )
    return f"there is no recurrence to measure in the loss: {reason}"


def _number_of_examples(sites: list[Site], batch: PyTree) -> tuple[int | None, list[str]]:
    """Under a mean loss: the size of an axis of a carry that is also that of a first or second axis of data.

    Where several are, it is that of the first axis of a carry, since the others may be units, and rather none that is
    the number of steps. A note names those between which the first axis does not decide.
    """
    shapes = [jnp.shape(a) for a in jax.tree.leaves(batch)]
    carries = [a.shape for site in sites for a in site.carry if a is not None]
    of_data = dict.fromkeys(shape[axis] for axis in (0, 1) for shape in shapes if len(shape) > axis)
    found = [n for n in of_data if any(n in shape for shape in carries)]
    several = [n for n in found if n != 1] or found
    in_front = [n for n in several if any(shape[:1] == (n,) for shape in carries)]
    candidates = sorted(in_front or several, key=lambda n: n in {site.length for site in sites})
    if len(candidates) < 2:
        return next(iter(candidates), None), []
    return candidates[0], [
        f"By the shapes of batch and carries there may be {' or '.join(map(str, candidates))} examples: "
        f"{candidates[0]} are taken; return the loss of each example, (B,), instead of one number."
    ]


def _checked_masks(
    sites: list[Site], examples: int | None, lengths: Any, mask: Any, resets: Any
) -> tuple[Any, Any, Any]:
    """As arrays; ValueError for another shape or dtype."""
    if not sites and any(value is not None for value in (lengths, mask, resets)):
        raise ValueError(
            "lengths, mask and resets are for scans that are no layers of rnnjax, and the loss has none; give a layer "
            "of rnnjax its own lengths"
        )
    if lengths is not None and mask is not None:
        raise ValueError("give lengths or a mask, not both")
    if lengths is not None:
        if examples is None:
            raise ValueError("lengths cannot be used where the carry has no axis of the examples; return their losses")
        check_integers("lengths", lengths, (examples,), 0, max(site.length for site in sites))
        lengths = as_int32(lengths)
    steps = sorted({site.length for site in sites})
    for name, value in (("mask", mask), ("resets", resets)):
        shape = np.shape(value)
        if value is not None and (len(shape) != 2 or shape[0] not in steps or shape[1] != (examples or 1)):
            raise ValueError(
                f"{name} must be (T, B) of truth values, with T of {', '.join(map(str, steps))} and "
                f"B = {examples or 1}, got {describe(value)}"
            )
    return lengths, *(None if a is None else jnp.asarray(a, bool) for a in (mask, resets))


def _layers(scan: ScanMeasurements) -> tuple[LayerDiagnosis, ...]:
    """One layer for a scan of a known cell, as of a layer of rnnjax; for another, one for each state."""
    if scan.layer is None or scan.module is None:
        return tuple(
            scan_layer_diagnosis(scan, state, name=state_name(scan, state), cell="scan", reverse=scan.site.reverse)
            for state in scan.states
        )
    return (msgspec.structs.replace(layer_diagnosis(scan.layer), cell=scan.module),)
