"""Two ways to walk a cell along time: the plain scan, and the same with a backward pass of our own.

Both take time-major rows and return lax.scan's order:

    scan(cell, params, xs, state, mask, taps, hold, mask_h) -> (final, states)

    xs (T, N, D), state of (N, H), mask (T, N, 1) bool or None, taps of (T, N, H) or None,
    hold (T, N, H) bool or None, mask_h (N, H) or None.

A step where the mask is false keeps its state; its tap is not added. ``rnnjax.unroll`` is the door to both.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.cells import Cell, DropoutMasks, Params

Rows = tuple[jax.Array | None, Any, jax.Array | None]  # z^x or None, taps, mask: what one step reads besides its carry


def plain_scan(
    cell: Cell, params: Params, xs: jax.Array, state: Any, mask: Any, taps: Any, hold: Any, mask_h: Any
) -> tuple[Any, Any]:
    """The definition: ``cell.step`` under ``lax.scan``, differentiated by JAX in any mode and to any order."""

    def body(state: Any, inputs: Any) -> tuple[Any, Any]:
        x_t, mask_t, tap_t, hold_t = inputs
        new, _ = cell.step(params, state, x_t, dropout=DropoutMasks(None, mask_h, hold_t), tap=tap_t)
        new = _hold(mask_t, new, state)
        return new, new

    return jax.lax.scan(body, state, (xs, mask, taps, hold))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def fused_scan(
    cell: Cell, params: Params, xs: jax.Array, state: Any, mask: Any, taps: Any, hold: Any, mask_h: Any
) -> tuple[Any, Any]:
    """``plain_scan`` with the input product hoisted out of the loop and every weight product after it.

    Reverse mode only. The forward pass keeps z and the states, T·N·((G or 2G) + states)·H numbers, and the reverse
    scan is elementwise but for the one product dz^h W_hᵀ:

        dh_t  = ct_h[t] + (from t+1)                total ∂L/∂h_t
        dm_t  = ct_m[t] + r_t·dh_t + f_{t+1}·dm_{t+1}   total ∂L/∂m_t
        dz_t  = U_t·dm_t + O_t·dh_t;   dh_{t-1} += dz^h_t W_hᵀ

    U = ∂m/∂z, f = ∂m_t/∂m_{t-1}, r = ∂h/∂m and O = ∂h/∂z are never formed: the cell's elementwise functions are
    pulled back inside the scan, where one step's rows are still in cache. dW_h, dW_x, db and dx follow in bulk.
    The totals dh_t and dm_t leave as the gradient with respect to ``taps``.
    """
    final, states, _ = _forward(cell, params, xs, state, mask, taps, hold, mask_h)
    return final, states


def _hold(mask: jax.Array | None, new: Any, old: Any) -> Any:
    """``new`` where the mask is true, ``old`` past an example's end."""
    return new if mask is None else jax.tree.map(lambda a, b: jnp.where(mask, a, b), new, old)


def _gate_inputs(z_x: jax.Array | None, z_h: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(z^x, z^h) for a cell's functions; z^x is None for an additive cell, which finds the sum in z^h."""
    return (z_x if z_x is not None else jnp.zeros_like(z_h)), z_h


def _forward(
    cell: Cell, params: Params, xs: jax.Array, state: Any, mask: Any, taps: Any, hold: Any, mask_h: Any
) -> tuple[Any, Any, tuple[jax.Array | None, jax.Array]]:
    """Final state, stacked states, and what the backward pass reads: z^x (None if additive) and z^h, stacked."""
    z_x = cell.project(xs, params.w_x, params.b)

    def body(state: Any, inputs: Any) -> tuple[Any, Any]:
        z_x_t, mask_t, tap_t, hold_t = inputs
        h, m = state[0], state[-1]
        z_h_t = cell.project(h if mask_h is None else h * mask_h, params.w_h, params.b_h)
        if cell.additive:
            z_h_t = z_x_t + z_h_t
        z = _gate_inputs(None if cell.additive else z_x_t, z_h_t)
        m_t = cell.remember(*z, m, hold_t)
        if tap_t is not None:
            m_t = m_t + tap_t[-1]
        h_t = cell.readout(*z, m_t)
        if tap_t is not None and cell.has_separate_memory:
            h_t = h_t + tap_t[0]
        new = _hold(mask_t, cell.make_state(h_t, m_t), state)
        return new, (new, z_h_t)

    final, (states, z_h) = jax.lax.scan(body, state, (z_x, mask, taps, hold))
    return final, states, (None if cell.additive else z_x, z_h)


def _fused_forward(
    cell: Cell, params: Params, xs: jax.Array, state: Any, mask: Any, taps: Any, hold: Any, mask_h: Any
) -> Any:
    final, states, z = _forward(cell, params, xs, state, mask, taps, hold, mask_h)
    return (final, states), (params, xs, state, mask, taps is not None, hold, mask_h, states, z)


def _fused_backward(cell: Cell, residuals: Any, cotangents: Any) -> Any:
    params, xs, state, mask, tapped, hold, mask_h, states, (z_x, z_h) = residuals
    ct_final, ct_states = cotangents
    before = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest[:-1]]), state, states)

    def project_h(h: jax.Array, w_h: jax.Array, b_h: jax.Array | None) -> jax.Array:
        return cell.project(h if mask_h is None else h * jnp.broadcast_to(mask_h, h.shape), w_h, b_h)

    def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
        ct_t, m_prev, m_t, z_x_t, z_h_t, mask_t, hold_t = inputs
        total = jax.tree.map(jnp.add, ct_t, carry)  # ∂L/∂(the state as it leaves step t)
        into_step = _hold(mask_t, total, jax.tree.map(jnp.zeros_like, total))

        z = (z_x_t, z_h_t)
        _, pull_readout = jax.vjp(lambda z, m: cell.readout(*_gate_inputs(*z), m), z, m_t)
        _, pull_remember = jax.vjp(lambda z, m: cell.remember(*_gate_inputs(*z), m, hold_t), z, m_prev)
        _, pull_project = jax.vjp(lambda h: project_h(h, params.w_h, params.b_h), jnp.zeros_like(m_prev))

        dh_t = into_step[0]
        dz_readout, dm_t = pull_readout(dh_t)
        if cell.has_separate_memory:
            dm_t = dm_t + into_step[-1]
        dz_memory, dm_prev = pull_remember(dm_t)
        dz = jax.tree.map(jnp.add, dz_memory, dz_readout)
        (dh_prev,) = pull_project(dz[1])

        back = cell.make_state(dh_prev, dm_prev) if cell.has_separate_memory else cell.State(dh_prev + dm_prev)
        return _hold(mask_t, back, total), (dz, cell.make_state(dh_t, dm_t))

    inputs = (ct_states, before[-1], states[-1], z_x, z_h, mask, hold)
    d_state, ((dz_x, dz_h), totals) = jax.lax.scan(body, ct_final, inputs, reverse=True)
    if dz_x is None:
        dz_x = dz_h

    _, pull_x = jax.vjp(cell.project, xs, params.w_x, params.b)
    d_xs, d_w_x, d_b = pull_x(dz_x)
    _, pull_h = jax.vjp(partial(project_h, before[0]), params.w_h, params.b_h)
    d_w_h, d_b_h = pull_h(dz_h)
    return Params(d_w_x, d_w_h, d_b, d_b_h), d_xs, d_state, None, totals if tapped else None, None, None


fused_scan.defvjp(_fused_forward, _fused_backward)
