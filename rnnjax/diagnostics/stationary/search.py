"""Minimises the speed q(h) = ½‖F(h) - h‖² from many candidates: Adam on all at once, then Gauss-Newton on each.

Vectors are (S,), those of N candidates (N, S); x are the constant inputs (D,), of N candidates (N, D).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

VectorStep = Callable[[jax.Array, jax.Array], jax.Array]  # F: (vector (S,), x (D,)) -> vector (S,)

GAUSS_NEWTON_STEPS = 50  # at most, for each candidate
REJECTED_STEPS = 10  # in a row, after which a candidate is left where it is
FIRST_DAMPING, DAMPING_FACTOR = 1.0, 10.0


def speeds(step: VectorStep, vectors: jax.Array, xs: jax.Array) -> jax.Array:
    """The speed q of each vector: (N, S) → (N,)."""
    return jax.vmap(partial(_speed, step))(vectors, xs)


def _speed(step: VectorStep, vector: jax.Array, x: jax.Array) -> jax.Array:
    return _half_square(step(vector, x) - vector)


def _half_square(residual: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(residual**2)


class DescentState(NamedTuple):
    """Adam after ``taken`` steps; ``q`` (N,) are the speeds before the last one."""

    vectors: jax.Array  # (N, S)
    optimizer_state: optax.OptState
    q: jax.Array
    taken: jax.Array


def descend(
    step: VectorStep, vectors: jax.Array, xs: jax.Array, *, learning_rate: float, steps: int, tolerance: float
) -> jax.Array:
    """Minimise the speed of all vectors (N, S) by Adam with a learning rate that decays to 0 (half a cosine).

    Adam scales every number by itself, so the candidates do not influence each other.

    Args:
        step: F.
        vectors: where to start.
        xs: (N, D) inputs.
        learning_rate: at the first step.
        steps: at most.
        tolerance: the search ends once every finite speed is below it.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, max(1, steps)))

    def total(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        q = speeds(step, vectors, xs)
        return q.sum(), q

    def unfinished(carry: DescentState) -> jax.Array:
        return (carry.taken < steps) & (carry.q >= tolerance).any()  # false for a speed that is NaN

    def take(carry: DescentState) -> DescentState:
        gradient, q = jax.grad(total, has_aux=True)(carry.vectors)
        with jax.numpy_dtype_promotion("standard"):  # Optax multiplies numbers by integer counts of steps
            updates, optimizer_state = optimizer.update(gradient, carry.optimizer_state)
        return DescentState(optax.apply_updates(carry.vectors, updates), optimizer_state, q, carry.taken + 1)

    infinite = jnp.full(len(vectors), jnp.inf, vectors.dtype)
    start = DescentState(vectors, optimizer.init(vectors), infinite, jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(unfinished, take, start).vectors


class RefinementState(NamedTuple):
    """Gauss-Newton at ``vector`` (S,), with its residual r (S,) and speed; the others are scalars."""

    vector: jax.Array
    residual: jax.Array
    q: jax.Array
    damping: jax.Array
    taken: jax.Array
    rejected: jax.Array  # steps in a row that would not have lowered the speed


def refine(step: VectorStep, vectors: jax.Array, xs: jax.Array) -> jax.Array:
    """Minimise the speed of each vector (N, S) down to rounding error by Gauss-Newton steps with damping.

    Levenberg (1944) and Marquardt (1963): δ = -(AᵀA + μ·I)⁻¹ Aᵀr with r = F(h) - h and A = ∂r/∂h. A step is taken if
    it lowers the speed, and the damping falls; otherwise it rises. μ is proportional to ‖r‖², as in Yamashita &
    Fukushima (2001), so convergence is quadratic also where A is singular, as on a line of fixed points. One vector
    after the other, see ``sequential_map``.
    """
    return jax.lax.map(lambda pair: _refine_one(step, *pair), (vectors, xs))


def _refine_one(step: VectorStep, vector: jax.Array, x: jax.Array) -> jax.Array:
    def residual(vector: jax.Array) -> jax.Array:
        return step(vector, x) - vector

    def unfinished(state: RefinementState) -> jax.Array:
        rounding = jnp.finfo(vector.dtype).eps * (1 + jnp.abs(state.vector))
        return (
            (state.taken < GAUSS_NEWTON_STEPS) & (state.rejected < REJECTED_STEPS) & (state.q > _half_square(rounding))
        )

    def take(state: RefinementState) -> RefinementState:
        jacobian = jax.jacrev(residual)(state.vector)
        gram = jacobian.T @ jacobian
        rounding = jnp.finfo(gram.dtype).eps * jnp.trace(gram) / len(gram)
        mu = state.damping * 2 * state.q + rounding
        change = jnp.linalg.solve(gram + mu * jnp.eye(len(gram), dtype=gram.dtype), -jacobian.T @ state.residual)
        new_residual = residual(state.vector + change)
        new_q = _half_square(new_residual)
        lower = new_q < state.q  # false for NaN
        return RefinementState(
            vector=jnp.where(lower, state.vector + change, state.vector),
            residual=jnp.where(lower, new_residual, state.residual),
            q=jnp.where(lower, new_q, state.q),
            damping=jnp.where(lower, state.damping / DAMPING_FACTOR, state.damping * DAMPING_FACTOR),
            taken=state.taken + 1,
            rejected=jnp.where(lower, 0, state.rejected + 1),
        )

    first = residual(vector)
    zero = jnp.zeros((), jnp.int32)
    start = RefinementState(vector, first, _half_square(first), jnp.asarray(FIRST_DAMPING, first.dtype), zero, zero)
    return jax.lax.while_loop(unfinished, take, start).vector


def jacobians(step: VectorStep, vectors: jax.Array, xs: jax.Array) -> jax.Array:
    """∂F/∂h at each vector: (N, S) → (N, S, S), in reverse mode."""
    return jax.lax.map(lambda pair: jax.jacrev(step)(*pair), (vectors, xs))
