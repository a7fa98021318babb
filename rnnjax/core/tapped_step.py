"""One step of any cell with taps added to its new state, and the state held, where the step makes it."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Var

from rnnjax.cells import Cell
from rnnjax.cells.params import check_like
from rnnjax.scans.equations import CALLS, bind, inner_programs, is_literal
from rnnjax.typing import CellState, PyTree, Taps

Hold = Callable[[int, jax.Array], tuple[jax.Array, jax.Array]]


def step_with_taps(
    cell: Cell, params: PyTree, state: CellState, x_t: jax.Array, noise: PyTree, taps: Taps, hold: Hold | None = None
) -> tuple[CellState, jax.Array]:
    """``cell.step`` with ``taps``, shaped like the state, added to the new state.

    They are added to each array of the new state before anything else in the step reads it, so that the gradient with
    respect to them is the total derivative, also where the output is computed from the new state. The state
    is held there too, so that what the rest of the step reads is the array that the scan carries on.

    Args:
        cell: any cell.
        params: its parameters.
        state: of arrays (N, *).
        x_t: (N, D).
        noise: what the cell drew for the step, or None.
        taps: the state's named tuple, None in the place of an array that is not differentiable; or None.
        hold: of the index of an array of the new state, and the array: the same where examples past their end keep the
            old state, and what the rest of the step reads in its place; None where no example is past its end.

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
    nothing = [None] * len(jax.tree.leaves(state))
    added = nothing if taps is None else jax.tree.leaves(taps, is_leaf=lambda a: a is None)
    results = _evaluate(program, jax.tree.leaves(arguments), added, hold)
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


def _evaluate(
    program: ClosedJaxpr, arguments: Sequence[Any], added: Sequence[jax.Array | None], hold: Hold | None
) -> list[Any]:
    """Results of a program, the first of them changed where they are made.

    Arrays are ``added`` to them, also inside ``jax.jit``; two results that are the same array get what is added to
    both. Then ``hold`` is applied, to two results that are the same array only at the end.
    """
    jaxpr = program.jaxpr
    values: dict[Var, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *arguments], strict=True))
    made: dict[Var, jax.Array] = {}
    passed_on: dict[int, jax.Array] = {}  # added to results that are constants or arguments
    results_of: dict[Var, list[int]] = {}
    for i, (v, array) in enumerate(zip(jaxpr.outvars, added, strict=False)):
        if is_literal(v) or v in values:
            passed_on |= {} if array is None else {i: array}
            continue
        results_of.setdefault(v, []).append(i)
        if array is not None:
            made[v] = made[v] + array if v in made else array
    held: dict[int, Any] = {}

    def value(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    for eqn in jaxpr.eqns:
        inputs = [value(atom) for atom in eqn.invars]
        of_results = [made.get(v) for v in eqn.outvars]
        if eqn.primitive.name in CALLS and any(a is not None for a in of_results):
            results = _evaluate(inner_programs(eqn)[0], inputs, of_results, None)
        else:
            results = [a if b is None else a + b for a, b in zip(bind(eqn, inputs), of_results, strict=True)]
        for k, v in enumerate(eqn.outvars):
            if hold is not None and len(own := results_of.get(v, [])) == 1:
                held[own[0]], results[k] = hold(own[0], results[k])
        values.update(zip(eqn.outvars, results, strict=True))
    results = [value(v) + passed_on[i] if i in passed_on else value(v) for i, v in enumerate(jaxpr.outvars)]
    if hold is None:
        return results
    first = [held[i] if i in held else hold(i, a)[0] for i, a in enumerate(results[: len(added)])]
    return [*first, *results[len(added) :]]
