"""``unroll``: a cell over a sequence, with lengths, direction, dropout, taps and a choice of how it is computed."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.argument_checks import as_int32
from rnnjax.cells import Cell, DropoutMasks, ElementwiseCell
from rnnjax.cells.dropout import NO_DROPOUT
from rnnjax.cells.one_hot import OneHot
from rnnjax.core.associative import associative_scan
from rnnjax.core.batch_sharding import divide_alike, vary_alike
from rnnjax.core.fused import fused_scan
from rnnjax.core.pallas.scan import pallas_scan
from rnnjax.core.scan import ScanInputs, map_steps, mask_padding, pad_steps, plain_scan
from rnnjax.core.skipped_padding import scan_valid_chunks, skipping_padding
from rnnjax.core.unroll_arguments import check_unroll
from rnnjax.core.valid_span import valid_span
from rnnjax.dtypes import promoted
from rnnjax.typing import CellState, PyTree

Scan = Callable[[Any, PyTree, ScanInputs, CellState], tuple[CellState, CellState, jax.Array]]


def unroll(
    cell: Cell,
    params: PyTree,
    xs: jax.Array,
    state: Any = None,
    *,
    lengths: jax.Array | None = None,
    resets: jax.Array | None = None,
    reverse: bool = False,
    taps: Any = None,
    backward: Literal["fused", "autodiff"] = "fused",
    dropout: DropoutMasks = NO_DROPOUT,
    store_every: int | None = None,
    backend: Literal["scan", "associative", "pallas"] = "scan",
) -> tuple[Any, Any]:
    """Run ``cell`` over the first axis of ``xs``; like ``lax.scan``, return the final carry first.

    Args:
        cell: any cell.
        params: its parameters.
        xs: (T, ..., D), time-major, any batch shape between, also none.
        state: the state before the first step, each (..., H); None starts from ``cell.initial_state``, zeros unless
            the cell says otherwise.
        lengths: (...) integers in 0..T, the number of valid steps of each example; None means T. Steps past an
            example's end keep its state, so ``final`` is the state after its last valid step. The
            loops of "fused" end with the longest example.
        resets: (T, ...) bool, true at the first step of each episode inside a sequence: no state passes into it from
            the step before, and no gradient back. The step starts from ``cell.initial_state``, and with ``reverse``
            the last step of each episode does. Resets past an example's end are without effect.
        reverse: run from each example's last valid step to its first. ``states[t]`` is the state after reading
            x_end, ..., x_t; past an example's end it is the initial state.
        taps: zeros shaped like ``states``. They are added to the states (the memory before it is read out, a
            separate h after), so the gradient with respect to them is the total ∂L/∂m_t and ∂L/∂h_t of every
            step: exactly zero past an example's end. SimpleRNN and GRU have one tap, ``h``. A gradient
            has the dtype of its tap. Zeros that are created inside a jitted function cost nothing, since XLA
            removes the addition; those that are passed in are read at every step. Taps from
            ``rnnjax.core.taps.norm_taps`` get the norms of these gradients instead, (T, ..., 1), in less memory. Inside
            ``shard_map`` pass taps as a sharded input, or JAX sums their gradient over the devices.
        backward: "fused" is a hand-derived backward pass (reverse mode, first order) of elementwise cells; "autodiff"
            lets JAX differentiate the plain scan, in forward mode and to any order too, as it does for all other
            cells. Both give the same numbers. Directly
            inside ``jvp`` or ``jacfwd``, "fused" is "autodiff"; under ``linearize``, or with a ``jit`` in between,
            forward mode is not seen in time and JAX raises "can't apply forward-mode autodiff (jvp) to a custom_vjp
            function": give ``backward="autodiff"`` there.
        dropout: random numbers from ``cell.dropout_masks``: one mask for all steps for x and for h, one for each step
            for zoneout, and noise (at the step of the same x_t). They are constants. Without its mask, zoneout is
            replaced by its mean.
        store_every: k stores only every k-th state for the backward pass and recomputes the rest, segment by
            segment. With G gates, S state arrays (2 for the LSTM, else 1) and Z = G where the cell reads
            z^x + z^h (SimpleRNN, LSTM), 2G otherwise, the forward pass then keeps (T/k)·B·S·H + k·B·(Z + S)·H
            numbers instead of T·B·(Z + S)·H, at the price of one more forward pass; the minimum is at
            k ≈ √(T·S/(Z + S)) ("fused"; "autodiff" stores more for each step). Not counted: the inputs and, where they
            are used, the returned states and the taps, T·B·(D + S·H + S·H), a byte for each T·B·H of a zoneout mask,
            and as much again for a padded copy where k does not divide T.
        backend: "scan" computes one step after the other; "associative" all steps in parallel, in about 2·log2(T)
            rounds, for cells that are linear in their state (MinGRU, MinLSTM and those that define
            ``linear_coefficients``). Both give the same numbers up to rounding. "associative" needs more operations,
            and with "fused" its backward pass is a second such scan. With ``store_every``, segments of k steps follow
            each other and each is computed in parallel. "pallas" computes all steps of an elementwise cell in one
            kernel, and all steps of the backward pass in another one, with W_h and the state in a TPU's VMEM; elsewhere
            JAX runs the same kernels as ordinary operations, slower than "scan". Compiled, not yet timed on a TPU.
            On one, the first use of each cell and shape compares the two and returns to "scan", with a warning, where
            they differ. All steps are run, also past the longest example. A batch that is divided over devices needs
            ``shard_map(..., check_vma=False)`` or ``pmap``.

    Returns:
        ``final`` and ``states``, the state after the last valid step, arrays (..., H), and that after every step,
        (T, ..., H). ``unroll_with_outputs`` also returns outputs that are not part of the state.

    Raises:
        ValueError: shapes or dtypes that do not fit together, an axis of length 0, lengths out of range (checked
            where they are not traced), an invalid ``backward``, ``store_every`` or ``backend``,
            "associative" for a cell that is not linear in its state, or "pallas" for one that is not elementwise, with
            "autodiff", or where W_h and one step of all examples do not fit into 16 MiB of VMEM.
    """
    final, states, _ = unroll_with_outputs(
        cell, params, xs, state, lengths=lengths, resets=resets, reverse=reverse, taps=taps, backward=backward,
        dropout=dropout, store_every=store_every, backend=backend,
    )  # fmt: skip
    return final, states


def unroll_with_outputs(
    cell: Cell,
    params: PyTree,
    xs: jax.Array | OneHot,
    state: Any = None,
    *,
    lengths: jax.Array | None = None,
    resets: jax.Array | None = None,
    reverse: bool = False,
    taps: Any = None,
    backward: Literal["fused", "autodiff"] = "fused",
    dropout: DropoutMasks = NO_DROPOUT,
    store_every: int | None = None,
    backend: Literal["scan", "associative", "pallas"] = "scan",
) -> tuple[Any, Any, jax.Array]:
    """``unroll`` with the outputs ys (T, ..., F) as a third result, also of one-hot inputs.

    Where the state has a field h, outputs are its values; else past an example's end they are 0. The fused scan of
    ``OneHot`` inputs without dropout looks up rows of W_x, and cannot be differentiated.
    """
    checked_xs = np.broadcast_to(np.float32(0), xs.shape) if isinstance(xs, OneHot) else xs
    check_unroll(cell, params, checked_xs, state, lengths, resets, taps, dropout, backward, store_every, backend)
    steps, batch_shape = xs.shape[0], xs.shape[1:-1]
    initial = cell.initial_state(batch_shape)
    state = initial if state is None else state

    def rows(tree: Any, lead: tuple[int, ...]) -> Any:
        batch_axes = len(lead) + len(batch_shape)
        return jax.tree.map(lambda a: a.reshape(*lead, -1, *a.shape[batch_axes:]), tree)

    span = None if lengths is None else valid_span(as_int32(lengths), steps, reverse)
    mask = (
        None
        if lengths is None
        else jnp.arange(steps, dtype=jnp.int32)[:, None, None] < jnp.reshape(as_int32(lengths), (1, -1, 1))
    )
    reset = None
    if resets is not None:
        starts = jnp.asarray(resets).reshape(steps, -1)
        reset = reset_before(starts, jnp.ones_like(starts) if mask is None else mask[..., 0], reverse)[..., None]
    xs, taps, hold, noise = rows((xs, taps, dropout.hold, dropout.noise), (steps,))
    state, mask_x, mask_h = rows((state, dropout.x, dropout.h), ())
    if isinstance(cell, ElementwiseCell):
        state, taps = jax.tree.map(lambda a: a.astype(cell.state_dtype), (state, taps))
    else:
        state = jax.tree.map(lambda a, one: a.astype(one.dtype), state, initial)
    of_steps, of_examples = divide_alike((xs, mask, taps, hold, noise, reset), (state, mask_x, mask_h))
    (xs, mask, taps, hold, noise, reset), (state, mask_x, mask_h) = of_steps, of_examples
    if mask_x is not None:
        xs = xs.vectors() if isinstance(xs, OneHot) else xs
        xs = xs.astype(promoted(xs.dtype, mask_x.dtype)) * mask_x[None]
    inputs = ScanInputs(xs, mask, taps, hold, noise, reset, mask_h, span)
    if reverse:
        inputs = map_steps(_flip, inputs)

    params, inputs, state = vary_alike((params, inputs, state))
    fused = backward == "fused" and not _in_forward_mode((params, inputs, state))
    scan: Scan = fused_scan if fused and isinstance(cell, ElementwiseCell) else plain_scan
    if backend == "associative":
        scan = partial(associative_scan, fused=fused)
    elif backend == "pallas" and scan is fused_scan:
        scan = pallas_scan
    elif scan is plain_scan and skipping_padding.value:
        scan = scan_valid_chunks
    if isinstance(one_hot := inputs.xs, OneHot):
        inputs = inputs._replace(xs=one_hot.places[..., None] if scan is fused_scan else one_hot.vectors())
    final, states, ys = _scan_segments(scan, cell, params, inputs, state, store_every)
    if reverse:
        states, ys = jax.tree.map(_flip, (states, ys))
    final = jax.tree.map(lambda a: a.reshape(*batch_shape, *a.shape[1:]), final)
    return final, *jax.tree.map(lambda a: a.reshape(steps, *batch_shape, *a.shape[2:]), (states, ys))


def reset_before(resets: jax.Array, valid: jax.Array, reverse: bool) -> jax.Array:
    """Before which steps a scan resets the state, (T, N) bool in the order of the sequence.

    Args:
        resets: (T, N) bool, true at the first step of an episode.
        valid: (T, N) bool, false past an example's end.
        reverse: whether the scan runs from the last step to the first.
    """
    reset = resets & valid
    return jnp.concatenate([reset[1:], jnp.zeros_like(reset[:1])]) if reverse else reset


def _scan_segments(
    scan: Scan, cell: Cell, params: PyTree, inputs: ScanInputs, state: CellState, store_every: int | None
) -> tuple[CellState, CellState, jax.Array]:
    """``scan`` in segments of ``store_every`` steps, each computed again in the backward pass."""
    steps = inputs.xs.shape[0]
    if store_every is None or store_every >= steps:
        return scan(cell, params, inputs, state)
    padded = mask_padding(pad_steps(inputs, store_every), steps)

    @jax.checkpoint
    def segment(state: CellState, steps_of_segment: Any) -> tuple[CellState, Any]:
        xs, mask, taps, hold, noise, reset = steps_of_segment
        of_segment = ScanInputs(xs, mask, taps, hold, noise, reset, inputs.mask_h)
        final, states, ys = scan(cell, params, of_segment, state)
        return final, (states, ys)

    segments = map_steps(lambda a: a.reshape(-1, store_every, *a.shape[1:]), padded)
    final, outputs = jax.lax.scan(segment, state, segments.of_steps)
    states, ys = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:steps], outputs)
    return final, states, ys


def _flip(a: jax.Array) -> jax.Array:
    return a[::-1]


def _in_forward_mode(tree: Any) -> bool:
    """Whether the innermost derivative, ``vmap`` aside, is in forward mode, which a custom backward pass lacks."""

    def is_dual(a: Any) -> bool:
        while type(a).__name__ == "BatchTracer":  # the classes are public in some versions of JAX only
            a = a.val
        return type(a).__name__ == "JVPTracer"

    return any(map(is_dual, jax.tree.leaves(tree)))
