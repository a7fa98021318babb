"""How a traced program computes its results, as expressions that can be compared with those of another program."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn, Var

from rnnjax.scans.equations import CALLS, CHECKPOINTS, bind, inner_programs, is_literal, is_traced_in


@dataclass(frozen=True, eq=False)
class Expression:
    """A value of a program.

    Attributes:
        number: in the order in which the values are computed.
        aval: its shape and dtype.
        operation: the primitive and its parameters; those of an opaque one are equal to those of no other equation.
            None for an argument and for a constant.
        operands: of the operation.
        result: which result of the operation it is.
        eqn: the equation of the operation.
        value: of a constant.
        reads: indices of the arguments of the program that it is computed from.
    """

    number: int
    aval: Any
    operation: Hashable = None
    operands: tuple["Expression", ...] = ()
    result: int = 0
    eqn: JaxprEqn | None = None
    value: Any = None
    reads: frozenset[int] = frozenset()

    @property
    def is_argument(self) -> bool:
        """Whether it is an argument of the program."""
        return self.operation is None and bool(self.reads)


def expressions(program: ClosedJaxpr) -> tuple[list[Expression], list[Expression]]:
    """The arguments and results of a program; ``jax.jit`` and ``jax.checkpoint`` inside are opened."""
    made: list[Expression] = []

    def new(aval: Any, **of: Any) -> Expression:
        made.append(Expression(len(made), aval, **of))
        return made[-1]

    def run(inner: ClosedJaxpr, arguments: Sequence[Expression]) -> list[Expression]:
        jaxpr = inner.jaxpr
        values: dict[Var, Expression] = dict(zip(jaxpr.invars, arguments, strict=True))
        for v, a in zip(jaxpr.constvars, inner.consts, strict=True):
            values[v] = new(v.aval, value=a)

        def operand(atom: Any) -> Expression:
            return new(atom.aval, value=atom.val) if is_literal(atom) else values[atom]

        for eqn in jaxpr.eqns:
            operands = tuple(map(operand, eqn.invars))
            if eqn.primitive.name in (*CALLS, *CHECKPOINTS):
                (body,) = inner_programs(eqn)
                results = run(body, operands)
            else:
                reads = frozenset().union(*(a.reads for a in operands))
                operation = _operation(eqn)
                results = [
                    new(v.aval, operation=operation, operands=operands, result=i, eqn=eqn, reads=reads)
                    for i, v in enumerate(eqn.outvars)
                ]
            values.update(zip(eqn.outvars, results, strict=True))
        return [operand(atom) for atom in jaxpr.outvars]

    arguments = [new(v.aval, reads=frozenset([i])) for i, v in enumerate(program.jaxpr.invars)]
    return arguments, run(program, arguments)


def _operation(eqn: JaxprEqn) -> Hashable:
    """The same for two equations that compute the same of the same operands; one with a program inside is opaque."""
    if _is_relu(eqn):
        return "jax.nn.relu"
    operation = eqn.primitive.name, tuple(sorted(eqn.params.items(), key=lambda item: item[0]))
    try:
        hash(operation)
    except TypeError:
        return eqn.primitive.name, id(eqn)
    return (eqn.primitive.name, id(eqn)) if inner_programs(eqn) or eqn.effects else operation


def _is_relu(eqn: JaxprEqn) -> bool:
    """Whether it is ``jax.nn.relu``, which has a derivative of its own at 0."""
    if eqn.primitive.name != "custom_jvp_call":
        return False
    while eqn.primitive.name in (*CALLS, "custom_jvp_call"):
        inner = inner_programs(eqn)[0].jaxpr.eqns
        if len(inner) != 1 or inner[0].primitive.name == "custom_jvp_call":
            return False
        (eqn,) = inner
    return eqn.primitive.name == "max" and is_traced_in(eqn, "relu")


def match(pattern: Expression, expression: Expression, bound: dict[Expression, Expression]) -> bool:
    """Whether an expression is computed as ``pattern`` is, for some expressions in place of the pattern's arguments.

    ``bound`` gets these expressions by argument; those that it already has must be the same.
    """
    pairs = [(pattern, expression)]
    seen: dict[Expression, Expression] = {}
    while pairs:
        a, b = pairs.pop()
        if a.is_argument:
            if bound.setdefault(a, b) is not b or a.aval.dtype != b.aval.dtype or a.aval.ndim != b.aval.ndim:
                return False
        elif seen.get(a) is not b:
            same = a.operation == b.operation and a.result == b.result and len(a.operands) == len(b.operands)
            if not same or (a.operation is None and (b.is_argument or not _same_constant(a, b))):
                return False
            seen[a] = b
            pairs += zip(a.operands, b.operands, strict=True)
    return True


def _same_constant(a: Expression, b: Expression) -> bool:
    return a.aval.shape == b.aval.shape and a.aval.dtype == b.aval.dtype and bool(np.array_equal(a.value, b.value))


def reads_around(expression: Expression, arguments: Iterable[int], through: Sequence[Expression]) -> bool:
    """Whether an expression reads some of the ``arguments`` by a way that does not lead through others."""
    wanted, stack, seen = set(arguments), [expression], set(through)
    while stack:
        here = stack.pop()
        if here in seen or not here.reads & wanted:
            continue
        if here.is_argument:
            return True
        seen.add(here)
        stack += here.operands
    return False


def compute(wanted: Sequence[Expression], arguments: Sequence[Any]) -> list[Any]:
    """The values of expressions of a program, from its arguments."""
    needed, stack = set(), list(wanted)
    while stack:
        here = stack.pop()
        if here not in needed:
            needed.add(here)
            stack += here.operands
    values: dict[Expression, Any] = {}
    results: dict[tuple[int, tuple[int, ...]], list[Any]] = {}  # of equations, once for all of their results
    for here in sorted(needed, key=lambda e: e.number):
        if here.eqn is not None:
            key = id(here.eqn), tuple(a.number for a in here.operands)
            if key not in results:
                results[key] = bind(here.eqn, [values[a] for a in here.operands])
            values[here] = results[key][here.result]
        else:
            values[here] = arguments[next(iter(here.reads))] if here.is_argument else here.value
    return [values[here] for here in wanted]
