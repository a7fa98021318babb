"""Lyapunov exponents: the rates, per step, at which small changes of the state grow or die out along a sequence."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_integer
from rnnjax.cells import Cell, Params
from rnnjax.cells.validation import check_params
from rnnjax.diagnostics.jacobians import step_jacobians
from rnnjax.diagnostics.linearization import Steps, check_steps_of
from rnnjax.diagnostics.sequential_map import sequential_map


class Lyapunov(NamedTuple):
    """Natural logarithms per step; K exponents, the largest first once they have converged."""

    exponents: jax.Array  # (..., K)
    running: jax.Array  # (T, ..., K): the estimate after each step, which shows whether it has converged


def _qr(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    q, triangle = jnp.linalg.qr(matrix)  # since jax 0.11 a named pair, and a loop wants a plain one
    return q, triangle


def lyapunov_spectrum(cell: Cell, params: Params, steps: Steps, *, count: int | None = None) -> Lyapunov:
    """λ_i = (1/T) Σ_t log|R_ii,t| from the QR recurrence J_t Q_{t-1} = Q_t R_t, Q_{-1} = I.

    Vogt, Puelma Touzel, Shlizerman & Lajoie (2020), On Lyapunov exponents for RNNs. Differentiable.

    Args:
        cell: the cell.
        params: its parameters.
        steps: from ``linearise``, of any batch shape; T counts each example's valid steps.
        count: K, how many exponents, from the largest; None means all S = H, or 2H for the LSTM.

    Raises:
        ValueError: steps or parameters of another cell, or more exponents than there are.
    """
    check_steps_of(cell, steps)
    check_params(cell, params)
    size = cell.features * (2 if cell.has_separate_memory else 1)
    if count is not None:
        check_integer("count", count, 1, size)
    batch_shape = steps.f.shape[1:-1]
    q = jnp.broadcast_to(jnp.eye(size, count or size, dtype=steps.f.dtype), (*batch_shape, size, count or size))

    def body(q: jax.Array, step: Steps) -> tuple[jax.Array, jax.Array]:
        q, triangle = sequential_map(_qr, step_jacobians(cell, params, step) @ q)
        growth = jnp.log(jnp.abs(jnp.diagonal(triangle, axis1=-2, axis2=-1)))
        return q, jnp.where(step.valid[..., None], growth, 0)

    _, growth = jax.lax.scan(body, q, steps)
    taken = jnp.maximum(jnp.cumsum(steps.valid, axis=0), 1)[..., None].astype(growth.dtype)
    running = jnp.cumsum(growth, axis=0) / taken
    return Lyapunov(running[-1], running)
