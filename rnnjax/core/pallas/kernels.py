"""The forward loop and the backward loop as Pallas kernels: all T steps in one kernel, W_h and the carry in VMEM.

The grid runs over blocks of K steps, one after the other. While one block is computed, the arrays of the next one are
copied into VMEM and those of the last one out of it. What all blocks share, W_h among it, is copied once. The carry is
an output that is one block in the whole grid: it stays in VMEM, and after the last block it is the result.

The kernels are written over ``cell.advance``, which is traced inside of them, in the backward loop under ``jax.vjp``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells import ElementwiseCell
from rnnjax.core.custom_backward import drop, plus
from rnnjax.typing import CellState, PyTree


class KernelOptions(NamedTuple):
    """How a kernel runs."""

    block: int  # K, steps in a block; it divides T
    interpret: bool  # whether as operations of JAX, which any platform has, instead of as a program for a TPU


class StepArrays(NamedTuple):
    """Arrays with a row for each step; None for what is not used."""

    z_x: jax.Array  # (T, N, G·H)
    taps: CellState | None  # (T, N, H) each
    hold: jax.Array | None  # (T, N, H) int8, 1 for the units that zoneout leaves as they were
    reset: jax.Array | None  # (T, N, 1) int8, 1 for a step that starts from the initial state
    states: CellState | None = None  # (T, N, H) each, for the backward loop
    ct_states: CellState | None = None  # (T, N, H) each, for the backward loop; None for those that nothing depends on


class SharedArrays(NamedTuple):
    """Arrays that all steps read; None for what is not used."""

    w_h: jax.Array | None  # (H, G·H) in the dtype of the product
    b_h: jax.Array | None  # (1, G·H)
    own: PyTree  # of arrays (1, H)
    mask_h: jax.Array | None  # (N, H)
    span: tuple[jax.Array, jax.Array] | None  # (N, 1) int32 each: the first valid step of an example, and its last + 1
    state: CellState  # (N, H) each: before the first step
    initial: CellState | None  # (N, H) each: after a reset
    w_h_transposed: jax.Array | None = None  # (G·H, H), for the backward loop
    ct_final: CellState | None = None  # (N, H) each, for the backward loop


class Gradients(NamedTuple):
    """What the backward loop makes."""

    z_x: jax.Array | None  # (T, N, G·H); None for an additive cell, of which it is that of z_h
    z_h: jax.Array  # (T, N, G·H)
    states: CellState | None  # (T, N, H) each: the total gradients, where there are taps


def run_forward(
    cell: ElementwiseCell, options: KernelOptions, steps: StepArrays, shared: SharedArrays
) -> tuple[CellState, CellState]:
    """The final state (N, H) and the states (T, N, H)."""
    pl, block = _pallas(), options.block

    def kernel(steps: StepArrays, refs: SharedArrays, final: CellState, states: CellState) -> None:
        i = pl.program_id(0)
        pl.when(i == 0)(lambda: _write(final, _read(refs.state)))
        shared, state = _read(refs), _read(final)
        for k in range(block):
            step, valid = _read(steps, k), _valid(shared, i * block + k)
            before = _where(_is_reset(step, state), shared.initial, state)
            z_h = _project(cell, shared, before[0], step.z_x)
            new = _advance(cell, step, step.z_x, z_h, before[-1], step.taps, shared.own)
            state = new if valid is None else _where(valid, new, state)
            _write(states, state, k)
        _write(final, state)

    states = jax.tree.map(lambda a: jax.ShapeDtypeStruct((len(steps.z_x), *a.shape), a.dtype), shared.state)
    final = jax.tree.map(_type, shared.state)
    return _call(kernel, options, lambda i: i, steps, shared, None, final, states)


def run_backward(
    cell: ElementwiseCell, options: KernelOptions, steps: StepArrays, shared: SharedArrays, *, tapped: bool
) -> tuple[tuple[CellState, PyTree], Gradients]:
    """Gradients of the state before the first step (N, H) and of ``own`` (1, H), and those at every step.

    z^h is computed once more, from the states before: that takes less time than to write and to read it.

    Args:
        cell: an elementwise cell.
        options: how to run.
        steps: arrays of each step, with the states of ``run_forward``.
        shared: arrays of all steps.
        tapped: whether the total gradients of the states are wanted.
    """
    pl, block, blocks = _pallas(), options.block, len(steps.z_x) // options.block

    def kernel(steps: StepArrays, refs: SharedArrays, entering: CellState, sums: Any, out: Gradients) -> None:
        i = blocks - 1 - pl.program_id(0)
        after_all = _read(refs.ct_final), jax.tree.map(jnp.zeros_like, _read(refs.own))
        pl.when(i == blocks - 1)(lambda: _write(sums, after_all))
        shared, (carry, d_own) = _read(refs), _read(sums)
        for k in reversed(range(block)):
            step, valid = _read(steps._replace(states=None), k), _valid(shared, i * block + k)
            total = jax.tree.map(plus, carry, step.ct_states)
            zeros = jax.tree.map(jnp.zeros_like, total)
            if k > 0:
                before = _read(steps.states, k - 1)
            else:
                before = jax.tree.map(lambda a, b: jnp.where(i == 0, a, b), shared.state, _read(entering, 0))
            reset = _is_reset(step, carry)
            before = _where(reset, shared.initial, before)

            def advance(z_x: Any, z_h: Any, m: Any, taps: Any, own: Any, step: StepArrays = step) -> CellState:
                return _advance(cell, step, step.z_x if z_x is None else z_x, z_h, m, taps, own)

            z_x, z_h = None if cell.additive else step.z_x, _project(cell, shared, before[0], step.z_x)
            taps = zeros if step.taps is None else step.taps
            _, pull = jax.vjp(advance, z_x, z_h, before[-1], taps, shared.own)
            dz_x, dz_h, dm, totals, d_own_k = pull(total if valid is None else _where(valid, total, zeros))
            _write(out, Gradients(dz_x, dz_h, totals if tapped else None), k)
            dh = jnp.zeros_like(dm)
            if shared.w_h_transposed is not None:
                dh = drop(_dot(cell, dz_h, shared.w_h_transposed), shared.mask_h)
            into = cell.make_state(dh, dm) if cell.has_separate_memory else cell.State(dh + dm)
            into = _where(reset, zeros, into)
            carry = into if valid is None else _where(valid, into, total)
            d_own = jax.tree.map(jnp.add, d_own, d_own_k)
        _write(sums, (carry, d_own))

    like = Gradients(None if cell.additive else steps.z_x, steps.z_x, steps.states if tapped else None)
    sums, out = jax.tree.map(_type, ((shared.state, shared.own), like))
    return _call(kernel, options, lambda i: blocks - 1 - i, steps, shared, steps.states, sums, out)


def _call(
    kernel: Callable[..., None],
    options: KernelOptions,
    order: Callable[[Any], Any],
    steps: StepArrays,
    shared: SharedArrays,
    before: CellState | None,
    out_shared: PyTree,
    out_steps: PyTree,
) -> Any:
    """Run ``kernel(steps, shared, before, out_shared, out_steps)`` block by block; ``before`` is left out where None.

    Args:
        kernel: of references to a block each, in the order of the arguments.
        options: how to run.
        order: the block that is worked on as the i-th.
        steps: arrays (T, N, *), of which a block has K rows.
        shared: arrays that are one block.
        before: arrays (T, N, *), of which a block is the row before its first one, or for the first block its first.
        out_shared: types of outputs that are one block.
        out_steps: types of outputs (T, N, *).
    """
    pl, block = _pallas(), options.block

    def rows_of_block(a: Any) -> Any:
        return pl.BlockSpec((block, *a.shape[1:]), lambda i: (order(i), 0, 0))

    def whole(a: Any) -> Any:
        return pl.BlockSpec(a.shape, lambda i: (0, 0))

    def row_before(a: Any) -> Any:
        return pl.BlockSpec((1, *a.shape[1:]), lambda i: (jnp.maximum(order(i) * block - 1, 0), 0, 0))

    inputs: list[Any] = [steps, shared]
    specs: list[Any] = [jax.tree.map(rows_of_block, steps), jax.tree.map(whole, shared)]
    if before is not None:
        inputs.append(before)
        specs.append(jax.tree.map(row_before, before))
    return pl.pallas_call(
        kernel,
        grid=(len(steps.z_x) // block,),
        in_specs=specs,
        out_specs=(jax.tree.map(whole, out_shared), jax.tree.map(rows_of_block, out_steps)),
        out_shape=(out_shared, out_steps),
        interpret=options.interpret,
    )(*inputs)


def _pallas() -> Any:
    """The module, imported where it is first used, which most programs never do."""
    from jax.experimental import pallas

    return pallas


def _type(a: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(a.shape, a.dtype)


def _read(refs: PyTree, k: int | None = None) -> PyTree:
    """The arrays that references point to, of row ``k`` where given."""
    return jax.tree.map(lambda ref: ref[...] if k is None else ref[k], refs)


def _write(refs: PyTree, arrays: PyTree, k: int | None = None) -> None:
    """Write arrays to where references point to, as row ``k`` where given."""

    def write(ref: Any, a: jax.Array) -> None:
        ref[... if k is None else k] = a

    jax.tree.map(write, refs, arrays)


def _valid(shared: SharedArrays, t: jax.Array) -> jax.Array | None:
    """Which examples have a step t, (N, H)."""
    if shared.span is None:
        return None
    first, stop = (jnp.broadcast_to(a, shared.state[0].shape) for a in shared.span)
    return (first <= t) & (t < stop)


def _is_reset(step: StepArrays, state: CellState) -> jax.Array | None:
    """Which examples start from the initial state, (N, H)."""
    return None if step.reset is None else jnp.broadcast_to(step.reset.astype(jnp.int32), state[0].shape) > 0


def _where(condition: jax.Array | None, chosen: PyTree, other: PyTree) -> PyTree:
    """``chosen`` where ``condition`` (N, H) is true, else ``other``; None stands for false."""
    return other if condition is None else jax.tree.map(lambda a, b: jnp.where(condition, a, b), chosen, other)


def _dot(cell: ElementwiseCell, x: jax.Array, w: jax.Array) -> jax.Array:
    """``cell.project`` with a w that has the dtype of the product already; where that is float32, no coarser one."""
    precision = "default" if w.dtype == jnp.bfloat16 else "highest"
    return jnp.dot(x.astype(w.dtype), w, precision=precision, preferred_element_type=cell.state_dtype)


def _project(cell: ElementwiseCell, shared: SharedArrays, h: jax.Array, z_x: jax.Array) -> jax.Array:
    """z^h (N, G·H) of h_{t-1}, in the shape of z^x."""
    if shared.w_h is None:
        return jnp.zeros_like(z_x)
    z_h = _dot(cell, drop(h, shared.mask_h), shared.w_h)
    return z_h if shared.b_h is None else z_h + shared.b_h


def _advance(
    cell: ElementwiseCell, step: StepArrays, z_x: Any, z_h: Any, m: Any, taps: CellState | None, own: PyTree
) -> CellState:
    """``cell.advance`` with parameters ``own`` of shape (1, H)."""
    more = () if own is None else (jax.tree.map(lambda a: a[0], own),)
    hold = None if step.hold is None else step.hold.astype(jnp.int32) > 0
    return cell.advance(z_x, z_h, m, *more, hold=hold, tap=taps)
