"""A traced program evaluated anew, with arrays added to the carries of its scans.

A tap is added where the body of the scan *makes* the new carry, not where the body returns it: whatever else the body
computes from the new carry, such as its output y_t, then reads the tapped value, and the gradient with respect to the
tap is the total ∂L/∂carry_t. Programs inside ``jax.jit``, ``jax.checkpoint``, ``lax.cond`` and other scans are opened
for it; every equation without a site in it is evaluated as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, JaxprEqn, Var

from rnnjax.nn.layer_marks import mark_p, read_mark
from rnnjax.scans.equations import CALLS, CHECKPOINTS, bind, inner_programs, is_literal, scan_parts
from rnnjax.scans.sites import Path

Addends = Sequence[jax.Array | None]  # one for each array of a carry, or for each result of a program
AtPaths = Mapping[Path, Addends]


def evaluate(
    program: ClosedJaxpr, arguments: Sequence[Any], taps: AtPaths, added: Addends = (), path: Path = ()
) -> list[Any]:
    """Results of a program.

    Args:
        program: from ``jax.make_jaxpr`` under ``layer_marks.marking(TAPS)``, or a part of such a program.
        arguments: its arguments, flat.
        taps: by the path of a site, for each array of the carry an array (outer..., T, ...) to add, or None.
        added: for each of the first results an array to add where the result is made, or None.
        path: of the program, if it is a part of another one.
    """
    jaxpr = program.jaxpr
    values: dict[Var, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *arguments], strict=True))
    made: dict[Var, jax.Array] = {}
    at_exit: dict[int, jax.Array] = {}  # results that are constants or arguments are made outside
    for i, (v, array) in enumerate(zip(jaxpr.outvars, added, strict=False)):
        if array is not None and (is_literal(v) or v in values):
            at_exit[i] = array
        elif array is not None:
            made[v] = made[v] + array if v in made else array

    def value(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    for i, eqn in enumerate(jaxpr.eqns):
        here = (*path, i)
        inputs = [value(atom) for atom in eqn.invars]
        below = {site: arrays for site, arrays in taps.items() if site[: len(here)] == here}
        of_results = [made.get(v) for v in eqn.outvars]
        name = eqn.primitive.name
        if name in (*CALLS, *CHECKPOINTS) and (below or _any(of_results)):
            results = _call(eqn, inputs, below, of_results, here)
        elif name == "cond" and (below or _any(of_results)):
            results = _cond(eqn, inputs, below, of_results, here)
        else:
            if not below:
                results = bind(eqn, inputs)
            elif eqn.primitive is mark_p:
                results = _layer(eqn, inputs, below[here])
            else:
                results = _scan(eqn, inputs, below, here)
            results = [a if b is None else a + b for a, b in zip(results, of_results, strict=True)]
        values.update(zip(eqn.outvars, results, strict=True))
    return [value(v) + at_exit[i] if i in at_exit else value(v) for i, v in enumerate(jaxpr.outvars)]


def _any(arrays: Addends) -> bool:
    return any(a is not None for a in arrays)


def _layer(eqn: JaxprEqn, inputs: list[Any], taps: Addends) -> list[Any]:
    """A mark of a layer of rnnjax, which takes taps as an argument: it gets these."""
    mark = read_mark(inputs, **eqn.params)
    xs, own = mark.passed
    moved = [jnp.moveaxis(tap, 0, len(mark.mapped)) for tap in taps if tap is not None]
    return jax.tree.leaves((xs, [a + b for a, b in zip(jax.tree.leaves(own), moved, strict=True)]))


def _call(eqn: JaxprEqn, inputs: list[Any], taps: AtPaths, added: Addends, path: Path) -> list[Any]:
    """A program in ``jax.jit``, evaluated in its place, or in ``jax.checkpoint``."""
    (inner,) = inner_programs(eqn)

    def run(inputs: list[Any], taps: AtPaths, added: Addends) -> list[Any]:
        return evaluate(inner, inputs, taps, added, (*path, 0))

    if eqn.primitive.name in CHECKPOINTS:
        run = jax.checkpoint(run, policy=eqn.params["policy"], prevent_cse=eqn.params["prevent_cse"])
    return run(inputs, taps, added)


def _cond(eqn: JaxprEqn, inputs: list[Any], taps: AtPaths, added: Addends, path: Path) -> list[Any]:
    """A conditional; the taps of the branches that are not taken get a gradient of 0."""
    index, *operands = inputs

    def branch(k: int, inner: ClosedJaxpr) -> Callable[..., list[Any]]:
        return lambda operands, taps, added: evaluate(inner, operands, taps, added, (*path, k))

    branches = [branch(k, inner) for k, inner in enumerate(inner_programs(eqn))]
    results: list[Any] = jax.lax.switch(index, branches, operands, taps, added)
    return results


def _scan(eqn: JaxprEqn, inputs: list[Any], taps: AtPaths, path: Path) -> list[Any]:
    (body,) = inner_programs(eqn)
    consts, carry, xs = scan_parts(eqn, inputs)
    own, below = taps.get(path, ()), {site: arrays for site, arrays in taps.items() if site != path}

    def step(carry: list[Any], slices: Any) -> tuple[list[Any], list[Any]]:
        xs_t, own_t, below_t = slices
        results = evaluate(body, [*consts, *carry, *xs_t], below_t, own_t, (*path, 0))
        return results[: len(carry)], results[len(carry) :]

    options = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}
    carry, ys = jax.lax.scan(step, carry, (xs, own, below), **options)
    return [*carry, *ys]
