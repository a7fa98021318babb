"""A recurrence that is linear in its state, evaluated in parallel over time by ``jax.lax.associative_scan``.

A cell that is linear in its state gives a and b of all steps at once (``Cell.linear_coefficients``), with

    state_t = a_t·state_{t-1} + b_t          elementwise, real or complex

Two steps in a row are again such a step, (a_1, b_1) then (a_2, b_2) being (a_2·a_1, a_2·b_1 + b_2), and this product is
associative, so T steps take about 2·log2(T) rounds of products (Blelloch 1990, Prefix sums and their applications;
Martin & Cundy 2018, Parallelizing linear recurrent neural nets over sequence length). Lengths, resets, taps and
zoneout change a and b:

    past an example's end    a = 1, b = 0
    at a reset               a = 0, b = a·initial + b
    under a tap              b = b + tap
    under zoneout            a = d + (1 - d)·a, b = (1 - d)·b

The gradient runs through a recurrence of the same form, from the last step to the first: the total derivatives
λ_t = ∂L/∂state_t, and with them those of a and b, are

    λ_t = ct_t + a_{t+1}·λ_{t+1}          ∂L/∂b_t = λ_t          ∂L/∂a_t = λ_t·state_{t-1}
"""

import jax
import jax.numpy as jnp

from rnnjax.cells import Cell, ElementwiseCell
from rnnjax.core.scan import ScanInputs, initial_like, keep_past_end, keep_valid, where
from rnnjax.core.taps import zeros_for_norm_taps
from rnnjax.typing import CellState, PyTree


def associative_scan(
    cell: Cell, params: PyTree, inputs: ScanInputs, state: CellState, *, fused: bool
) -> tuple[CellState, CellState, jax.Array]:
    """``plain_scan`` of a cell that is linear in its state, in parallel over time.

    Args:
        cell: one with ``linear_coefficients``.
        params: its parameters.
        inputs: without noise.
        state: before the first step.
        fused: whether the gradient is one scan back over a and the states, in reverse mode and of first order; else
            JAX differentiates the scan, and keeps its partial products.
    """
    inputs = inputs._replace(xs=keep_valid(inputs.mask, inputs.xs))
    a, b = _coefficients(cell, params, inputs, state)
    states = jax.tree.map(_solve_with_gradient if fused else _solve, a, b, state)
    final = jax.tree.map(lambda s: s[-1], states)
    if hasattr(states, "h"):
        return final, states, states.h
    ys = cell.outputs(params, states, inputs.xs)
    return final, states, keep_past_end(inputs.mask, ys, jnp.zeros_like(ys))


def _coefficients(cell: Cell, params: PyTree, inputs: ScanInputs, state: CellState) -> tuple[CellState, CellState]:
    """The a and b (T, N, *) of every array of the state, with lengths, resets, taps and zoneout."""
    a, b = cell.linear_coefficients(params, inputs.xs)
    steps = len(inputs.xs)

    def full(coefficient: jax.Array, s: jax.Array) -> jax.Array:
        coefficient = jnp.expand_dims(coefficient, range(s.ndim + 1 - coefficient.ndim))
        return jnp.broadcast_to(coefficient.astype(s.dtype), (steps, *s.shape))

    a, b = (jax.tree.map(full, coefficients, state) for coefficients in (a, b))
    if isinstance(cell, ElementwiseCell):
        a = jax.tree.map(lambda a: cell.zone_out(a, jnp.ones_like(a), inputs.hold), a)
        b = jax.tree.map(lambda b: cell.zone_out(b, jnp.zeros_like(b), inputs.hold), b)
    if inputs.reset is not None:
        initial = jax.tree.map(lambda s: s[None], initial_like(cell, state))
        b = where(inputs.reset, jax.tree.map(lambda a, b, s: a * s + b, a, b, initial), b)
        a = where(inputs.reset, jax.tree.map(jnp.zeros_like, a), a)
    if inputs.taps is not None:
        taps = zeros_for_norm_taps(inputs.taps, b)
        b = jax.tree.map(lambda b, tap: b if tap is None else b + tap, b, taps)
    a = keep_past_end(inputs.mask, a, jax.tree.map(jnp.ones_like, a))
    b = keep_past_end(inputs.mask, b, jax.tree.map(jnp.zeros_like, b))
    return a, b


def _solve(a: jax.Array, b: jax.Array, first: jax.Array) -> jax.Array:
    """s_t = a_t·s_{t-1} + b_t for a, b (T, N, *), with s_{-1} = ``first`` (N, *)."""
    return _scan(a, jnp.concatenate([b[:1] + a[:1] * first[None], b[1:]]))


def _scan(a: jax.Array, b: jax.Array, reverse: bool = False) -> jax.Array:
    """s_t = a_t·s_{t-1} + b_t with s_{-1} = 0; with ``reverse``, s_t = a_t·s_{t+1} + b_t with s_T = 0."""

    def after(first: tuple[jax.Array, jax.Array], then: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return then[0] * first[0], then[0] * first[1] + then[1]

    _, s = jax.lax.associative_scan(after, (a, b), reverse=reverse)
    return s


@jax.custom_vjp
def _solve_with_gradient(a: jax.Array, b: jax.Array, first: jax.Array) -> jax.Array:
    return _solve(a, b, first)


def _forward(a: jax.Array, b: jax.Array, first: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    s = _solve(a, b, first)
    return s, (a, s, first)


def _backward(
    residuals: tuple[jax.Array, jax.Array, jax.Array], ct: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    a, s, first = residuals
    total = _scan(jnp.concatenate([a[1:], jnp.zeros_like(a[:1])]), ct, reverse=True)
    before = jnp.concatenate([first[None], s[:-1]])
    return total * before, total, a[0] * total[0]


_solve_with_gradient.defvjp(_forward, _backward)
