"""``unroll``: a cell over a sequence, with lengths, direction, dropout, taps and a choice of backward pass."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import as_int32, check_floats, check_lengths, check_shape, describe, is_integer
from rnnjax.cells import Cell, DropoutMasks, Params
from rnnjax.cells.validation import check_params, check_state
from rnnjax.core.batch_sharding import divide_alike, vary_alike
from rnnjax.core.fused import fused_scan
from rnnjax.core.scan import ScanInputs, map_steps, mask_padding, pad_steps, plain_scan
from rnnjax.core.taps import has_norm_taps, tap_arrays
from rnnjax.typing import CellState

SCANS = {"fused": fused_scan, "autodiff": plain_scan}


def unroll(
    cell: Cell,
    params: Params,
    xs: jax.Array,
    state: Any = None,
    *,
    lengths: jax.Array | None = None,
    reverse: bool = False,
    taps: Any = None,
    backward: Literal["fused", "autodiff"] = "fused",
    dropout: DropoutMasks = DropoutMasks(None, None),
    store_every: int | None = None,
) -> tuple[Any, Any]:
    """Run ``cell`` over the first axis of ``xs``; like ``lax.scan``, return the final carry first.

    Args:
        cell: any cell of ``rnnjax.cells``.
        params: its parameters.
        xs: (T, ..., D), time-major, any batch shape between, also none.
        state: the state before the first step, each (..., H); None starts from zeros.
        lengths: (...) integers in 0..T, the number of valid steps of each example; None means T. Steps past an
            example's end keep its state, so ``final`` is the state after its last valid step.
        reverse: run from each example's last valid step to its first. ``states[t]`` is the state after reading
            x_end, ..., x_t; past an example's end it is the initial state.
        taps: zeros shaped like ``states``. They are added to the states (the memory before it is read out, a
            separate h after), so the gradient with respect to them is the total ∂L/∂m_t and ∂L/∂h_t of every
            step: exactly zero past an example's end. SimpleRNN and GRU have one tap, ``h``. A gradient
            has the dtype of its tap. Taps from
            ``rnnjax.core.taps.norm_taps`` get the norms of these gradients instead, (T, ..., 1), in less memory. Inside
            ``shard_map`` pass taps as a sharded input, or JAX sums their gradient over the devices.
        backward: "fused" is a hand-derived backward pass (reverse mode, first order); "autodiff" lets JAX
            differentiate the plain scan, in forward mode and to any order too. Both give the same numbers. Directly
            inside ``jvp`` or ``jacfwd``, "fused" is "autodiff"; in ``linearize``, or with a ``jit`` between the two,
            JAX cannot tell in time and says "can't apply forward-mode autodiff (jvp) to a custom_vjp function": give
            ``backward="autodiff"`` there.
        dropout: masks from ``cell.dropout_masks``: one for all steps for x and for h, one for each step for zoneout
            (at the step of the same x_t). They are constants. Without its mask, zoneout is replaced by its mean.
        store_every: k stores only every k-th state for the backward pass and recomputes the rest, segment by
            segment. With G gates, S state arrays (2 for the LSTM, else 1) and Z = G where the cell reads
            z^x + z^h (SimpleRNN, LSTM), 2G otherwise, the forward pass then keeps (T/k)·B·S·H + k·B·(Z + S)·H
            numbers instead of T·B·(Z + S)·H, at the price of one more forward pass; the minimum is at
            k ≈ √(T·S/(Z + S)) ("fused"; "autodiff" stores more for each step). Not counted: the inputs and, where they
            are used, the returned states and the taps, T·B·(D + S·H + S·H), a byte for each T·B·H of a zoneout mask,
            and as much again for a padded copy where k does not divide T.

    Returns:
        ``final`` and ``states``, a ``cell.State`` of (..., H) and one of (T, ..., H).

    Raises:
        ValueError: shapes or dtypes that do not fit together, an axis of length 0, lengths out of range (checked
            where they are not traced), or an invalid ``backward`` or ``store_every``.
    """
    _check(cell, params, xs, state, lengths, taps, dropout, backward, store_every)
    steps, batch_shape, features = xs.shape[0], xs.shape[1:-1], cell.features
    if state is None:
        state = cell.initial_state(batch_shape)

    def rows(tree: Any, lead: tuple[int, ...]) -> Any:
        return jax.tree.map(lambda a: a.reshape(*lead, -1, a.shape[-1]), tree)

    xs, taps, hold = rows((xs, taps, dropout.hold), (steps,))
    state, mask_x, mask_h = rows((state, dropout.x, dropout.h), ())
    state, taps = jax.tree.map(lambda a: a.astype(cell.state_dtype), (state, taps))
    mask = None
    if lengths is not None:
        mask = jnp.arange(steps)[:, None, None] < jnp.reshape(as_int32(lengths), (1, -1, 1))
    (xs, mask, taps, hold), (state, mask_x, mask_h) = divide_alike((xs, mask, taps, hold), (state, mask_x, mask_h))
    if mask_x is not None:
        xs = xs * mask_x[None]
    if mask is not None:
        xs = jnp.where(mask, xs, 0)  # or NaN in the padding would reach the weights as 0·NaN
    if reverse:
        xs, taps, mask, hold = _flip((xs, taps, mask, hold))

    params, inputs, state = vary_alike((params, ScanInputs(xs, mask, taps, hold, mask_h), state))
    scan = SCANS["autodiff" if _in_forward_mode((params, inputs, state)) else backward]
    final, states = _scan_segments(scan, cell, params, inputs, state, store_every)
    if reverse:
        states = _flip(states)
    final = jax.tree.map(lambda a: a.reshape(*batch_shape, features), final)
    return final, jax.tree.map(lambda a: a.reshape(steps, *batch_shape, features), states)


def _scan_segments(
    scan: Callable[..., tuple[CellState, CellState]],
    cell: Cell,
    params: Params,
    inputs: ScanInputs,
    state: CellState,
    store_every: int | None,
) -> tuple[CellState, CellState]:
    """``scan`` in segments of ``store_every`` steps, each computed again in the backward pass."""
    steps = inputs.xs.shape[0]
    if store_every is None or store_every >= steps:
        return scan(cell, params, inputs, state)
    padded = mask_padding(pad_steps(inputs, store_every), steps)

    @jax.checkpoint
    def segment(state: CellState, steps_of_segment: Any) -> tuple[CellState, CellState]:
        xs, mask, taps, hold = steps_of_segment
        return scan(cell, params, ScanInputs(xs, mask, taps, hold, inputs.mask_h), state)

    segments = map_steps(lambda a: a.reshape(-1, store_every, *a.shape[1:]), padded)
    final, states = jax.lax.scan(segment, state, segments[:4])
    return final, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:steps], states)


def _flip(tree: Any) -> Any:
    return jax.tree.map(lambda a: a[::-1], tree)


def _in_forward_mode(tree: Any) -> bool:
    """Whether the innermost derivative, ``vmap`` aside, is in forward mode, which a custom backward pass lacks."""

    def is_dual(a: Any) -> bool:
        while type(a).__name__ == "BatchTracer":  # the classes are public in some versions of JAX only
            a = a.val
        return type(a).__name__ == "JVPTracer"

    return any(map(is_dual, jax.tree.leaves(tree)))


def check_cell(cell: Any) -> None:
    """Raise ValueError unless ``cell`` is a cell; a class or a name is not."""
    if not isinstance(cell, Cell):
        raise ValueError(f"cell must be a cell such as rnnjax.LSTM(128), got {describe(cell)}")


def _check(
    cell: Cell,
    params: Params,
    xs: Any,
    state: Any,
    lengths: Any,
    taps: Any,
    dropout: DropoutMasks,
    backward: str,
    store_every: Any,
) -> None:
    """Raise ValueError unless all arguments fit together, before anything is compiled."""
    if backward not in SCANS:
        raise ValueError(f"backward must be one of {', '.join(SCANS)}, got {backward!r}")
    if store_every is not None and not (is_integer(store_every) and store_every >= 1):
        raise ValueError(f"store_every must be a positive number of steps, got {store_every!r}")
    check_cell(cell)
    check_floats("xs", xs, "(T, ..., D)")
    check_params(cell, params, xs.shape[-1])
    batch_shape = xs.shape[1:-1]
    check_lengths(lengths, batch_shape, xs.shape[0])
    if not isinstance(dropout, DropoutMasks):
        raise ValueError(f"dropout must be what {type(cell).__name__}.dropout_masks gives, got {describe(dropout)}")
    for name, mask, shape in (
        ("x", dropout.x, (*batch_shape, xs.shape[-1])),
        ("h", dropout.h, (*batch_shape, cell.features)),
        ("hold", dropout.hold, (*xs.shape[:-1], cell.features)),
    ):
        if mask is not None:
            check_shape(f"dropout.{name}", mask, shape)
    if state is not None:
        check_state(cell, "state", state, (*batch_shape, cell.features))
    if taps is not None:
        numbers = 1 if has_norm_taps(taps) else cell.features
        arrays = tap_arrays(taps)
        check_state(cell, "taps", arrays, (*xs.shape[:-1], numbers))
        for field, a in arrays._asdict().items():
            if not jnp.issubdtype(a.dtype, jnp.floating):
                raise ValueError(f"taps.{field} must hold floating-point numbers, got {describe(a)}")
