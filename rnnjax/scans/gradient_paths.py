"""The gradient at each step of any scan, split by the paths that it took: direct, belt and detour.

A path of the gradient from a state to the loss is *direct* where it leaves the scan at the same step, through an output
or as the final state, or into an array of the carry that only collects what steps compute, such as a running loss. It
is of the *belt* where it goes on to later steps and meets no matrix product or convolution there before it leaves, and
of the *detour* where it meets one. For a cell that is elementwise but for its recurrent kernels that is the split of
``diagnostics.paths``, without its equations:

    total_t = direct_t + belt_t + detour_t

Each value of the body is computed twice for it: as it is, and with no gradient to the carry that came in. Products read
the second version, so that what remains of the gradient with respect to the incoming carry has met none. A product that
only reads the new carry on its way to the output, as the peephole of an output gate does, belongs to the direct part. A
conditional, a loop or
another function with a derivative of its own counts as one product if a product is inside.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, JaxprEqn, Var

from rnnjax.scans.calls import Arrays, ScanRun
from rnnjax.scans.carries import collecting
from rnnjax.scans.equations import CALLS, CHECKPOINTS, bind, inner_programs, is_differentiable, is_literal

PRODUCTS = {"dot_general", "conv_general_dilated", "ragged_dot", "ragged_dot_general"}
Pair = tuple[Any, Any]  # a value as it is, and with no gradient to the incoming carry


class ScanPaths(NamedTuple):
    """Parts of ∂L/∂carry_t for each differentiable array of the carry, (T, ...), in the order of the steps."""

    direct: Arrays
    belt: Arrays
    detour: Arrays
    incoming: Arrays  # (T, ...): the gradient of the steps from t on with respect to the carry before step t
    collected: Arrays  # (T, ...): the gradient of what a step adds to an array that only collects; None for others

    @property
    def total(self) -> Arrays:
        """∂L/∂carry_t, the gradient with respect to the taps of ``rnnjax.observe``."""
        return [a + b + c for a, b, c in zip(self.direct, self.belt, self.detour, strict=True)]


class Pullback(NamedTuple):
    """Gradients at one step: with respect to the carry that comes in, and to the carry where it is made."""

    incoming: Arrays
    made: Arrays


def states(run: ScanRun) -> tuple[int, ...]:
    """Which arrays of the carry are differentiable."""
    return tuple(i for i, a in enumerate(run.carry) if is_differentiable(a))


def pull(run: ScanRun, carry: Arrays, xs_t: Arrays, ct_carry: Arrays, ct_ys: Arrays, *, belt: bool = False) -> Pullback:
    """Gradients at the new carry and at the outputs of a step, pulled back through it.

    Args:
        run: the scan.
        carry: before the step.
        xs_t: inputs of the step.
        ct_carry: of each differentiable array of the carry.
        ct_ys: of each differentiable output.
        belt: only along paths that meet no product.
    """
    which = states(run)

    def step(incoming: Arrays, taps: Arrays) -> Arrays:
        full = list(carry)
        added: list[Any] = [None] * len(carry)
        for i, a, tap in zip(which, incoming, taps, strict=True):
            full[i], added[i] = a, tap
        if belt:
            stopped = [jax.lax.stop_gradient(a) for a in full]
            pairs = [(a, a) for a in run.consts] + list(zip(full, stopped, strict=True)) + [(x, x) for x in xs_t]
            results = [a for a, _ in _pairs(run.body, pairs, added)]
        else:
            new, ys = run.step(full, xs_t, added)
            results = [*new, *ys]
        return [a for a in results if is_differentiable(a)]

    incoming = [carry[i] for i in which]
    _, vjp = jax.vjp(step, incoming, [jnp.zeros_like(a) for a in incoming])
    return Pullback(*vjp([*ct_carry, *ct_ys]))


def gradient_paths(run: ScanRun) -> ScanPaths:
    """Direct, belt and detour of ∂L/∂carry_t at every step, in one pass back through the steps."""
    which = states(run)
    last, collected = run.length - 1, _collected(run)
    ct_final = [ct for ct in run.ct_final if ct is not None]
    ct_ys = [ct for ct in run.ct_ys if ct is not None]

    def step(later: tuple[Arrays, Arrays], inputs: Any) -> tuple[tuple[Arrays, Arrays], ScanPaths]:
        t, carry, xs_t, ct_ys_t, collected_t = inputs
        from_later, from_belt = later  # at the new carry
        at_end = leaving(ct_final, t == last, collected_t)
        zeros = [jnp.zeros_like(ct) for ct in ct_ys_t]
        arriving = _stack((at_end, ct_ys_t), (from_later, zeros), (from_belt, zeros))
        pulled = jax.vmap(lambda ct: pull(run, carry, xs_t, *ct))(arriving)
        direct, of_later, belt = ([a[i] for a in pulled.made] for i in range(3))
        incoming = without_collecting([a[0] + a[1] for a in pulled.incoming], collected)
        reached_by_belt = [a + b for a, b in zip(from_belt, at_end, strict=True)]
        along_belt = pull(run, carry, xs_t, reached_by_belt, ct_ys_t, belt=True)
        detour = [a - b for a, b in zip(of_later, belt, strict=True)]
        next_belt = without_collecting(along_belt.incoming, collected)
        return (incoming, next_belt), ScanPaths(direct, belt, detour, incoming, [None] * len(which))

    nothing = [jnp.zeros_like(run.carry[i]) for i in which]
    start = nothing, nothing
    paths: ScanPaths
    steps = jnp.arange(run.length, dtype=jnp.int32), run.carries(), run.xs, ct_ys, collected
    _, paths = jax.lax.scan(step, start, steps, reverse=True)
    return paths._replace(collected=collected)


def leaving(ct_final: Arrays, is_last: Any, collected_t: Arrays) -> Arrays:
    """The gradient at the new carry of a step that goes no further into the scan."""
    return [jnp.where(is_last, ct, 0) if own is None else own for ct, own in zip(ct_final, collected_t, strict=True)]


def without_collecting(incoming: Arrays, collected: Arrays) -> Arrays:
    """The gradient at the carry before a step, 0 for the arrays that only collect."""
    pairs = zip(incoming, collected, strict=True)
    return [a if of_steps is None else jnp.zeros_like(a) for a, of_steps in pairs]


def _collected(run: ScanRun) -> Arrays:
    """Field ``collected`` of ``ScanPaths``: the total gradient of the arrays that only collect."""
    which = states(run)
    collects = collecting(run.body, len(run.consts), len(run.carry), run.length)
    if not any(collects[i] for i in which):
        return [None] * len(which)
    ct_ys = [ct for ct in run.ct_ys if ct is not None]

    def step(later: Arrays, inputs: Any) -> tuple[Arrays, Arrays]:
        carry, xs_t, ct_ys_t = inputs
        pulled = pull(run, carry, xs_t, later, ct_ys_t)
        return pulled.incoming, [a if collects[i] else None for i, a in zip(which, pulled.made, strict=True)]

    ct_final = [ct for ct in run.ct_final if ct is not None]
    collected: Arrays
    _, collected = jax.lax.scan(step, ct_final, (run.carries(), run.xs, ct_ys), reverse=True)
    return collected


def _stack(*trees: Any) -> Any:
    """Trees of arrays as one tree of arrays with an axis in front."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *trees)


