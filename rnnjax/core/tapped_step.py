"""One step of any cell with taps added to its new state, and the state held, where the step makes it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var

from rnnjax.cells import Cell
from rnnjax.cells.params import check_like
from rnnjax.dtypes import promoted
from rnnjax.scans.dependence import OPENED, operands_of, readers, source_of
from rnnjax.scans.equations import CHECKPOINTS, NAMES, bind, inner_programs, is_literal
from rnnjax.typing import CellState, PyTree, Taps

Hold = Callable[[int, jax.Array], tuple[jax.Array, jax.Array]]


class _New(NamedTuple):
    """An array of the new state, and how it differs from what the step makes."""

    place: int  # in the state
    name: str  # as in "new.h of MyCell"
    dtype: jax.typing.DTypeLike
    tap: jax.Array | None
    hold: Hold | None


def step_with_taps(
    cell: Cell, params: PyTree, state: CellState, x_t: jax.Array, noise: PyTree, taps: Taps, hold: Hold | None = None
) -> tuple[CellState, jax.Array]:
    """``cell.step`` with ``taps``, shaped like the state, added to the new state.

    They are added to each array of the new state before anything else in the step reads it, so that the gradient with
    respect to them is the total derivative, also where the output is computed from the new state. The state
    is held there too, so that what the rest of the step reads is the array that the scan carries on. Programs inside
    ``jax.jit``, ``jax.checkpoint`` and ``lax.cond`` are opened for it.

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
        ValueError: the step returns another state than it was given, the state's field h is not the output, or there
            is a tap for an array that is made, and read again, inside of what cannot be opened, as an inner scan.
    """

    def step(params: PyTree, state: CellState, x_t: jax.Array, noise: PyTree) -> tuple[CellState, jax.Array]:
        drawn = {"noise": noise} if cell.is_random else {}
        new, y = cell.step(params, state, x_t, **drawn)
        check_like("the state that step returns", new, state, f"{type(cell).__name__}({cell.features})")
        return new, y

    arguments = params, state, x_t, noise
    program, (_, y) = jax.make_jaxpr(step, return_shape=True)(*arguments)
    _check_output(cell, program, state)
    old, tree = jax.tree.flatten(state)
    added = [None] * len(old) if taps is None else jax.tree.leaves(taps, is_leaf=lambda a: a is None)
    changes: list[list[_New]] = [[] for _ in program.jaxpr.outvars]
    for i, ((path, a), tap) in enumerate(zip(jax.tree.leaves_with_path(state), added, strict=True)):
        if tap is not None or hold is not None or program.jaxpr.outvars[i].aval.dtype != a.dtype:
            name = f"new{jax.tree_util.keystr(path)} of {type(cell).__name__}"
            changes[i] = [_New(i, name, a.dtype, tap, hold)]
    inputs = jax.tree.leaves(arguments)
    results, states = _evaluate(program, inputs, changes, [False] * len(inputs))
    new = [states[i] if i in states else results[i].astype(a.dtype) for i, a in enumerate(old)]
    return jax.tree.unflatten(tree, new), jax.tree.unflatten(jax.tree.structure(y), results[len(old) :])


def _check_output(cell: Cell, program: ClosedJaxpr, state: CellState) -> None:
    """A field h of a state is read as the output, so that it must be the output."""
    if "h" not in getattr(state, "_fields", ()):
        return
    h = program.jaxpr.outvars[len(jax.tree.leaves(state[: state._fields.index("h")]))]
    y = program.jaxpr.outvars[len(jax.tree.leaves(state))]
    if source_of(program.jaxpr, h) is not source_of(program.jaxpr, y):
        raise ValueError(
            f"the field h of {type(cell).__name__}'s state is not the output of step; return new.h as the output, or "
            "give the field another name"
        )


def _evaluate(
    program: ClosedJaxpr, arguments: Sequence[Any], changes: Sequence[Sequence[_New]], made: Sequence[bool]
) -> tuple[list[Any], dict[int, Any]]:
    """Results of a program as the rest of the step reads them, and the arrays of the new state by index.

    Args:
        program: a step, or an inner program of one.
        arguments: its arguments.
        changes: for each result the arrays of the new state that it is. Where two results are the same array, that gets
            what is added to both.
        made: for each argument whether the step makes it. Others, which it may read unchanged, are changed at the end.
    """
    jaxpr = program.jaxpr
    values: dict[Var, Any] = dict(zip(jaxpr.constvars, program.consts, strict=True))
    given = {*jaxpr.constvars, *(v for v, inside in zip(jaxpr.invars, made, strict=True) if not inside)}
    at_end: dict[int, Sequence[_New]] = {}
    news: dict[Var, list[_New]] = {}
    for i, (v, new) in enumerate(zip(jaxpr.outvars, changes, strict=True)):
        source = source_of(jaxpr, v)
        if is_literal(source) or source in given:
            at_end[i] = new
        else:
            news[source] = [*news.get(source, []), *new]
    states: dict[int, Any] = {}

    def changed(a: Any, new: Sequence[_New]) -> Any:
        a, arrays = _change(a, new)
        states.update(arrays)
        return a

    def value(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    values.update({v: changed(a, news.get(v, [])) for v, a in zip(jaxpr.invars, arguments, strict=True)})
    for eqn in jaxpr.eqns:
        inputs = [value(atom) for atom in eqn.invars]
        of_results = [news.get(v, []) for v in eqn.outvars]
        if any(of_results) and eqn.primitive.name in OPENED and not eqn.params.get("branches_platforms"):
            made_here = [not is_literal(atom) and atom not in given for atom in operands_of(eqn)]
            results, arrays = _open(eqn, inputs, of_results, made_here)
            states |= arrays
        else:
            _check_made_alone(jaxpr, eqn, of_results)
            results = [changed(a, new) for a, new in zip(bind(eqn, inputs), of_results, strict=True)]
        values.update(zip(eqn.outvars, results, strict=True))
        if any(of_results):  # other results that are the same array
            values.update({v: values[s] for v in eqn.outvars if (s := source_of(jaxpr, v)) in eqn.outvars})
    return [changed(value(v), at_end.get(i, [])) for i, v in enumerate(jaxpr.outvars)], states


def _change(a: Any, news: Sequence[_New]) -> tuple[Any, dict[int, Any]]:
    """An array that the step makes, as the rest of the step reads it, and the arrays of the new state that it is."""
    if not news:
        return a, {}
    wide = a.dtype if all(new.dtype == a.dtype for new in news) else promoted(a.dtype, *(new.dtype for new in news))
    read = a.astype(wide)
    for new in news:
        read = read if new.tap is None else read + new.tap.astype(wide)
    states = {new.place: read.astype(new.dtype) for new in news}
    for new in news:
        if new.hold is not None:
            states[new.place], of_rest = new.hold(new.place, states[new.place])
            read = of_rest if len(news) == 1 and of_rest.dtype == wide else read
    return read.astype(a.dtype), states


def _open(
    eqn: JaxprEqn, inputs: list[Any], changes: Sequence[Sequence[_New]], made: Sequence[bool]
) -> tuple[list[Any], dict[int, Any]]:
    """``_evaluate`` for the program of an equation, under ``jax.checkpoint`` or ``lax.cond`` where it is one."""
    runs = [lambda arguments, p=p: _evaluate(p, arguments, changes, made) for p in inner_programs(eqn)]
    if eqn.primitive.name == "cond":
        index, *operands = inputs
        results: tuple[list[Any], dict[int, Any]] = jax.lax.switch(index, runs, operands)
        return results
    (run,) = runs
    if eqn.primitive.name in CHECKPOINTS:
        run = jax.checkpoint(run, policy=eqn.params["policy"], prevent_cse=eqn.params["prevent_cse"])
    return run(inputs)


def _check_made_alone(program: Jaxpr, eqn: JaxprEqn, changes: Sequence[Sequence[_New]]) -> None:
    """Raise ValueError where an equation that is not opened makes an array with a tap and reads it again."""
    for k, news in enumerate(changes):
        tapped = next((new for new in news if new.tap is not None), None)
        if tapped is None:
            continue
        if any(source_of(program, eqn.outvars[j]) is not eqn.outvars[k] for j in readers(program, eqn, k)):
            name = eqn.primitive.name
            raise ValueError(
                f"step makes {tapped.name} inside of {NAMES.get(name, f'lax.{name}')} and computes another result from "
                "it there, where no tap can be added to it; compute that result after it, or leave out taps"
            )
