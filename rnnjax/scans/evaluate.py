"""Evaluates a traced program (jaxpr) again, with arrays added to the carries of its scans.

A tap is added where the body of the scan *makes* the new carry, not where the body returns it: whatever else the body
computes from the new carry, such as its output y_t, then reads the tapped value, and the gradient with respect to the
tap is the total ∂L/∂carry_t. Programs inside ``jax.jit``, ``jax.checkpoint``, ``lax.cond`` and other scans are opened
for it; every other equation is evaluated as it is. Where such an equation makes the new carry and also computes another
result from it, nothing can be added in between, and ``sites`` lists the scan as hidden.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var

from rnnjax.nn.layer_marks import read_mark
from rnnjax.scans.dependence import operands_of, readers, source_of
from rnnjax.scans.equations import CALLS, CHECKPOINTS, bind, inner_programs, is_literal, scan_parts
from rnnjax.scans.sites import Path

Addends = Sequence[jax.Array | None]  # one for each array of a carry, or for each result of a program


class Added(NamedTuple):
    """What is added at a site; arrays have a leading axis for each scan around it."""

    carry: Addends = ()  # (..., T, ...) for each array of the carry, at every step
    results: Addends | None = None  # for each array of the final carry and of the outputs; the site is then recorded


class Recorded(NamedTuple):
    """What a scan read; arrays have a leading axis for each scan around it, except those that are the same for all."""

    consts: list[Any]
    carry: list[Any]  # before the first step
    xs: list[Any]


AtPaths = Mapping[Path, Added]
Records = dict[Path, Recorded]


def evaluate(
    program: ClosedJaxpr,
    arguments: Sequence[Any],
    taps: AtPaths,
    added: Addends = (),
    path: Path = (),
    made_around: Sequence[bool] | None = None,
) -> tuple[list[Any], Records]:
    """Results of a program, and what its recorded sites read.

    Args:
        program: from ``jax.make_jaxpr`` under ``layer_marks.marking(TAPS)``, or a part of such a program.
        arguments: its arguments, flat.
        taps: what is added, by the path of a site.
        added: for each of the first results an array to add where the result is made, or None.
        path: of the program, if it is a part of another one.
        made_around: for each argument whether the program around this one makes it, for this one to change. What is
            added to a result that is any other argument, or a constant, is added at the end. None for no such argument.
    """
    jaxpr = program.jaxpr
    values: dict[Var, Any] = dict(zip(jaxpr.constvars, program.consts, strict=True))
    around = [False] * len(jaxpr.invars) if made_around is None else made_around
    given = {*jaxpr.constvars, *(v for v, is_made in zip(jaxpr.invars, around, strict=True) if not is_made)}
    made: dict[Var, jax.Array] = {}
    at_end: dict[int, jax.Array] = {}
    for i, (v, array) in enumerate(zip(jaxpr.outvars, added, strict=False)):
        if array is None:
            continue
        source = source_of(jaxpr, v)
        if is_literal(source) or source in given:
            at_end[i] = array
        else:
            made[source] = _plus(array, made.get(source))

    def value(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    values.update({v: _plus(a, made.get(v)) for v, a in zip(jaxpr.invars, arguments, strict=True)})
    records: Records = {}
    for i, eqn in enumerate(jaxpr.eqns):
        here = (*path, i)
        inputs = [value(atom) for atom in eqn.invars]
        below = {site: arrays for site, arrays in taps.items() if site[: len(here)] == here}
        of_results = [made.get(v) for v in eqn.outvars]
        look_into = _OPENED.get(eqn.primitive.name)
        if look_into is not None and (below or _any(of_results)):
            made_here = [not is_literal(atom) and atom not in given for atom in operands_of(eqn)]
            results, inside = look_into(eqn, inputs, below, of_results, here, made_here)
        else:
            results, inside = _scan_or_layer(jaxpr, eqn, inputs, below, of_results, here)
        values.update(zip(eqn.outvars, results, strict=True))
        if _any(of_results):  # other results that are the same array
            values.update({v: values[s] for v in eqn.outvars if (s := source_of(jaxpr, v)) in eqn.outvars})
        records |= inside
    return [_plus(value(v), at_end.get(i)) for i, v in enumerate(jaxpr.outvars)], records


def _plus(a: Any, b: jax.Array | None) -> Any:
    return a if b is None else a + b


def _any(arrays: Addends) -> bool:
    return any(a is not None for a in arrays)


def _call(
    eqn: JaxprEqn, inputs: list[Any], taps: AtPaths, added: Addends, path: Path, made: Sequence[bool]
) -> tuple[list[Any], Records]:
    """A program in ``jax.jit``, evaluated in its place, or in ``jax.checkpoint``, unless sites in it are recorded."""
    (inner,) = inner_programs(eqn)

    def run(inputs: list[Any], taps: AtPaths, added: Addends) -> tuple[list[Any], Records]:
        return evaluate(inner, inputs, taps, added, (*path, 0), made)

    if eqn.primitive.name in CHECKPOINTS and not any(site.results is not None for site in taps.values()):
        run = jax.checkpoint(run, policy=eqn.params["policy"], prevent_cse=eqn.params["prevent_cse"])
    return run(inputs, taps, added)


def _cond(
    eqn: JaxprEqn, inputs: list[Any], taps: AtPaths, added: Addends, path: Path, made: Sequence[bool]
) -> tuple[list[Any], Records]:
    """A conditional; what is added in branches that are not taken gets a gradient of 0, and their records are zeros."""
    index, *operands = inputs

    def branch(k: int, inner: ClosedJaxpr) -> Callable[..., tuple[list[Any], Records]]:
        return lambda operands, taps, added: evaluate(inner, operands, taps, added, (*path, k), made)

    branches = [branch(k, inner) for k, inner in enumerate(inner_programs(eqn))]
    recorded = any(site.results is not None for site in taps.values())
    shapes = [jax.eval_shape(run, operands, taps, added)[1] if recorded else {} for run in branches]

    def with_zeros(run: Callable[..., tuple[list[Any], Records]]) -> Callable[..., tuple[list[Any], Records]]:
        def run_one(*arguments: Any) -> tuple[list[Any], Records]:
            results, records = run(*arguments)
            others = {site: record for of_branch in shapes for site, record in of_branch.items()}
            return results, jax.tree.map(_zeros, others) | records

        return run_one

    results: tuple[list[Any], Records] = jax.lax.switch(
        index, [with_zeros(run) for run in branches], operands, taps, added
    )
    return results


def _zeros(shape: Any) -> jax.Array:
    """Zeros of a shape and dtype; a random key of zeros where it is a key."""
    if not jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jnp.zeros(shape.shape, shape.dtype)
    kinds = []

    def data_of(key: jax.Array) -> jax.Array:
        kinds.append(jax.random.key_impl(key))
        return jax.random.key_data(key)

    data = jax.eval_shape(data_of, shape)
    return jax.random.wrap_key_data(jnp.zeros(data.shape, data.dtype), impl=kinds[0])


_OPENED = {**dict.fromkeys((*CALLS, *CHECKPOINTS), _call), "cond": _cond}


def _scan_or_layer(
    program: Jaxpr, eqn: JaxprEqn, inputs: list[Any], taps: AtPaths, added: Addends, path: Path
) -> tuple[list[Any], Records]:
    """A scan, a mark of a layer, or any other equation that is not in ``_OPENED``."""
    if eqn.primitive.name == "scan" and (taps or _any(added)):
        inside = _made_at_last_step(program, eqn, added)
        results, records = _scan(eqn, inputs, taps, inside, path)
        added = [None if k < len(inside) and inside[k] is not None else a for k, a in enumerate(added)]
    else:
        results, records = _layer(eqn, inputs, taps[path].carry) if path in taps else bind(eqn, inputs), {}
    return [_plus(a, b) for a, b in zip(results, added, strict=True)], records


def _made_at_last_step(program: Jaxpr, eqn: JaxprEqn, added: Addends) -> list[jax.Array | None]:
    """What is added to the carry at each step of a scan, for its final carry to be changed where that is made.

    None where no other result reads the final carry, so that it can be changed after the scan.
    """
    length, last = eqn.params["length"], 0 if eqn.params["reverse"] else -1

    def at_steps(k: int, array: jax.Array | None) -> jax.Array | None:
        if array is None or length == 0 or not readers(program, eqn, k):
            return None
        return jnp.zeros((length, *array.shape), array.dtype).at[last].set(array)

    return [at_steps(k, added[k]) for k in range(len(scan_parts(eqn, eqn.invars).carry))]


def _layer(eqn: JaxprEqn, inputs: list[Any], taps: Addends) -> list[Any]:
    """A mark of a layer of rnnjax, which takes taps as an argument: it gets these."""
    mark = read_mark(inputs, **eqn.params)
    xs, own = mark.passed
    moved = [jnp.moveaxis(tap, 0, len(mark.mapped)) for tap in taps if tap is not None]
    return jax.tree.leaves((xs, [a + b for a, b in zip(jax.tree.leaves(own), moved, strict=True)]))


def _scan(eqn: JaxprEqn, inputs: list[Any], taps: AtPaths, added: Addends, path: Path) -> tuple[list[Any], Records]:
    """A scan; ``added`` to its carry at every step besides its taps."""
    (body,) = inner_programs(eqn)
    consts, carry, xs = scan_parts(eqn, inputs)
    own, below = taps.get(path, Added()), {site: arrays for site, arrays in taps.items() if site != path}
    to_carry = [b if a is None else _plus(a, b) for a, b in itertools.zip_longest(own.carry, added)]
    shared: dict[Path, list[Any]] = {}  # constants of recorded scans that are constants of this scan too

    def step(carry: list[Any], slices: Any) -> tuple[list[Any], Any]:
        xs_t, own_t, below_t = slices
        results, records = evaluate(body, [*consts, *carry, *xs_t], below_t, own_t, (*path, 0))
        for site, record in records.items():
            shared[site] = [a if any(a is b for b in consts) else None for a in record.consts]
            varying = [a if b is None else None for a, b in zip(record.consts, shared[site], strict=True)]
            records[site] = record._replace(consts=varying)
        return results[: len(carry)], (results[len(carry) :], records)

    options = {name: eqn.params[name] for name in ("length", "reverse", "unroll")}
    final, (ys, records) = jax.lax.scan(step, carry, (xs, to_carry, below), **options)
    results = [*final, *ys]
    for site, record in records.items():
        all_consts = [a if b is None else b for a, b in zip(record.consts, shared[site], strict=True)]
        records[site] = record._replace(consts=all_consts)
    if own.results is not None:
        records[path] = Recorded(consts, carry, xs)
        results = [_plus(a, b) for a, b in zip(results, own.results, strict=True)]
    return results, records
