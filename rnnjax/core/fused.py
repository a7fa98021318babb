"""The recurrence with a backward pass of its own, which gives the gradient at every step as well.

With U_k = ∂m_t/∂z^h_k, f = ∂m_t/∂m_{t-1}, r = ∂h_t/∂m_t and O_k = ∂h_t/∂z^h_k, and ct the gradient of the loss with
respect to the returned states, the states from the last to the first have the total gradients

    dh_t  = ct_h[t] + Σ_k dz^h_{k,t+1} W_hkᵀ           total ∂L/∂h_t
    dm_t  = ct_m[t] + r_t·dh_t + f_{t+1}·dm_{t+1}       total ∂L/∂m_t
    dz_t  = U_t·dm_t + O_t·dh_t                         of z^h, and likewise of z^x

and the parameters' gradients are products over all steps, after the loop instead of inside it:

    dW_x = Σ_t x_tᵀ dz^x_t      dW_h = Σ_t h_{t-1}ᵀ dz^h_t      db = Σ_t dz^x_t      dx_t = dz^x_t W_xᵀ

(docs/mathematics.md, equations 12 and 19 to 24). The partials are never formed: ``cell.advance`` is pulled back inside
the loop. The totals leave as the gradient with respect to ``taps``.

Reverse mode only, once. The forward pass keeps z and the states, T·N·((G or 2·G) + states)·H numbers.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells import ElementwiseCell, Params
from rnnjax.cells.elementwise import own_argument
from rnnjax.core.chunks import scan_chunks
from rnnjax.core.compilers import Compiler, chunk_length, for_platform
from rnnjax.core.custom_backward import Loops, StepCounts, drop, plus, scan_with_backward, without_norm_taps
from rnnjax.core.parameter_gradients import parameter_gradients
from rnnjax.core.scan import ScanInputs, initial_like, keep_past_end, keep_valid, pad_steps, where
from rnnjax.core.taps import gradient_norms, has_norm_taps
from rnnjax.core.valid_span import Span
from rnnjax.typing import CellState, PyTree, Taps

States = CellState


class GateInputs(NamedTuple):
    """What the gates read, each (T, N, G·H)."""

    z_x: jax.Array | None  # None for an additive cell, whose z_h holds z^x + z^h
    z_h: jax.Array


def fused_scan(
    cell: ElementwiseCell, params: Params, inputs: ScanInputs, state: CellState
) -> tuple[CellState, States, jax.Array]:
    """``plain_scan`` with the input product in front of the loop and the parameters' gradients after it."""
    steps, chunk = inputs.xs.shape[0], chunk_length(cell, inputs.xs, ragged=inputs.span is not None)
    loops = Loops(_forward_of_platform, _backward_of_platform)
    final, states = scan_with_backward(loops, cell, StepCounts(steps, chunk), params, pad_steps(inputs, chunk), state)
    states = jax.tree.map(lambda a: a[:steps], states)
    if inputs.span is not None and chunk < steps:
        states = jax.tree.map(partial(_fill_outside, inputs.span), states, state, final)
    return final, states, states[0]


def _fill_outside(span: Span, states: jax.Array, before: jax.Array, after: jax.Array) -> jax.Array:
    """``states`` (T, N, H) with the state ``before`` the first step of the span and the one ``after`` its last."""
    t = jnp.arange(states.shape[0], dtype=jnp.int32)[:, None, None]
    return jnp.where(t < span.first, before[None], jnp.where(t < span.stop, states, after[None]))


def _forward_of_platform(cell: ElementwiseCell, counts: StepCounts, *arguments: PyTree) -> Any:
    return for_platform(partial(_forward, cell, counts), *arguments)


def _backward_of_platform(cell: ElementwiseCell, counts: StepCounts, *arguments: PyTree) -> Any:
    return for_platform(partial(_backward, cell, counts), *arguments)