def _pairs(program: ClosedJaxpr, arguments: Sequence[Pair], added: Sequence[Any]) -> list[Pair]:
    """Both versions of the results of a program; ``added`` is added to results where they are made."""
    jaxpr = program.jaxpr
    values: dict[Var, Pair] = dict(zip(jaxpr.constvars, ((c, c) for c in program.consts), strict=True))
    values |= zip(jaxpr.invars, arguments, strict=True)
    made = {
        v: tap
        for v, tap in zip(jaxpr.outvars, added, strict=False)
        if tap is not None and not is_literal(v) and v not in values
    }

    def pair(atom: Any) -> Pair:
        return (atom.val, atom.val) if is_literal(atom) else values[atom]

    for eqn in jaxpr.eqns:
        inputs, taps = [pair(atom) for atom in eqn.invars], [made.get(v) for v in eqn.outvars]
        if eqn.primitive.name in (*CALLS, *CHECKPOINTS):
            (inner,) = inner_programs(eqn)
            results = _pairs(inner, inputs, taps)
        else:
            second = bind(eqn, [b for _, b in inputs])
            same = _has_product(eqn) or all(a is b for a, b in inputs)
            first = second if same else bind(eqn, [a for a, _ in inputs])
            results = [(a, b) if tap is None else _one(a + tap) for a, b, tap in zip(first, second, taps, strict=True)]
        values.update(zip(eqn.outvars, results, strict=True))
    at_exit = [*added, *[None] * (len(jaxpr.outvars) - len(added))]
    return [  # a carry that is passed on as it came was not made at this step
        (a + tap, b + tap) if tap is not None and (is_literal(v) or v not in made) else (a, b)
        for v, (a, b), tap in zip(jaxpr.outvars, map(pair, jaxpr.outvars), at_exit, strict=True)
    ]


def _one(a: Any) -> Pair:
    return a, a


def _has_product(eqn: JaxprEqn) -> bool:
    """Whether an equation is a product, or has one inside."""
    if eqn.primitive.name in PRODUCTS:
        return True
    return any(_has_product(inner) for program in inner_programs(eqn) for inner in program.jaxpr.eqns)
