"""Where the first number that is not finite was made: the step and the gate."""

from typing import Literal, NamedTuple

import numpy as np

from rnnjax.argument_checks import check_array
from rnnjax.cells import Cell
from rnnjax.diagnostics.gradient_paths import Paths
from rnnjax.diagnostics.linearization import Steps, check_steps_of


class NotFinite(NamedTuple):
    """The first NaN or infinity in the order of computation."""

    phase: Literal["forward", "backward"]  # pass
    timestep: int  # 0 = first step of the sequence
    gate: str | None  # None: it came from outside into all of several gates, or no gate's input but the state has it
    example: int  # its place in the batch


def first_not_finite(cell: Cell, steps: Steps, paths: Paths) -> NotFinite | None:
    """The origin in one layer's pass over (T, B, ...) sequences, or None where all is finite.

    Forward, the gates' inputs z^x + z^h and the states are searched from the first step on; if they are finite, the
    gradients at the gates' inputs from the last step back.

    Raises:
        ValueError: steps of another cell, or without a batch.
    """
    check_steps_of(cell, steps)
    check_array("steps.f", steps.f, "(T, B, H)")
    valid = np.asarray(steps.valid)[:, :, None, None]
    with np.errstate(invalid="ignore", over="ignore"):
        z = (np.asarray(steps.z_x) + np.asarray(steps.z_h)).reshape(steps.u.shape)
    states = np.stack([np.asarray(a) for a in steps.states], axis=2)
    found = _first(cell, "forward", ~np.isfinite(z) & valid, ~np.isfinite(states) & valid)
    if found is not None:
        return found
    dz = np.asarray(paths.dz_x)
    totals = np.stack([np.asarray(a) for a in paths.state], axis=2)
    found = _first(cell, "backward", (~np.isfinite(dz) & valid)[::-1], (~np.isfinite(totals) & valid)[::-1])
    return None if found is None else found._replace(timestep=len(dz) - 1 - found.timestep)


def _first(
    cell: Cell, phase: Literal["forward", "backward"], by_gate: np.ndarray, rest: np.ndarray
) -> NotFinite | None:
    """The first step (T, B, G, H) at which anything is marked; the gate, where one is."""
    at_step = by_gate.any(axis=(1, 2, 3)) | rest.any(axis=(1, 2, 3))
    if not at_step.any():
        return None
    t = int(np.argmax(at_step))
    gates = by_gate[t].any(axis=(0, 2))
    example = int(np.argmax(by_gate[t].any(axis=(1, 2)) | rest[t].any(axis=(1, 2))))
    one = gates.any() and not (gates.all() and len(gates) > 1)
    return NotFinite(phase, t, cell.gates[int(np.argmax(gates))] if one else None, example)
