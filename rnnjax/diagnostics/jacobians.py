"""Step Jacobians and their products: how much one step, or many, stretch and shrink a change of the state.

A change of the state is one vector of S numbers, (δh, δc) for the LSTM with S = 2H, δh with S = H for a cell whose
memory is its output. J_t maps that before step t to that after it.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_floats, check_integer, describe
from rnnjax.cells import Cell, Params
from rnnjax.cells.validation import check_params
from rnnjax.diagnostics.linearization import Steps, check_steps_of, recurrent_blocks
from rnnjax.diagnostics.sequential_map import sequential_map


def step_jacobians(cell: Cell, params: Params, steps: Steps) -> jax.Array:
    """J_t = ∂(state after t)/∂(state before t), (T, ..., S, S); the identity past an example's end.

    T·...·S² numbers: take one example of a long batch.

    Raises:
        ValueError: steps or parameters of another cell.
    """
    check_steps_of(cell, steps)
    check_params(cell, params)
    blocks, eye = recurrent_blocks(cell, params), jnp.eye(cell.features, dtype=steps.f.dtype)
    m_h = jnp.einsum("...gj,ghj->...jh", steps.u, blocks)  # ∂m_t/∂h_{t-1} at fixed m_{t-1}
    m_m = _diagonal(steps.f, eye)
    if not cell.has_separate_memory:
        jacobians = m_h + m_m
    else:
        h_h = steps.r[..., None] * m_h + jnp.einsum("...gj,ghj->...jh", steps.o, blocks)
        h_m = _diagonal(steps.r * steps.f, eye)
        jacobians = jnp.concatenate(
            [jnp.concatenate([h_h, h_m], axis=-1), jnp.concatenate([m_h, m_m], axis=-1)], axis=-2
        )
    identity = jnp.broadcast_to(jnp.eye(jacobians.shape[-1], dtype=jacobians.dtype), jacobians.shape)
    return jnp.where(steps.valid[..., None, None], jacobians, identity)


def _diagonal(values: jax.Array, eye: jax.Array) -> jax.Array:
    return values[..., None] * jnp.broadcast_to(eye, (*values.shape, eye.shape[-1]))


def _check_square(jacobians: Any, axes: str) -> None:
    check_floats("jacobians", jacobians, axes)
    if jacobians.shape[-1] != jacobians.shape[-2]:
        raise ValueError(f"jacobians must be {axes}, got {describe(jacobians)}")


class SingularValues(NamedTuple):
    """Natural logarithms, so that a product over thousands of steps neither under- nor overflows."""

    log_largest: jax.Array  # (...)
    log_smallest: jax.Array  # (...)

    @property
    def log_condition(self) -> jax.Array:
        """Log of largest over smallest."""
        return self.log_largest - self.log_smallest


def singular_values(jacobians: jax.Array) -> SingularValues:
    """Largest and smallest singular value of each matrix (..., S, S) by itself."""
    _check_square(jacobians, "(..., S, S)")
    values = sequential_map(partial(jnp.linalg.svd, compute_uv=False), jacobians)
    return SingularValues(jnp.log(values[..., 0]), jnp.log(values[..., -1]))


def product_singular_values(jacobians: jax.Array, *, sweeps: int = 4) -> jax.Array:
    """Logs of all singular values (S,), descending, of the product J_{T-1} ··· J_0 of (T, S, S) matrices.

    The product is never formed. A sweep of QR decompositions J_t Q_{t-1} = Q_t R_t turns its factors into triangular
    ones with the same singular values; their transposes, in reverse order, go into the next sweep, and the
    diagonals converge to the singular values as those of the QR algorithm do, the faster the further apart they are
    (Oliveira & Stewart 2000, Exponential splittings of products of matrices). The first sweep alone would give the
    finite-time Lyapunov exponents.

    Args:
        jacobians: the factors, the first to be applied first.
        sweeps: at least 1; each costs T decompositions.

    Raises:
        ValueError: no such matrices, or no sweep.
    """
    _check_square(jacobians, "(T, S, S)")
    check_integer("sweeps", sweeps, 1)

    def step(q: Any, factor: jax.Array) -> tuple[jax.Array, jax.Array]:
        q, triangle = jnp.linalg.qr(factor @ q)
        return q, triangle

    def sweep(factors: Any, _: Any) -> tuple[jax.Array, jax.Array]:
        _, triangles = jax.lax.scan(step, jnp.eye(factors.shape[-1], dtype=factors.dtype), factors)
        logs = jnp.log(jnp.abs(jnp.diagonal(triangles, axis1=-2, axis2=-1))).sum(axis=0)
        return jnp.swapaxes(triangles, -1, -2)[::-1], logs

    _, logs = jax.lax.scan(sweep, jacobians, None, length=sweeps)
    return -jnp.sort(-logs[-1])


def extreme_singular_values(jacobians: jax.Array, counts: tuple[int, ...]) -> SingularValues:
    """Largest and smallest singular value of the product of the first p factors, J_{p-1} ··· J_0, for p in ``counts``.

    One pass for all of them, (P,): the product and that of the inverses are multiplied up and scaled at every step,
    so each keeps what is largest in it however long it grows. The log of the smallest is -inf where a factor has no
    inverse.

    Args:
        jacobians: (T, S, S) factors, the first to be applied first.
        counts: P numbers from 1 to T.

    Raises:
        ValueError: no such matrices, or numbers of factors that are not there.
    """
    _check_square(jacobians, "(T, S, S)")
    if not isinstance(counts, tuple | list) or not counts:
        raise ValueError(f"counts must be a tuple of numbers of factors, got {counts!r}")
    for count in counts:
        check_integer("each of counts", count, 1, jacobians.shape[0])

    def scaled(a: jax.Array, log: jax.Array) -> tuple[jax.Array, jax.Array]:
        size = jnp.max(jnp.abs(a))
        usable = jnp.isfinite(size) & (size > 0)
        return a / jnp.where(usable, size, 1), log + jnp.log(size)

    def step(carry: Any, factor: jax.Array) -> tuple[Any, Any]:
        product, inverse = carry
        carry = scaled(factor @ product[0], product[1]), scaled(inverse[0] @ jnp.linalg.inv(factor), inverse[1])
        return carry, carry

    start = (jnp.eye(jacobians.shape[-1], dtype=jacobians.dtype), jnp.zeros((), jacobians.dtype))
    _, grown = jax.lax.scan(step, (start, start), jacobians[: max(counts)])

    def log_norm(product: tuple[jax.Array, jax.Array]) -> jax.Array:
        matrices, logs = jax.tree.map(lambda a: a[jnp.array(counts) - 1], product)
        return logs + jnp.log(sequential_map(partial(jnp.linalg.norm, ord=2), matrices))

    log_inverse = log_norm(grown[1])
    return SingularValues(log_norm(grown[0]), jnp.where(jnp.isfinite(log_inverse), -log_inverse, -jnp.inf))
