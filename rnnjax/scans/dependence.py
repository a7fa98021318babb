"""Which results of a program are the same array, and which are computed from which."""

from collections.abc import Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from rnnjax.scans.equations import CALLS, CHECKPOINTS, inner_programs, is_differentiable, is_literal, scan_parts

OPENED = CALLS | CHECKPOINTS | {"cond"}  # a program with one of these can be evaluated part by part
FOLLOWED = {"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}  # opened, they would lose their derivative


def source_of(program: Jaxpr, v: Any) -> Any:
    """The variable that a result is, one for all results that are the same array, also where inner programs pass it on.

    An array that all branches of a conditional pass on, or return twice, counts.
    """
    for eqn in reversed(program.eqns):
        if eqn.primitive.name in OPENED | FOLLOWED and v in eqn.outvars:
            inner = [p.jaxpr for p in _programs(eqn)]
            sources = [[source_of(p, a) for a in p.outvars] for p in inner]
            k = eqn.outvars.index(v)
            v = eqn.outvars[next(i for i in range(k + 1) if all(s[i] is s[k] for s in sources))]
            places = {p.invars.index(s[k]) if s[k] in p.invars else -1 for p, s in zip(inner, sources, strict=True)}
            if len(places) == 1 and (place := places.pop()) >= 0:
                v = operands_of(eqn)[place]
    return v


def operands_of(eqn: JaxprEqn) -> Sequence[Any]:
    """What the inner programs of an equation get."""
    return eqn.invars[1:] if eqn.primitive.name == "cond" else eqn.invars


def _reads(eqn: JaxprEqn, j: int, k: int) -> bool:
    """Whether an equation computes its result j from its result k; a primitive without a program does not."""
    if inner_programs(eqn) and not _programs(eqn):  # a kernel, which writes its results into references
        return True
    return any(_is_from(p.jaxpr, p.jaxpr.outvars[j], p.jaxpr.outvars[k]) for p in _programs(eqn))


def readers(program: Jaxpr, eqn: JaxprEqn, k: int) -> list[int]:
    """The results of an equation that it computes from its result k, as far as the program uses them.

    A result that is not differentiable does not count.
    """
    used = {id(atom) for atoms in (*(e.invars for e in program.eqns), program.outvars) for atom in atoms}
    results = [j for j, v in enumerate(eqn.outvars) if id(v) in used and is_differentiable(v.aval)]
    return [j for j in results if j != k and _reads(eqn, j, k)]


def sealed_in(program: Jaxpr, v: Any) -> JaxprEqn | None:
    """The equation that makes a variable and computes another result from it, where nothing can change it in between.

    None where there is no such equation: programs inside ``jax.jit``, ``jax.checkpoint``, ``lax.cond`` and scans can be
    evaluated part by part.
    """
    source = source_of(program, v)
    eqn = next((eqn for eqn in program.eqns if source in eqn.outvars), None)
    if eqn is None:
        return None
    k = eqn.outvars.index(source)
    if eqn.primitive.name not in OPENED:
        if all(source_of(program, eqn.outvars[j]) is source for j in readers(program, eqn, k)):
            return None
        if eqn.primitive.name != "scan" or k >= len(scan_parts(eqn, eqn.invars).carry):
            return eqn
    inner = (sealed_in(p.jaxpr, p.jaxpr.outvars[k]) for p in _programs(eqn))
    return next(filter(None, inner), None)


def _is_from(program: Jaxpr, result: Any, v: Any) -> bool:
    """Whether a program computes a result from its variable v."""
    if is_literal(v) or is_literal(result):
        return False
    reached = {v}
    for eqn in program.eqns:
        if any(not is_literal(atom) and atom in reached for atom in eqn.invars):
            reached |= set(eqn.outvars)
        elif v in eqn.outvars:
            reached |= {a for j, a in enumerate(eqn.outvars) if _reads(eqn, j, eqn.outvars.index(v))}
    return result in reached


def _programs(eqn: JaxprEqn) -> list[ClosedJaxpr]:
    """The inner programs whose results are those of an equation; those of the last step where it is a loop."""
    return [p for p in inner_programs(eqn) if len(p.jaxpr.outvars) == len(eqn.outvars)]