@partial(jax.jit, static_argnums=(0, 1, 2))  # traced once for all programs of these shapes
def _forward(
    cell: ElementwiseCell, counts: StepCounts, compiler: Compiler, params: Params, inputs: ScanInputs, state: CellState
) -> tuple[CellState, States, tuple[GateInputs, CellState]]:
    """Final state, states (T, N, H), and what the backward pass reads besides: z, the state before the first step."""
    inputs, length, restore = compiler.loop_inputs(inputs, counts.steps, counts.chunk)

    initial, own = _initial(cell, inputs, state), own_argument(params)

    def body(carry: Any, inputs_t: Any) -> tuple[Any, Any]:
        (state, _), (z_x_t, mask_t, tap_t, hold_t, reset_t) = carry, inputs_t
        before = where(reset_t, initial, state)
        h, m = before[0], before[-1]
        z_h_t = z_x_t
        if params.w_h is not None:
            z_h_t = cell.project(drop(h, inputs.mask_h), params.w_h, params.b_h)
            z_h_t = z_x_t + z_h_t if cell.additive else z_h_t
        z_t = _both(None if cell.additive else z_x_t, z_h_t)
        new = keep_past_end(mask_t, cell.advance(*z_t, m, *own, hold=hold_t, tap=tap_t), state)
        return (new, compiler.separate_gates(cell, *z_t, m, *own)), (new, z_h_t)

    def chunk(carry: Any, chunk_inputs: Any) -> tuple[Any, Any]:
        (xs, mask, taps, hold, noise, reset), _, count = chunk_inputs
        z_x = cell.project_inputs(params, keep_valid(mask, xs))
        z_x = z_x if noise is None else z_x + noise
        carry, (states, z_h) = compiler.scan(body, carry, (z_x, mask, taps, hold, reset), count)
        return carry, (states, GateInputs(None if cell.additive else z_x, z_h))

    carry = state, _no_gates(compiler, cell, state, *own)
    (final, gates), outputs = scan_chunks(chunk, carry, inputs.of_steps, None, length, span=inputs.span)
    states, z = restore(outputs)
    final, state = compiler.depend_on_rows(gates, (final, state))  # or they would be left out, as nothing reads them
    return final, states, (z, state)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _backward(
    cell: ElementwiseCell,
    counts: StepCounts,
    compiler: Compiler,
    params: Params,
    inputs: ScanInputs,
    states: States,
    kept: tuple[GateInputs, CellState],
    ct_final: CellState,
    ct_states: States | None,
) -> tuple[Params, jax.Array, CellState, Taps]:
    """Gradients of the parameters, of xs, of the state before the first step, and of the taps."""
    z, state = kept
    inputs, length, restore = compiler.loop_inputs(inputs, counts.steps, counts.chunk)
    states, z, ct_states = jax.tree.map(lambda a: a[: inputs.xs.shape[0]], (states, z, ct_states))
    tapped, for_norms = inputs.taps is not None, has_norm_taps(inputs.taps)
    w_h_transposed = None if params.w_h is None else compiler.materialized(params.w_h.T)
    initial, own = _initial(cell, inputs, state), own_argument(params)

    def project_h(h: jax.Array) -> jax.Array:
        rows = h.shape[0]
        if w_h_transposed is None:
            return jnp.zeros((rows, len(cell.gates) * cell.features), h.dtype)
        if rows == 1:  # alone it would be fused with all that dz is made of, which is then made H times
            h = jnp.concatenate([h, h])
        return cell.project(drop(h, inputs.mask_h), w_h_transposed.T, None)[:rows]

    def body(carry: Any, inputs_t: Any) -> tuple[Any, Any]:
        (carry, (_, d_own)), (ct_t, m_prev, (z_x_t, z_h_t), mask_t, tap_t, hold_t, reset_t) = carry, inputs_t
        total = jax.tree.map(plus, carry, ct_t)  # ∂L/∂(the state as it leaves step t)
        if for_norms:
            tap_t = jax.tree.map(jnp.zeros_like, total)
        into_step = keep_past_end(mask_t, total, jax.tree.map(jnp.zeros_like, total))

        def advance(z: Any, m: jax.Array, tap: Any, own: Any) -> Any:
            return cell.advance(*_both(*z), m, *own, hold=hold_t, tap=tap)

        _, pull_advance = jax.vjp(advance, (z_x_t, z_h_t), m_prev, tap_t, own)
        _, pull_project = jax.vjp(project_h, jnp.zeros_like(m_prev))
        dz, dm_prev, totals, d_own_t = pull_advance(into_step)
        (dh_prev,) = pull_project(dz[1])

        back = cell.make_state(dh_prev, dm_prev) if cell.has_separate_memory else cell.State(dh_prev + dm_prev)
        back = where(reset_t, jax.tree.map(jnp.zeros_like, back), back)
        gates = compiler.separate_gates(cell, *_both(z_x_t, z_h_t), m_prev, *own)
        return (keep_past_end(mask_t, back, total), (gates, jax.tree.map(jnp.add, d_own, d_own_t))), (dz, totals)

    def chunk(carry: Any, chunk_inputs: Any) -> tuple[Any, Any]:
        d_state, d_params = carry
        (xs, states, ct_states, *rest), entering, count = chunk_inputs
        before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:-1]]), entering, states)
        before = where(rest[-1], initial, before)
        outputs = tuple(rest[0]), states if tapped else None
        scanned = (ct_states, before[-1], *rest)
        d_state, ((dz_x, dz_h), totals) = compiler.scan_backwards(body, d_state, scanned, outputs, count)
        xs = keep_valid(rest[1], xs)
        (d_xs,) = jax.vjp(lambda xs: cell.project(xs, params.w_x, None), xs)[1](dz_h if dz_x is None else dz_x)
        more = parameter_gradients(cell, compiler, params, xs, drop(before[0], inputs.mask_h), dz_x, dz_h)
        d_params = jax.tree.map(jnp.add, d_params, more)
        return (d_state, d_params), (d_xs, gradient_norms(totals) if for_norms else totals)

    entering = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[length - 1 : -1 : length]]), state, states)
    if inputs.span is not None:  # the states before its first chunk were not written
        chunks = jnp.arange(inputs.xs.shape[0] // length, dtype=jnp.int32)[:, None, None]
        is_first = chunks == inputs.span.first // length
        entering = jax.tree.map(lambda a, b: jnp.where(is_first, a[None], b), state, entering)
    beside = _no_gates(compiler, cell, state, *own), jax.tree.map(jnp.zeros_like, own)
    carry = (ct_final, beside), jax.tree.map(jnp.zeros_like, params._replace(own=None))
    taps = without_norm_taps(inputs).taps
    scanned = inputs.xs, states, ct_states, tuple(z), inputs.mask, taps, inputs.hold, inputs.reset
    carry, outputs = scan_chunks(chunk, carry, scanned, entering, length, span=inputs.span, reverse=True)
    ((d_state, (gates, d_own)), d_params), (d_xs, totals) = carry, restore(outputs)
    d_params = d_params._replace(own=d_own[0] if d_own else None)
    one_gate = jax.tree.map(lambda a: a[:, 0].min(), gates)  # of all examples: one is not on every device
    return d_params._replace(b=compiler.depend_on(one_gate, d_params.b)), d_xs, d_state, totals


def _both(z_x: jax.Array | None, z_h: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(z^x, z^h) for a cell's functions; an additive cell, for which z^x is None, finds the sum in z^h."""
    return (z_x if z_x is not None else jnp.zeros_like(z_h)), z_h


def _initial(cell: ElementwiseCell, inputs: ScanInputs, state: CellState) -> CellState | None:
    """The state after a reset, where there are resets."""
    return None if inputs.reset is None else initial_like(cell, state)


def _no_gates(compiler: Compiler, cell: ElementwiseCell, state: CellState, *own: PyTree) -> jax.Array | None:
    """Zeros in the place of ``compiler.separate_gates``, before the first step."""
    z = jnp.repeat(jnp.zeros_like(state[0]), len(cell.gates), axis=-1)
    return jax.tree.map(jnp.zeros_like, compiler.separate_gates(cell, z, z, state[-1], *own))
