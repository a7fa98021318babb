"""One step of any cell with taps added to its new state where the step makes it."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Var

from rnnjax.cells import Cell
from rnnjax.cells.params import check_like
from rnnjax.scans.equations import CALLS, bind, inner_programs, is_literal
from rnnjax.typing import CellState, PyTree, Taps


def step_with_taps(
    cell: Cell, params: PyTree, state: CellState, x_t: jax.Array, noise: PyTree, taps: Taps
) -> tuple[CellState, jax.Array]:
    """``cell.step`` with ``taps``, shaped like the state, added to the new state.

    They are added to each array of the new state before anything else in the step reads it, so that the gradient with
    respect to them is the total derivative, also where the output is computed from the new state.

    Args:
        cell: any cell.
        params: its parameters.
        state: of arrays (N, *).
        x_t: (N, D).
        noise: what the cell drew for the step, or None.
        taps: the state's named tuple, None in the place of an array that is not differentiable; or None.

    Raises:
        ValueError: the step returns another state than it was given, or the state's field h is not the output.
    """

    def step(params: PyTree, state: CellState, x_t: jax.Array, noise: PyTree) -> tuple[CellState, jax.Array]:
        drawn = {"noise": noise} if cell.is_random else {}
        new, y = cell.step(params, state, x_t, **drawn)
        _check_new_state(cell, state, new)
        return jax.tree.map(lambda a, old: a.astype(old.dtype), new, state), y

    arguments = params, state, x_t, noise
    program, shapes = jax.make_jaxpr(step, return_shape=True)(*arguments)
    _check_output(cell, program, *shapes)
    is_none = {"is_leaf": lambda a: a is None}
    added = [] if taps is None else jax.tree.leaves(taps, **is_none)
    results = _evaluate(program, jax.tree.leaves(arguments), added)
    new_state: tuple[CellState, jax.Array] = jax.tree.unflatten(jax.tree.structure(shapes), results)
    return new_state


def _check_new_state(cell: Cell, state: CellState, new: Any) -> None:
    check_like("the state that step returns", new, state, f"{type(cell).__name__}({cell.features})")


def _check_output(cell: Cell, program: ClosedJaxpr, state: CellState, y: Any) -> None:
    """A field h of a state is read as the output, so that it must be the output."""
    if "h" not in getattr(state, "_fields", ()):
        return
    count = len(jax.tree.leaves(state))
    if not _are_one(program, len(jax.tree.leaves(state[: state._fields.index("h")])), count):
        raise ValueError(
            f"the field h of {type(cell).__name__}'s state is not the output of step; return new.h as the output, or "
            "give the field another name"
        )


def _are_one(program: ClosedJaxpr, i: int, j: int) -> bool:
    """Whether two results of a program are the same array, also where a function under ``jax.jit`` returns it twice."""
    a, b = program.jaxpr.outvars[i], program.jaxpr.outvars[j]
    for eqn in program.jaxpr.eqns:
        if eqn.primitive.name in CALLS and a in eqn.outvars and b in eqn.outvars:
            return _are_one(inner_programs(eqn)[0], eqn.outvars.index(a), eqn.outvars.index(b))
    return a is b


def _evaluate(program: ClosedJaxpr, arguments: Sequence[Any], added: Sequence[jax.Array | None]) -> list[Any]:
    """Results of a program, with arrays added to the first of them where they are made, also inside ``jax.jit``."""
    jaxpr = program.jaxpr
    values: dict[Var, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *arguments], strict=True))
    made: dict[Var, jax.Array] = {}
    passed_on: dict[int, jax.Array] = {}  # results that are constants or arguments
    for i, (v, array) in enumerate(zip(jaxpr.outvars, added, strict=False)):
        if array is not None and (is_literal(v) or v in values):
            passed_on[i] = array
        elif array is not None:
            made[v] = made[v] + array if v in made else array

    def value(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    for eqn in jaxpr.eqns:
        inputs = [value(atom) for atom in eqn.invars]
        of_results = [made.get(v) for v in eqn.outvars]
        if eqn.primitive.name in CALLS and any(a is not None for a in of_results):
            results = _evaluate(inner_programs(eqn)[0], inputs, of_results)
        else:
            results = [a if b is None else a + b for a, b in zip(bind(eqn, inputs), of_results, strict=True)]
        values.update(zip(eqn.outvars, results, strict=True))
    return [value(v) + passed_on[i] if i in passed_on else value(v) for i, v in enumerate(jaxpr.outvars)]
