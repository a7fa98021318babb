"""Which arrays of a scan's carry are states, and where the examples of a batch are in them."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, JaxprEqn, Var

from rnnjax.scans.equations import CALLS, CHECKPOINTS, is_differentiable, is_literal

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
    results = body.jaxpr.outvars[:carried]
    return [_reason(body, before, after, length) for before, after in zip(arguments, results, strict=True)]


def _reason(body: ClosedJaxpr, before: Var, after: Any, length: int) -> str | None:
    aval: Any = before.aval
    if not is_differentiable(aval):
        return "an integer, a truth value or a random key"
    if after is before:
        return "passed on unchanged"
    eqn = _made_by(body, after)
    if eqn is None:
        return None
    operands = [atom for atom in eqn.invars if not is_literal(atom)]
    if eqn.primitive.name in ("add", "sub") and operands == [before] and aval.ndim == 0:
        return "a counter"
    if eqn.primitive.name in WRITES and eqn.invars[0] is before and length in aval.shape:
        return "a buffer of the whole sequence"
    return None


def _made_by(program: ClosedJaxpr, v: Any) -> JaxprEqn | None:
    """The equation that makes a result; a call is not opened, because its inner variables are others."""
    for eqn in program.jaxpr.eqns:
        if v in eqn.outvars and eqn.primitive.name not in (*CALLS, *CHECKPOINTS):
            return eqn
    return None


def batch_axis(shape: tuple[int, ...], batch: int | None) -> int | None:
    """The first axis with as many entries as there are examples; None where there is none."""
    return shape.index(batch) if batch is not None and batch in shape else None


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
