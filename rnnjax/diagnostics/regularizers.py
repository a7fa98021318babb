"""Penalties against vanishing and exploding gradients: Ω and gradient flossing, differentiable terms of a loss."""

import jax
import jax.numpy as jnp

from rnnjax.cells import ElementwiseCell, Params
from rnnjax.cells.validation import check_params, check_state
from rnnjax.diagnostics.gradients import safe_norm
from rnnjax.diagnostics.linearization import Steps, check_steps_of, pull
from rnnjax.diagnostics.lyapunov import running_exponents
from rnnjax.typing import CellState


def omega(cell: ElementwiseCell, params: Params, steps: Steps, cotangents: CellState) -> jax.Array:
    """Ω = Σ_t (‖J_{t+1}ᵀ λ_{t+1}‖ / ‖λ_{t+1}‖ - 1)², for each example (...).

    It is 0 where no step shrinks or stretches the gradient λ_{t+1} = ∂L/∂(state after step t+1) on its way back, and
    where there is one step alone.
    Pascanu, Mikolov & Bengio (2013), eq. 9. Its gradient with respect to ``params.w_h`` is the immediate derivative of
    their eq. 10: states, partials and λ are constants. Their program takes the mean over steps of squared norms,
    (ratio² - 1)²; where the ratio is near 1, that is about 4 / T times this sum.

    Args:
        cell: the cell.
        params: its parameters.
        steps: from ``linearise``.
        cotangents: λ, from ``Paths.state``; steps at which it is 0 are left out, and so are steps with a reset.

    Raises:
        ValueError: cell, parameters, steps and cotangents do not belong together.
    """
    check_steps_of(cell, steps)
    check_params(cell, params)
    check_state(cell, "cotangents", cotangents, steps.f.shape)
    steps, cotangents = jax.lax.stop_gradient((steps, cotangents))
    if len(steps.f) == 1:
        return jnp.zeros_like(steps.f[0, ..., 0])
    next_steps, next_ct = jax.tree.map(lambda a: a[1:], (steps, cotangents))
    size = safe_norm(jnp.concatenate(next_ct, axis=-1))
    counts = (size > 0) & next_steps.valid & ~next_steps.reset
    unit = jax.tree.map(lambda a: a / jnp.where(counts, size, 1)[..., None], next_ct)  # squares of a tiny λ are 0
    ratio = _norm(pull(cell, params, next_steps, unit))
    return jnp.where(counts, (ratio - 1) ** 2, 0).sum(axis=0)


def _norm(state: CellState) -> jax.Array:
    """Euclidean norm over the fields and features of a state, with gradient 0 at 0."""
    square = sum(jnp.sum(a**2, axis=-1) for a in state)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def flossing(cell: ElementwiseCell, params: Params, steps: Steps, *, count: int) -> jax.Array:
    """Σ_i λ_i² over the ``count`` largest Lyapunov exponents, for each example (...).

    Gradient flossing (Engelken 2023): exponents near 0 let gradients pass through many steps. Differentiable with
    respect to the parameters, inputs and state from which ``steps`` was computed. It is 0 for an example of which no
    step counts.

    Raises:
        ValueError: as ``lyapunov_spectrum``.
    """
    running, _ = running_exponents(cell, params, steps, count)
    return (running[-1] ** 2).sum(axis=-1)
