"""Step Jacobians and their products: how much one step, or many, stretch or shrink a change of the state.

A change of the state is a vector of S numbers: (δh, δc) with S = 2H for the LSTM, δh with S = H for a cell whose
memory is its output. J_t maps the change before step t to the change after it.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_floats, check_integer, describe
from rnnjax.cells import ElementwiseCell, Params
from rnnjax.cells.validation import check_params
from rnnjax.diagnostics.linearization import Steps, check_steps_of, recurrent_blocks
from rnnjax.diagnostics.sequential_map import sequential_map
from rnnjax.typing import PyTree


def step_jacobians(cell: ElementwiseCell, params: Params, steps: Steps) -> jax.Array:
    """J_t = ∂(state after t)/∂(state before t), (T, ..., S, S); the identity past an example's end.

    The result holds T·...·S² numbers, so pass a single example of a long batch.

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
    """Diagonal matrices (..., H, H) of ``values`` (..., H)."""
    return values[..., None] * jnp.broadcast_to(eye, (*values.shape, eye.shape[-1]))


def _check_square(jacobians: jax.Array, axes: str) -> None:
    """Raise ValueError unless ``jacobians`` is a floating-point array of square matrices, with these ``axes``."""
    check_floats("jacobians", jacobians, axes)
    if jacobians.shape[-1] != jacobians.shape[-2]:
        raise ValueError(f"jacobians must be {axes}, got {describe(jacobians)}")


class SingularValues(NamedTuple):
    """Natural logarithms, in which a product over thousands of steps neither underflows nor overflows."""

    log_largest: jax.Array  # (...)
    log_smallest: jax.Array  # (...)

    @property
    def log_condition(self) -> jax.Array:
        """Log of largest over smallest."""
        return self.log_largest - self.log_smallest


def singular_values(jacobians: jax.Array) -> SingularValues:
    """Largest and smallest singular value of each matrix (..., S, S).

    Raises:
        ValueError: not square matrices of floating-point numbers.
    """
    _check_square(jacobians, "(..., S, S)")
    values = sequential_map(partial(jnp.linalg.svd, compute_uv=False), jacobians)
    return SingularValues(jnp.log(values[..., 0]), jnp.log(values[..., -1]))


def product_singular_values(jacobians: jax.Array, *, sweeps: int = 4) -> jax.Array:
    """Logs of all singular values (S,), descending, of the product J_{T-1} ··· J_0 of (T, S, S) matrices.

    The product is never formed. A sweep of QR decompositions J_t Q_{t-1} = Q_t R_t replaces its factors by triangular
    matrices whose product has the same singular values; their transposes, in reverse order, are the factors of the
    next sweep. The diagonals converge to the singular values as in the QR algorithm, faster the further apart these
    are (Oliveira & Stewart 2000, Exponential splittings of products of matrices). The first sweep alone gives the
    finite-time Lyapunov exponents.

    Args:
        jacobians: the factors J_t in the order of t.
        sweeps: at least 1; each costs T decompositions.

    Raises:
        ValueError: not square matrices (T, S, S), or fewer than one sweep.
    """
    _check_square(jacobians, "(T, S, S)")
    check_integer("sweeps", sweeps, 1)

    def step(q: jax.Array, factor: jax.Array) -> tuple[jax.Array, jax.Array]:
        q, triangle = jnp.linalg.qr(factor @ q)
        return q, triangle

    def sweep(factors: jax.Array, _: PyTree) -> tuple[jax.Array, jax.Array]:
        _, triangles = jax.lax.scan(step, jnp.eye(factors.shape[-1], dtype=factors.dtype), factors)
        logs = jnp.log(jnp.abs(jnp.diagonal(triangles, axis1=-2, axis2=-1))).sum(axis=0)
        return jnp.swapaxes(triangles, -1, -2)[::-1], logs

    _, logs = jax.lax.scan(sweep, jacobians, None, length=sweeps)
    return -jnp.sort(-logs[-1])


def extreme_singular_values(jacobians: jax.Array, counts: tuple[int, ...]) -> SingularValues:
    """Largest and smallest singular value of the product of the first p factors, J_{p-1} ··· J_0, for p in ``counts``.

    One pass for all P counts. The product and the product of the inverses are rescaled at every step, so the largest
    singular value of each stays accurate however long the product is. The log of the smallest is -inf where a factor
    has no inverse.

    Args:
        jacobians: (T, S, S) the factors J_t in the order of t.
        counts: P numbers of factors, from 1 to T.

    Returns:
        Logarithms, each (P,).

    Raises:
        ValueError: not square matrices (T, S, S), or ``counts`` outside 1..T.
    """
    _check_square(jacobians, "(T, S, S)")
    if not isinstance(counts, tuple | list) or not counts:
        raise ValueError(f"counts must be a tuple of numbers of factors, got {counts!r}")
    for count in counts:
        check_integer("each of counts", count, 1, jacobians.shape[0])

    def rescaled(a: jax.Array, log: jax.Array) -> tuple[jax.Array, jax.Array]:
        size = jnp.max(jnp.abs(a))
        usable = jnp.isfinite(size) & (size > 0)
        return a / jnp.where(usable, size, 1), log + jnp.log(size)

    def step(carry: PyTree, factor: jax.Array) -> tuple[PyTree, PyTree]:
        product, inverse = carry
        carry = (
            rescaled(factor @ product[0], product[1]),
            rescaled(_times_inverse(inverse[0], factor), inverse[1]),
        )
        return carry, carry

    start = (jnp.eye(jacobians.shape[-1], dtype=jacobians.dtype), jnp.zeros((), jacobians.dtype))
    _, (products, inverses) = jax.lax.scan(step, (start, start), jacobians[: max(counts)])

    def log_norm(product: tuple[jax.Array, jax.Array]) -> jax.Array:
        matrices, logs = jax.tree.map(lambda a: a[jnp.array(counts) - 1], product)
        return logs + jnp.log(sequential_map(partial(jnp.linalg.norm, ord=2), matrices))

    log_inverse = log_norm(inverses)
    return SingularValues(log_norm(products), jnp.where(jnp.isfinite(log_inverse), -log_inverse, -jnp.inf))


def _times_inverse(a: jax.Array, matrix: jax.Array) -> jax.Array:
    """``a @ inv(matrix)``, by a QR decomposition: JAX's loop over the pivots of an LU decomposition takes longer."""
    q, triangle = jnp.linalg.qr(matrix)
    return jax.lax.linalg.triangular_solve(triangle, a) @ q.T
