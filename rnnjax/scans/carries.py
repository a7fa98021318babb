"""Which arrays of a scan's carry are states, and where the examples of a batch are in them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, JaxprEqn, Var

from rnnjax.scans.equations import CALLS, CHECKPOINTS, is_differentiable, is_literal
from rnnjax.scans.sites import Site

SUM, BUFFER = "a sum over the steps", "a buffer of the whole sequence"
WRITES = {"dynamic_update_slice", "scatter", "scatter-add", "scatter_add"}  # one place of an array


def why_no_state(body: ClosedJaxpr, consts: int, carried: int, length: int) -> list[str | None]:
    """For each array of the carry why it is no state that a step computes anew, or None where it is one.

    Args:
        body: of the scan.
        consts: number of its constants, which come first.
        carried: number of arrays of the carry.
        length: T.
    """
    arguments = body.jaxpr.invars[consts : consts + carried]
    pairs = [*zip(arguments, body.jaxpr.outvars[:carried], strict=True)]
    reasons = [_reason(body, *pair, length) for pair in pairs]
    for i, (before, after) in enumerate(pairs):
        others = [v for v, reason in zip(arguments, reasons, strict=True) if reason is None and v is not before]
        if reasons[i] is None and _adds(body, before, after) and _depends(body, after, others):
            reasons[i] = SUM
    return reasons


def collecting(body: ClosedJaxpr, consts: int, carried: int, length: int) -> list[bool]:
    """Whether each array of the carry only collects what the steps compute, and no step reads it for anything else.

    A loss of its final value is then a loss of what every step adds to it, or writes into it.
    """
    reasons = why_no_state(body, consts, carried, length)
    pairs = zip(body.jaxpr.invars[consts : consts + carried], body.jaxpr.outvars[:carried], reasons, strict=True)
    return [reason in (SUM, BUFFER) and _is_read_once(body, before, after) for before, after, reason in pairs]


def _reason(body: ClosedJaxpr, before: Var, after: Any, length: int) -> str | None:
    """Why an array of the carry is no state, but for sums over the steps."""
    aval: Any = before.aval
    if not is_differentiable(aval):
        return "an integer, a truth value or a random key"
    if aval.size == 0:
        return "an empty array"
    if after is before:
        return "passed on unchanged"
    eqn = _made_by(body, after)
    if eqn is None:
        return None
    operands = [atom for atom in eqn.invars if not is_literal(atom)]
    if eqn.primitive.name in ("add", "sub") and operands == [before] and aval.ndim == 0:
        return "a counter"
    if eqn.primitive.name in WRITES and eqn.invars[0] is before and length in aval.shape:
        return BUFFER
    return None


def _adds(body: ClosedJaxpr, before: Var, after: Any) -> bool:
    """Whether a step adds to an array, or subtracts from it, and does nothing else with it."""
    eqn = _made_by(body, after)
    if eqn is None or not _is_read_once(body, before, after):
        return False
    return eqn.primitive.name == "add" or (eqn.primitive.name == "sub" and eqn.invars[0] is before)


def _is_read_once(body: ClosedJaxpr, before: Var, after: Any) -> bool:
    """Whether only the equation of the new value reads the old one, and nothing in the body reads the new one."""
    readers = [eqn for eqn in body.jaxpr.eqns if before in eqn.invars]
    if len(readers) != 1 or after not in readers[0].outvars or before in body.jaxpr.outvars:
        return False
    return readers[0].invars.count(before) == 1 and not any(after in eqn.invars for eqn in body.jaxpr.eqns)


def _depends(body: ClosedJaxpr, result: Any, variables: Sequence[Var]) -> bool:
    """Whether a result of the body is computed of some of these variables."""
    reached = set(variables)
    for eqn in body.jaxpr.eqns:
        if any(not is_literal(atom) and atom in reached for atom in eqn.invars):
            reached.update(eqn.outvars)
    return result in reached


def _made_by(program: ClosedJaxpr, v: Any) -> JaxprEqn | None:
    """The equation that makes a result; a call is not opened, because its inner variables are others."""
    for eqn in program.jaxpr.eqns:
        if v in eqn.outvars and eqn.primitive.name not in (*CALLS, *CHECKPOINTS):
            return eqn
    return None


def batch_axis(shape: tuple[int, ...], batch: int | None) -> int | None:
    """The first axis with as many entries as there are examples; None where there is none."""
    return shape.index(batch) if batch is not None and batch in shape else None


def runs_are_examples(site: Site, batch: int | None) -> bool:
    """Whether a scan runs once for each example, as ``jax.lax.map`` over the examples makes it."""
    shapes = [[n for n in a.shape if n != 1] for a in site.carry if a is not None]
    return mapped_axis(site, batch) is not None and not any(len(shape) > 1 and batch in shape for shape in shapes)


def mapped_axis(site: Site, batch: int | None) -> int | None:
    """Which of the scans around a scan maps over the examples, the outermost one first; None where there is none."""
    around = zip(site.maps, site.outer, strict=True)
    return next((i for i, (is_map, length) in enumerate(around) if is_map and length == batch), None)


def by_example(a: jax.Array, batch: int | None, leading: int = 1) -> jax.Array:
    """(L..., *shape) → (L..., B, F), the rest of its axes as one; B = 1 where no axis is that of the examples.

    Args:
        a: real or complex numbers; a complex number counts as two.
        batch: number of examples.
        leading: number of axes L of steps in front.
    """
    if jnp.issubdtype(a.dtype, jnp.complexfloating):
        a = jnp.stack([a.real, a.imag], axis=-1)
    axis = batch_axis(a.shape[leading:], batch)
    a = a[(slice(None),) * leading + (None,)] if axis is None else jnp.moveaxis(a, leading + axis, leading)
    return a.reshape(*a.shape[: leading + 1], -1)
