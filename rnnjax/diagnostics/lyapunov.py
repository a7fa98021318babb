"""Lyapunov exponents: the rates per step at which small changes of the state grow or shrink along a sequence."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_integer
from rnnjax.cells import ElementwiseCell, Params
from rnnjax.cells.validation import check_params
from rnnjax.diagnostics.jacobians import step_jacobians
from rnnjax.diagnostics.linearization import Steps, check_steps_of
from rnnjax.diagnostics.sequential_map import sequential_map


class Lyapunov(NamedTuple):
    """K exponents, natural logarithms per step, in descending order once they have converged."""

    exponents: jax.Array  # (..., K)
    running: jax.Array  # (T, ..., K): the estimate after each step, to judge convergence


def _qr(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    q, triangle = jnp.linalg.qr(matrix)  # jax 0.11 returns a named tuple, jax.lax.map needs a plain one
    return q, triangle


def lyapunov_spectrum(cell: ElementwiseCell, params: Params, steps: Steps, *, count: int | None = None) -> Lyapunov:
    """λ_i = (1/T) Σ_t log|R_ii,t| from the QR recurrence J_t Q_{t-1} = Q_t R_t, Q_{-1} = I.

    Vogt, Puelma Touzel, Shlizerman & Lajoie (2020), On Lyapunov exponents for RNNs. Differentiable.

    Args:
        cell: the cell.
        params: its parameters.
        steps: from ``linearise``, of any batch shape; T is the number of each example's valid steps without a reset,
            which are the only ones that count.
        count: K, the number of exponents from the largest down; None means all S (H, or 2H for the LSTM).

    Returns:
        ``Lyapunov``, NaN for an example of which no step counts.

    Raises:
        ValueError: steps or parameters of another cell, or ``count`` outside 1..S.
    """
    running, counts = running_exponents(cell, params, steps, count)
    running = jnp.where(counts.any(axis=0)[..., None], running, jnp.nan)
    return Lyapunov(running[-1], running)


def running_exponents(
    cell: ElementwiseCell, params: Params, steps: Steps, count: int | None
) -> tuple[jax.Array, jax.Array]:
    """Field ``running`` of ``lyapunov_spectrum``, 0 where no step counts, and the steps that count, (T, ...) bool."""
    check_steps_of(cell, steps)
    check_params(cell, params)
    size = cell.features * (2 if cell.has_separate_memory else 1)
    if count is not None:
        check_integer("count", count, 1, size)
    steps = steps._replace(valid=steps.valid & ~steps.reset)
    batch_shape = steps.f.shape[1:-1]
    q = jnp.broadcast_to(jnp.eye(size, count or size, dtype=steps.f.dtype), (*batch_shape, size, count or size))

    def body(q: jax.Array, step: Steps) -> tuple[jax.Array, jax.Array]:
        q, triangle = sequential_map(_qr, step_jacobians(cell, params, step) @ q)
        growth = jnp.log(jnp.abs(jnp.diagonal(triangle, axis1=-2, axis2=-1)))
        return q, jnp.where(step.valid[..., None], growth, 0)

    _, growth = jax.lax.scan(body, q, steps)
    steps_so_far = jnp.maximum(jnp.cumsum(steps.valid, axis=0), 1)[..., None].astype(growth.dtype)
    return jnp.cumsum(growth, axis=0) / steps_so_far, steps.valid
