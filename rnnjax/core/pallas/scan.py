"""``pallas_scan``: the recurrence with both loops as Pallas kernels, and the products with x around them.

As in ``rnnjax.core.fused``, x W_x is computed for all steps before the loop, and the gradients of the parameters after
the backward loop. What is kept for it are x W_x and the states.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.cells import ElementwiseCell, Params
from rnnjax.core.compilers import OTHERS
from rnnjax.core.custom_backward import Loops, StepCounts, drop, scan_with_backward, without_norm_taps
from rnnjax.core.fused import fused_scan
from rnnjax.core.pallas.first_use import agree, has_tpu
from rnnjax.core.pallas.kernels import KernelOptions, SharedArrays, StepArrays, run_backward, run_forward
from rnnjax.core.pallas.vmem import product_dtype, steps_of_block
from rnnjax.core.parameter_gradients import parameter_gradients
from rnnjax.core.scan import ScanInputs, initial_like, keep_valid, mask_padding, pad_steps, where
from rnnjax.core.taps import gradient_norms, has_norm_taps
from rnnjax.typing import CellState, PyTree, Taps


def pallas_scan(
    cell: ElementwiseCell, params: Params, inputs: ScanInputs, state: CellState
) -> tuple[CellState, CellState, jax.Array]:
    """``plain_scan`` in one kernel for all steps, and one for all steps of the backward pass.

    On a TPU where that gives other numbers than ``fused_scan``, it is ``fused_scan``.
    """
    if has_tpu() and not agree(_kernel_scan, fused_scan, cell, params, inputs, state):
        return fused_scan(cell, params, inputs, state)
    return _kernel_scan(cell, params, inputs, state)


def _kernel_scan(
    cell: ElementwiseCell, params: Params, inputs: ScanInputs, state: CellState
) -> tuple[CellState, CellState, jax.Array]:
    steps, rows = inputs.xs.shape[:2]
    block = steps_of_block(cell, steps, rows)
    loops = Loops(_forward_of_platform, _backward_of_platform)
    final, states = scan_with_backward(loops, cell, StepCounts(steps, block), params, pad_steps(inputs, block), state)
    states = jax.tree.map(lambda a: a[:steps], states)
    return final, states, states[0]


def _forward_of_platform(cell: ElementwiseCell, counts: StepCounts, *arguments: PyTree) -> Any:
    return _of_platform(partial(_forward, cell, counts), *arguments)


def _backward_of_platform(cell: ElementwiseCell, counts: StepCounts, *arguments: PyTree) -> Any:
    return _of_platform(partial(_backward, cell, counts), *arguments)


def _of_platform(function: Any, *arguments: PyTree) -> Any:
    """``function(interpret, *arguments)``, with kernels where the program is lowered for a TPU."""
    return jax.lax.platform_dependent(*arguments, tpu=partial(function, False), default=partial(function, True))


@partial(jax.jit, static_argnums=(0, 1, 2))  # traced once for all programs of these shapes
def _forward(
    cell: ElementwiseCell, counts: StepCounts, interpret: bool, params: Params, inputs: ScanInputs, state: CellState
) -> tuple[CellState, CellState, tuple[jax.Array, CellState]]:
    """Final state, states (T, N, H), and what the backward pass reads besides: z^x, and the state before all steps."""
    inputs = mask_padding(inputs, counts.steps)
    z_x = cell.project(keep_valid(inputs.mask, inputs.xs), params.w_x, params.b)
    z_x = z_x if inputs.noise is None else z_x + inputs.noise
    options = KernelOptions(counts.chunk, interpret)
    final, states = run_forward(cell, options, *_arrays(cell, interpret, params, inputs, state, z_x))
    return final, states, (z_x, state)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _backward(
    cell: ElementwiseCell,
    counts: StepCounts,
    interpret: bool,
    params: Params,
    inputs: ScanInputs,
    states: CellState,
    kept: tuple[jax.Array, CellState],
    ct_final: CellState,
    ct_states: CellState,
) -> tuple[Params, jax.Array, CellState, Taps]:
    """Gradients of the parameters, of xs, of the state before the first step, and of the taps."""
    inputs = mask_padding(inputs, counts.steps)
    z_x, state = kept
    tapped, for_norms = inputs.taps is not None, has_norm_taps(inputs.taps)
    steps, shared = _arrays(cell, interpret, params, without_norm_taps(inputs), state, z_x)
    steps = steps._replace(states=states, ct_states=ct_states)
    w_h_transposed = None if shared.w_h is None else shared.w_h.T
    shared = shared._replace(w_h_transposed=w_h_transposed, ct_final=ct_final)
    options = KernelOptions(counts.chunk, interpret)
    (d_state, d_own), (dz_x, dz_h, totals) = run_backward(cell, options, steps, shared, tapped=tapped)

    xs = keep_valid(inputs.mask, inputs.xs)
    before = jnp.concatenate([state[0][None], states[0][:-1]])
    before = where(inputs.reset, None if shared.initial is None else shared.initial[0], before)
    d_params = parameter_gradients(cell, OTHERS, params, xs, drop(before, inputs.mask_h), dz_x, dz_h)
    d_own = None if d_own is None else jax.tree.map(lambda a, like: a[0].astype(like.dtype), d_own, params.own)
    (d_xs,) = jax.vjp(lambda xs: cell.project(xs, params.w_x, None), xs)[1](dz_h if dz_x is None else dz_x)
    return d_params._replace(own=d_own), d_xs, d_state, gradient_norms(totals) if for_norms else totals


def _arrays(
    cell: ElementwiseCell, interpret: bool, params: Params, inputs: ScanInputs, state: CellState, z_x: jax.Array
) -> tuple[StepArrays, SharedArrays]:
    """What the kernels read."""
    product = (cell.dtype or cell.param_dtype) if interpret else product_dtype(cell)

    def row(a: jax.Array) -> jax.Array:
        return a.astype(cell.state_dtype)[None]

    def bytes_of(a: jax.Array | None) -> jax.Array | None:
        return None if a is None else a.astype(jnp.int8)

    w_h = None if params.w_h is None else params.w_h.astype(product)
    b_h = None if params.b_h is None else row(params.b_h)
    span = None
    if inputs.mask is not None:
        t = jnp.arange(len(inputs.mask), dtype=jnp.int32)[:, None, None]
        first = jnp.where(inputs.mask, t, len(t)).min(axis=0)
        span = first, first + inputs.mask.sum(axis=0, dtype=jnp.int32)
    initial = None if inputs.reset is None else initial_like(cell, state)
    own = jax.tree.map(row, params.own)
    steps = StepArrays(z_x, inputs.taps, bytes_of(inputs.hold), bytes_of(inputs.reset))
    return steps, SharedArrays(w_h, b_h, own, inputs.mask_h, span, state, initial)
