"""Two ways to walk a cell along time: the plain scan, and the same with a backward pass of our own.

Both take time-major rows and return lax.scan's order:

    scan(cell, params, xs, state, mask, taps, hold, mask_h) -> (final, states)

    xs (T, N, D), state of (N, H), mask (T, N, 1) bool or None, taps of (T, N, H), of NormTap (T, N, 1) or None,
    hold (T, N, H) bool or None, mask_h (N, H) or None.

A step where the mask is false keeps its state; its tap is not added. ``rnnjax.unroll`` is the door to both.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero, custom_vjp_primal_tree_values

from rnnjax.cells import Cell, DropoutMasks, Params
from rnnjax.core.chunks import chunk_length, pad_to_chunks, scan_backwards, scan_chunks
from rnnjax.core.taps import gradient_norms, has_norm_taps, zeros_for_norm_taps
from rnnjax.core.xla_cpu import depend_on


def plain_scan(
    cell: Cell, params: Params, xs: jax.Array, state: Any, mask: Any, taps: Any, hold: Any, mask_h: Any
) -> tuple[Any, Any]:
    """The definition: ``cell.step`` under ``lax.scan``, differentiated by JAX in any mode and to any order."""

    def body(state: Any, inputs: Any) -> tuple[Any, Any]:
        x_t, mask_t, tap_t, hold_t = inputs
        tap_t = zeros_for_norm_taps(tap_t, cell.features)
        new, _ = cell.step(params, state, x_t, dropout=DropoutMasks(None, mask_h, hold_t), tap=tap_t)
        new = _hold(mask_t, new, state)
        return new, new

    return jax.lax.scan(body, state, (xs, mask, taps, hold))


def fused_scan(
    cell: Cell, params: Params, xs: jax.Array, state: Any, mask: Any, taps: Any, hold: Any, mask_h: Any
) -> tuple[Any, Any]:
    """``_fused_scan`` of whole chunks: as many steps are added as are missing, which keep the state."""
    steps = len(xs)
    length = chunk_length(cell, xs)
    xs, mask, taps, hold = pad_to_chunks(length, xs, mask, taps, hold)
    final, states = _fused_scan(cell, length, params, xs, state, mask, taps, hold, mask_h)
    return final, jax.tree.map(lambda a: a[:steps], states)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _fused_scan(
    cell: Cell, length: int, params: Params, xs: jax.Array, state: Any, mask: Any, taps: Any, hold: Any, mask_h: Any
) -> tuple[Any, Any]:
    """``plain_scan`` with the input product hoisted out of the loop and every weight product after it.

    Reverse mode only. The forward pass keeps z and the states, T·N·((G or 2G) + states)·H numbers, and the reverse
    scan is elementwise but for the one product dz^h W_hᵀ:

        dh_t  = ct_h[t] + (from t+1)                total ∂L/∂h_t
        dm_t  = ct_m[t] + r_t·dh_t + f_{t+1}·dm_{t+1}   total ∂L/∂m_t
        dz_t  = U_t·dm_t + O_t·dh_t;   dh_{t-1} += dz^h_t W_hᵀ

    U = ∂m/∂z, f = ∂m_t/∂m_{t-1}, r = ∂h/∂m and O = ∂h/∂z are never formed: ``cell.advance`` is pulled back inside
    the scan, where one step's rows are still in cache. The totals dh_t and dm_t leave as the gradient with respect to
    ``taps``. On a CPU the products x W_x, dW_h, dW_x, db and dx go in chunks of a few steps, before z and dz have
    left its cache; on an accelerator all steps are one chunk.
    """
    final, states, _ = _forward(cell, length, params, xs, state, mask, _added(taps), hold, mask_h)
    return final, states


def _added(taps: Any) -> Any:
    """Those that are added to the states."""
    return None if has_norm_taps(taps) else taps


def _hold(mask: jax.Array | None, new: Any, old: Any) -> Any:
    """``new`` where the mask is true, ``old`` past an example's end."""
    return new if mask is None else jax.tree.map(lambda a, b: jnp.where(mask, a, b), new, old)


