"""Cells of Flax in the scans of a program, recognised by their function and by what it computes.

A scan is one of a cell if the equations that make its new carry were traced in the step of that class of Flax, and are
those of the step, operand by operand: of the carry that comes in, of inputs that do not depend on it, and of
parameters that are the same at all steps. A subclass with a step of its own, a cell with other activations, and a step
that changes the carry otherwise before or after the cell are not recognised. A step may begin anew where an episode
does: with another carry than the one before, in all units of an example.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells import ElementwiseCell, Params
from rnnjax.scans.calls import Arrays, ScanCall, ScanRun
from rnnjax.scans.equations import is_traced_at
from rnnjax.scans.expressions import Expression, compute, expressions, match, reads_around

if TYPE_CHECKING:
    from rnnjax.interop.flax_steps import FlaxStep


class Reset(NamedTuple):
    """Where a step begins with another carry than the one before."""

    condition: Expression  # (*batch, H), the same for all H
    value: bool  # that it has there


class AtSteps(NamedTuple):
    """What a cell reads and makes at every step of a run."""

    xs: jax.Array  # (T, *batch, D)
    before: Arrays  # (T, *batch, H), the carry that the cell reads, after a reset
    after: Arrays
    reset: jax.Array | None  # (T, *batch) bool, the steps that begin with another carry than the one before


class KnownCell(NamedTuple):
    """A cell of Flax in the body of a scan."""

    step: "FlaxStep"
    params: dict[str, Expression]  # by the names of ``step.trace``
    inputs: Expression  # x_t, (*batch, D)
    carry: list[Expression]  # that the cell reads
    reset: Reset | None
    states: Sequence[int]  # the arrays of the scan's carry that are the cell's, by index

    @property
    def name(self) -> str:
        """The class of Flax."""
        return str(self.step.module.__name__)

    def cell(self, run: ScanRun) -> tuple[ElementwiseCell, Params]:
        """The cell of rnnjax with the same equations, and its parameters."""
        arguments = [*run.consts, *[None] * (len(run.carry) + len(run.xs))]  # parameters read constants alone
        arrays = compute(list(self.params.values()), arguments)
        return self.step.convert(dict(zip(self.params, arrays, strict=True)))

    def at_steps(self, run: ScanRun) -> AtSteps:
        """What the cell reads and makes at every step of a run."""
        wanted = [self.inputs, *self.carry, *([] if self.reset is None else [self.reset.condition])]

        def at_step(carry: list[Any], xs_t: list[Any]) -> list[Any]:
            return compute(wanted, [*run.consts, *carry, *xs_t])

        carries = run.carries()
        xs, *rest = jax.vmap(at_step, axis_size=run.length)(carries, run.xs)
        reset = None if self.reset is None else rest.pop()[..., 0] == self.reset.value
        last, _ = run.step(*jax.tree.map(lambda a: a[-1], (carries, run.xs)))
        after = [jnp.concatenate([carries[i][1:], last[i][None]]) for i in self.states]
        return AtSteps(xs, rest, after, reset)


def known_cell(call: ScanCall, states: Sequence[int]) -> KnownCell | None:
    """The cell of Flax whose carry are the ``states`` of a scan's carry, by index; None where there is none."""
    consts, carried = len(call.arrays[0]), len(call.arrays[1])
    arguments, results = expressions(call.body)
    new, read = [results[i] for i in states], frozenset(consts + i for i in states)
    others = [result for i, result in enumerate(results[:carried]) if i not in states]
    if any(a.reads & read for a in others) or any(reads_around(y, read, new) for y in results[carried:]):
        return None
    before = [arguments[consts + i] for i in states]
    from rnnjax.interop.flax_steps import STEPS  # loads flax.nnx, which takes 0.2 s and training does not need

    for step in STEPS:
        if step.carried != len(states) or not all(a.eqn is not None and is_traced_at(a.eqn, *step.place) for a in new):
            continue
        for mapped in range(before[0].aval.ndim):
            found = _match(step, mapped, before, new)
            if found is None:
                continue
            same = all(a.reads <= call.shared_consts for a in found.params.values())
            if same and not found.inputs.reads & read:
                return found._replace(states=states)
    return None


def _match(step: "FlaxStep", mapped: int, before: list[Expression], new: list[Expression]) -> KnownCell | None:
    """The parameters and inputs with which a step makes the new carry of the one before."""
    aval = before[0].aval
    program, names = step.trace(aval.shape[:-1], aval.shape[-1], aval.dtype, mapped)
    arguments, results = expressions(program)
    *params, inputs = arguments[: len(names)] + arguments[-1:]
    bound: dict[Expression, Expression] = {}
    if not all(match(a, b, bound) for a, b in zip(results, new, strict=True)):
        return None
    x, carry = bound[inputs], [bound[a] for a in arguments[len(names) : -1]]
    for name, of_step in zip(names, params, strict=True):
        shape = of_step.aval.shape
        if name.endswith("kernel") and name.split("/")[0] in step.layers.x:
            shape = (x.aval.shape[-1], *shape[1:])
        if bound[of_step].aval.shape != shape:
            return None
    resets = [_reset(a, b) for a, b in zip(carry, before, strict=True) if a is not b]
    if resets and (len(resets) < len(carry) or None in resets or not all(_same(a, resets[0]) for a in resets)):
        return None
    if x.aval.shape[:-1] != aval.shape[:-1]:
        return None
    found = {name: bound[a] for name, a in zip(names, params, strict=True)}
    return KnownCell(step, found, x, carry, resets[0] if resets else None, ())


def _reset(carry: Expression, before: Expression) -> Reset | None:
    """The reset that makes the carry that a cell reads of the one before; None where it is something else."""
    if carry.eqn is None or carry.eqn.primitive.name != "select_n" or len(carry.operands) != 3:
        return None
    condition, *choices = carry.operands
    kept = [i for i, a in enumerate(choices) if a is before]
    if len(kept) != 1 or (choices[1 - kept[0]].reads | condition.reads) & before.reads or condition.eqn is None:
        return None
    if condition.eqn.primitive.name != "broadcast_in_dim":
        return None
    last, dimensions = before.aval.ndim - 1, list(condition.eqn.params["broadcast_dimensions"])
    if last in dimensions and condition.operands[0].aval.shape[dimensions.index(last)] != 1:
        return None  # it differs between units
    return Reset(condition, kept[0] == 0)


def _same(a: Reset | None, b: Reset | None) -> bool:
    """Whether two resets are of the same steps."""
    if a is None or b is None or a.value != b.value:
        return False
    bound: dict[Expression, Expression] = {}
    return match(a.condition, b.condition, bound) and all(x is y for x, y in bound.items())
