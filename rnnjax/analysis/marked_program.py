"""Evaluates a traced program (jaxpr) again, with the arguments of its recurrent layers as further results.

``nn.layer_marks`` says what a mark is. Arrays may also be added to what a layer reads and returns, so that gradients
with respect to them are those at the layer. ``jax.jit`` and ``jax.checkpoint`` are opened for that; a scan gets further
inputs and outputs, a conditional further outputs, which are zeros for the branches that are not taken.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from rnnjax.cells import Params
from rnnjax.nn.layer_marks import LayerInfo, Mark, mark_p, read_mark
from rnnjax.scans.equations import CALLS, CHECKPOINTS, NAMES, bind, inner_programs, scan_parts
from rnnjax.typing import CellState, PyTree

OPENED = CALLS | CHECKPOINTS  # their program is evaluated in their place


@flax.struct.dataclass
class MarkedCall:
    """What one call of a layer in the program read; in front of all axes are those of scans, then those of vmaps."""

    info: LayerInfo = flax.struct.field(pytree_node=False)
    mapped: tuple[bool, ...] = flax.struct.field(pytree_node=False)  # see ``Mark``
    scanned: int = flax.struct.field(pytree_node=False)  # number of axes of scans
    params: Params
    xs: jax.Array  # (..., T, ..., D)
    lengths: jax.Array
    resets: jax.Array | None
    state: CellState
    final: CellState
    ys: jax.Array  # (..., T, ..., H)
    draws: bool = flax.struct.field(pytree_node=False)  # random numbers, also where only a run can tell


@flax.struct.dataclass
class Perturbation:
    """Arrays added to what a layer reads and returns, of the shapes in ``MarkedCall``."""

    xs: jax.Array
    final: CellState
    ys: jax.Array


def evaluate(
    program: ClosedJaxpr, arguments: Sequence[Any], perturbations: Sequence[Perturbation] | None = None
) -> tuple[list[Any], list[MarkedCall]]:
    """Results of a program, and the calls of recurrent layers in it in order, those of all branches included.

    Args:
        program: from ``jax.make_jaxpr`` under ``layer_marks.marking(CALLS)``.
        arguments: its arguments, flat.
        perturbations: one for each call.

    Raises:
        ValueError: a layer is called inside a transformation that cannot be looked into.
    """
    calls = _Calls(perturbations)
    return _run(program.jaxpr, program.consts, arguments, calls), calls.found


class _Calls:
    """The calls found so far, and the perturbations of all calls."""

    def __init__(self, perturbations: Sequence[Perturbation] | None) -> None:
        self.found: list[MarkedCall] = []
        self.perturbations = perturbations
        self._inputs: Mark | None = None  # of the call whose end was not reached yet

    def following(self, count: int) -> Sequence[Perturbation] | None:
        """The perturbations of the next ``count`` calls."""
        first = len(self.found)
        return None if self.perturbations is None else self.perturbations[first : first + count]

    def read(self, mark: Mark) -> PyTree:
        """What the layer goes on with at a mark."""
        added = None if self.perturbations is None else self.perturbations[len(self.found)]
        if mark.info is not None:
            self._inputs = mark
            xs, taps = mark.passed
            return mark.passed if added is None else (xs + added.xs, taps)
        inputs, self._inputs = self._inputs, None
        if inputs is None or inputs.info is None or len(inputs.mapped) != len(mark.mapped):
            raise ValueError(
                "a recurrent layer is mapped by jax.vmap over something else than its inputs, so that its calls cannot "
                "be told apart; map over inputs, states or parameters, or write the loss without jax.vmap"
            )
        (lengths, resets, state, train), (final, ys), xs = inputs.noted, mark.passed, inputs.passed[0]
        draws = train is not None and (isinstance(train, jax.core.Tracer) or bool(np.any(train)))
        call = MarkedCall(inputs.info, inputs.mapped, 0, inputs.weights, xs, lengths, resets, state, final, ys, draws)
        self.found.append(jax.tree.map(jnp.asarray, call))  # constants of a program may be arrays of NumPy
        return mark.passed if added is None else jax.tree.map(jnp.add, mark.passed, (added.final, added.ys))


def _run(program: Jaxpr, consts: Sequence[Any], arguments: Sequence[Any], calls: _Calls) -> list[Any]:
    values: dict[Any, Any] = dict(zip([*program.constvars, *program.invars], [*consts, *arguments], strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for eqn in program.eqns:
        inputs = [value(atom) for atom in eqn.invars]
        if eqn.primitive is mark_p:
            results = jax.tree.leaves(calls.read(read_mark(inputs, **eqn.params)))
        elif _count(eqn) == 0:
            results = bind(eqn, inputs)
        else:
            with eqn.ctx.manager:
                results = _look_into(eqn, inputs, calls)
        values.update(zip(eqn.outvars, results, strict=True))
    return [value(atom) for atom in program.outvars]


def _look_into(eqn: Any, inputs: list[Any], calls: _Calls) -> list[Any]:
    """Results of an equation with marks in its inner program."""
    name = eqn.primitive.name
    if name in OPENED:
        (inner,) = inner_programs(eqn)
        return _run(inner.jaxpr, inner.consts, inputs, calls)
    if name == "scan":
        return _scan(eqn, inputs, calls)
    if name == "cond":
        return _switch(eqn, inputs, calls)
    layer = next(_layers(eqn))
    raise ValueError(
        f"the layer {layer!r} is called inside {NAMES.get(name, name)}, where its gradient cannot be measured; give "
        "diagnose a loss that computes the same without it"
    )


def _scan(eqn: Any, inputs: list[Any], calls: _Calls) -> list[Any]:
    shared, carry, xs = scan_parts(eqn, inputs)
    carried = len(carry)
    (body,) = inner_programs(eqn)

    def step(carry: list[Any], scanned: Any) -> tuple[list[Any], Any]:
        xs, perturbations = scanned
        results, found = evaluate(body, [*shared, *carry, *xs], perturbations)
        return results[:carried], (results[carried:], found)

    scanned = xs, calls.following(_count(eqn))
    carry, (ys, found) = jax.lax.scan(
        step, carry, scanned, length=eqn.params["length"], reverse=eqn.params["reverse"], unroll=eqn.params["unroll"]
    )
    calls.found += [call.replace(scanned=call.scanned + 1) for call in found]
    return [*carry, *ys]


def _switch(eqn: Any, inputs: list[Any], calls: _Calls) -> list[Any]:
    index, *operands = inputs
    branches = eqn.params["branches"]
    perturbations = calls.following(_count(eqn))
    ends = [sum(map(_count_marks, branches[: k + 1])) for k in range(len(branches))]

    def results_of(k: int) -> Callable[[list[Any], Any], tuple[list[Any], list[MarkedCall]]]:
        first = ends[k - 1] if k else 0

        def run(operands: list[Any], perturbations: Any) -> tuple[list[Any], list[MarkedCall]]:
            return evaluate(branches[k], operands, perturbations and perturbations[first : ends[k]])

        return run

    shapes = [jax.eval_shape(results_of(k), operands, perturbations)[1] for k in range(len(branches))]

    def branch(k: int) -> Callable[[list[Any], Any], tuple[list[Any], list[MarkedCall]]]:
        def run(operands: list[Any], perturbations: Any) -> tuple[list[Any], list[MarkedCall]]:
            results, found = results_of(k)(operands, perturbations)
            not_called = [jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), others) for others in shapes]
            return results, [call for j, others in enumerate(not_called) for call in (found if j == k else others)]

        return run

    results, found = jax.lax.switch(index, [branch(k) for k in range(len(branches))], operands, perturbations)
    calls.found += found
    return results


def _count(eqn: Any) -> int:
    """Number of calls of recurrent layers in the inner programs of an equation."""
    return sum(map(_count_marks, inner_programs(eqn)))


def _count_marks(program: ClosedJaxpr) -> int:
    return sum(eqn.params["info"] is not None if eqn.primitive is mark_p else _count(eqn) for eqn in program.jaxpr.eqns)


def _layers(eqn: Any) -> Iterator[str]:
    """Names of the layers that the inner programs of an equation call."""
    for program in inner_programs(eqn):
        for inner in program.jaxpr.eqns:
            if inner.primitive is not mark_p:
                yield from _layers(inner)
            elif inner.params["info"] is not None:
                yield inner.params["info"].name