def _gate_inputs(z_x: jax.Array | None, z_h: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(z^x, z^h) for a cell's functions; z^x is None for an additive cell, which finds the sum in z^h."""
    return (z_x if z_x is not None else jnp.zeros_like(z_h)), z_h


def _gates_apart(cell: Cell, z_x: jax.Array, z_h: jax.Array) -> jax.Array | None:
    """The gates of a step, to be carried along on a CPU though nobody reads them.

    XLA's CPU compiler then computes them in passes of their own. It would fuse the whole of a GRU's step, with tanh of
    several columns, into one loop, which it does not vectorise; an optimization barrier is gone before it fuses.
    """
    return cell.gate_values(z_x, z_h) if jax.default_backend() == "cpu" else None


def _no_gates(cell: Cell, state: Any) -> jax.Array | None:
    """Zeros in their place, before the first step."""
    z = jnp.repeat(jnp.zeros_like(state[0]), len(cell.gates), axis=-1)
    return jax.tree.map(jnp.zeros_like, _gates_apart(cell, z, z))


def _transposed(a: jax.Array) -> jax.Array:
    """aᵀ, on a CPU as an array of its own, which its matrix products like better than a transposed operand."""
    return a.T if jax.default_backend() != "cpu" else jax.lax.optimization_barrier(a.T)


def _drop(h: jax.Array, mask_h: jax.Array | None) -> jax.Array:
    """``h`` (..., N, H) as it meets W_h."""
    return h if mask_h is None else h * jnp.broadcast_to(mask_h, h.shape)


def _forward(
    cell: Cell, length: int, params: Params, xs: jax.Array, state: Any, mask: Any, taps: Any, hold: Any, mask_h: Any
) -> tuple[Any, Any, tuple[jax.Array | None, jax.Array, jax.Array | None]]:
    """Final state, stacked states, and what the backward pass reads.

    That is z^x (None if additive) and z^h, stacked, and the gates of the last step, see ``_gates_apart``.
    """

    def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
        (state, _), (z_x_t, mask_t, tap_t, hold_t) = carry, inputs
        h, m = state[0], state[-1]
        z_h_t = cell.project(_drop(h, mask_h), params.w_h, params.b_h)
        if cell.additive:
            z_h_t = z_x_t + z_h_t
        z = _gate_inputs(None if cell.additive else z_x_t, z_h_t)
        new = cell.advance(*z, m, hold=hold_t, tap=tap_t)
        new = _hold(mask_t, new, state)
        return (new, _gates_apart(cell, *z)), (new, z_h_t)

    def chunk(carry: Any, inputs: Any) -> tuple[Any, Any]:
        (xs, *rest), _ = inputs
        z_x = cell.project(xs, params.w_x, params.b)
        carry, (states, z_h) = jax.lax.scan(body, carry, (z_x, *rest))
        return carry, (states, (None if cell.additive else z_x, z_h))

    carry = state, _no_gates(cell, state)
    (final, gates), (states, z) = scan_chunks(chunk, carry, (xs, mask, taps, hold), length)
    return depend_on(gates, final), states, (*z, gates)


def _fused_forward(cell: Cell, length: int, *arguments: Any) -> Any:
    params, xs, state, mask, taps, *rest = values = custom_vjp_primal_tree_values(arguments)
    final, states, z = _forward(cell, length, params, xs, state, mask, _added(taps), *rest)
    return (final, states), (*values, states, z)


def _fused_backward(cell: Cell, length: int, residuals: Any, cotangents: Any) -> Any:
    params, xs, state, mask, taps, hold, mask_h, states, (*z, gates_forward) = residuals
    ct_final, ct_states = _known_zeros_as_none(cotangents)
    ct_final = jax.tree.map(_plus, jax.tree.map(jnp.zeros_like, state), ct_final)
    for_norms = has_norm_taps(taps)
    w_h_transposed = _transposed(params.w_h)

    def project_h(h: jax.Array) -> jax.Array:
        rows = len(h)
        if rows == 1:  # alone it would be fused with all that dz is made of, which is then made H times
            h = jnp.concatenate([h, h])
        return cell.project(_drop(h, mask_h), w_h_transposed.T, None)[:rows]

    def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
        (carry, _), (ct_t, m_prev, (z_x_t, z_h_t), mask_t, tap_t, hold_t) = carry, inputs
        total = jax.tree.map(_plus, carry, ct_t)  # ∂L/∂(the state as it leaves step t)
        if for_norms:
            tap_t = jax.tree.map(jnp.zeros_like, total)
        into_step = _hold(mask_t, total, jax.tree.map(jnp.zeros_like, total))

        def advance(z: Any, m: jax.Array, tap: Any) -> Any:
            return cell.advance(*_gate_inputs(*z), m, hold=hold_t, tap=tap)

        _, pull_advance = jax.vjp(advance, (z_x_t, z_h_t), m_prev, tap_t)
        _, pull_project = jax.vjp(project_h, jnp.zeros_like(m_prev))
        dz, dm_prev, totals = pull_advance(into_step)
        (dh_prev,) = pull_project(dz[1])

        back = cell.make_state(dh_prev, dm_prev) if cell.has_separate_memory else cell.State(dh_prev + dm_prev)
        gates = _gates_apart(cell, *_gate_inputs(z_x_t, z_h_t))
        return (_hold(mask_t, back, total), gates), (dz, totals)

    def chunk(carry: Any, inputs: Any) -> tuple[Any, Any]:
        d_state, d_params = carry
        (xs, states, ct_states, *rest), entering = inputs
        before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:-1]]), entering, states)
        outputs = tuple(rest[0]), states if taps is not None else None
        d_state, ((dz_x, dz_h), totals) = scan_backwards(body, d_state, (ct_states, before[-1], *rest), outputs)
        (d_xs,) = jax.vjp(lambda xs: cell.project(xs, params.w_x, None), xs)[1](dz_h if dz_x is None else dz_x)
        more = _pull_params(cell, params, xs, _drop(before[0], mask_h), dz_x, dz_h)
        d_params = jax.tree.map(jnp.add, d_params, more)
        return (d_state, d_params), (d_xs, gradient_norms(totals) if for_norms else totals)

    entering = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[length - 1 : -1 : length]]), state, states)
    carry = (ct_final, _no_gates(cell, state)), jax.tree.map(jnp.zeros_like, params)
    inputs = xs, states, ct_states, z, mask, _added(taps), hold
    ((d_state, gates), d_params), (d_xs, totals) = scan_chunks(chunk, carry, inputs, length, entering, reverse=True)
    d_params = d_params._replace(b=depend_on((gates, gates_forward), d_params.b))
    return d_params, d_xs, d_state, None, totals, None, None


