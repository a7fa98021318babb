"""Where the first number that is not finite arose in a layer: the pass, the step and the gate."""

from typing import Literal, NamedTuple

import numpy as np

from rnnjax.argument_checks import check_array
from rnnjax.cells import ElementwiseCell
from rnnjax.diagnostics.gradient_paths import Paths
from rnnjax.diagnostics.linearization import Steps, check_steps_of


class NotFinite(NamedTuple):
    """The first NaN or infinity in the order of computation."""

    phase: Literal["forward", "backward"]  # pass
    timestep: int  # 0 = first step of the sequence
    gate: str | None  # None: several gates at once, from their common input, or the state and no gate
    example: int  # index in the batch


def first_not_finite(cell: ElementwiseCell, steps: Steps, paths: Paths) -> NotFinite | None:
    """The first number that is not finite in one layer's pass over (T, B, ...) sequences; None where all are finite.

    The forward pass is searched first: the gates' inputs z^x + z^h and the states, from the first step on. If all of it
    is finite, the backward pass is searched: the gradients of the gates' inputs and of the states, from the last step
    back.

    Raises:
        ValueError: steps of another cell, or without a batch axis.
    """
    check_steps_of(cell, steps)
    check_array("steps.f", steps.f, "(T, B, H)")
    valid = np.asarray(steps.valid)[:, :, None, None]
    with np.errstate(invalid="ignore", over="ignore"):
        z = (np.asarray(steps.z_x) + np.asarray(steps.z_h)).reshape(steps.u.shape)
    states = np.stack([np.asarray(a) for a in steps.states], axis=2)
    origin = _first(cell, "forward", ~np.isfinite(z) & valid, ~np.isfinite(states) & valid)
    if origin is not None:
        return origin
    dz = np.asarray(paths.dz_x)
    totals = np.stack([np.asarray(a) for a in paths.state], axis=2)
    origin = _first(cell, "backward", (~np.isfinite(dz) & valid)[::-1], (~np.isfinite(totals) & valid)[::-1])
    return None if origin is None else origin._replace(timestep=len(dz) - 1 - origin.timestep)


def _first(
    cell: ElementwiseCell,
    phase: Literal["forward", "backward"],
    gates_nonfinite: np.ndarray,
    states_nonfinite: np.ndarray,
) -> NotFinite | None:
    """The first step at which either mask, (T, B, G, H) of gates and (T, B, fields, H) of states, is true."""
    at_step = gates_nonfinite.any(axis=(1, 2, 3)) | states_nonfinite.any(axis=(1, 2, 3))
    if not at_step.any():
        return None
    t = int(np.argmax(at_step))
    gates = gates_nonfinite[t].any(axis=(0, 2))
    example = int(np.argmax(gates_nonfinite[t].any(axis=(1, 2)) | states_nonfinite[t].any(axis=(1, 2))))
    from_gate = gates.any() and not (gates.all() and len(gates) > 1)
    return NotFinite(phase, t, cell.gates[int(np.argmax(gates))] if from_gate else None, example)