def _known_zeros_as_none(tree: Any) -> Any:
    """Cotangents, None for those of an output that nothing depends on: T·N·H zeros need not be written and read."""

    def known(a: Any) -> bool:
        return isinstance(a, SymbolicZero)

    return jax.tree.map(lambda a: None if known(a) else a, tree, is_leaf=known)


def _plus(a: jax.Array, b: jax.Array | None) -> jax.Array:
    return a if b is None else a + b


def _pull_params(
    cell: Cell, params: Params, xs: jax.Array, h: jax.Array, dz_x: jax.Array | None, dz_h: jax.Array
) -> Params:
    """Gradients of the parameters, from those of z at K steps: xs (K, N, D) and h_{t-1} (K, N, H) each times dz.

    Where dz^x and dz^h are one (``dz_x`` None), x and h are stacked for one larger product.
    """

    def pull(rows: jax.Array, w: jax.Array, b: Any, dz: jax.Array) -> Any:
        rows = _transposed(rows.reshape(-1, rows.shape[-1])).T
        _, pull_back = jax.vjp(partial(cell.project, rows), w, b)
        return pull_back(dz.reshape(-1, dz.shape[-1]))

    if dz_x is not None:
        (d_w_x, d_b), (d_w_h, d_b_h) = pull(xs, params.w_x, params.b, dz_x), pull(h, params.w_h, params.b_h, dz_h)
        return Params(d_w_x, d_w_h, d_b, d_b_h)
    stacked = jnp.concatenate([params.w_x, params.w_h])
    d_w, d_b = pull(jnp.concatenate([xs, h], axis=-1), stacked, params.b, dz_h)
    d_w_x, d_w_h = jnp.split(d_w, [len(params.w_x)])
    return Params(d_w_x, d_w_h, d_b, None if params.b_h is None else d_b)


_fused_scan.defvjp(_fused_forward, _fused_backward, symbolic_zeros=True)
