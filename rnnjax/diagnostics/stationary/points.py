"""Fixed points of a recurrent network and how stable they are (Sussillo & Barak 2013, Opening the black box).

Under a constant input x a step maps a state h to F(h) = step(h, x). A fixed point is a state with F(h) = h; at a slow
point F(h) is nearly h, so that the network stays in its neighbourhood for many steps. Both minimise the speed

    q(h) = ½ ‖F(h) - h‖²

and the eigenvalues λ of the Jacobian ∂F/∂h there say what becomes of a small change of the state: it fades along
directions with |λ| < 1 and grows along those with |λ| > 1.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.diagnostics.stationary.arguments import check_candidates, check_inputs, check_settings, check_step
from rnnjax.diagnostics.stationary.search import VectorStep, descend, jacobians, refine, speeds
from rnnjax.diagnostics.stationary.vectors import state_to_vector, vector_to_state
from rnnjax.typing import Floats, Integers, PyTree

Step = Callable[[PyTree, jax.Array], PyTree]
TOLERANCES = {np.dtype(np.float32): 1e-10, np.dtype(np.float64): 1e-20}  # speed up to which a point counts as fixed


class FixedPoints(NamedTuple):
    """K distinct points: fixed points first, then slow points; of each kind those with fewer unstable directions first.

    S is the number of real numbers in a state; a complex number counts as two. Eigenvalues have rounding errors: on a
    line of fixed points one of them is 1 but for these, so that ``stable`` and ``saddle`` mean little there.
    """

    states: PyTree  # the structure of the candidates, with leading axis K
    inputs: jax.Array  # (K, D) the input under which each was found
    speed: jax.Array  # (K,) q
    eigenvalues: jax.Array  # (K, S) complex, of ∂F/∂h, the largest modulus first
    unstable: jax.Array  # (K,) number of eigenvalues with |λ| > 1
    stable: jax.Array  # (K,) bool, all |λ| < 1
    saddle: jax.Array  # (K,) bool, some |λ| > 1
    fixed: jax.Array  # (K,) bool, q below the tolerance; the others are slow points
    candidates: jax.Array  # (K,) number of candidates that ended there
    not_finite: int  # candidates that were NaN or infinite, or became so
    far: int  # candidates that ended far away from where candidates began
    fast: int  # candidates that ended at neither a fixed nor a slow point


def fixed_points(
    step: Step,
    candidates: PyTree,
    inputs: jax.Array,
    *,
    tolerance: float | None = None,
    slow_tolerance: float = 1e-6,
    merge_distance: float = 1e-3,
    region: float = 2.0,
    learning_rate: float = 0.01,
    steps: int = 1000,
) -> FixedPoints:
    """Search for the fixed and slow points of ``step`` from N candidates.

    The speed q of all candidates is minimised at once, by Adam and then by Gauss-Newton steps, until rounding error
    ends it. For the trained layer of a cell, with states that it visits as candidates:

        final, states = rnnjax.unroll(cell, params, xs)                         # (T, B, H)
        visited = jax.tree.map(lambda a: a.reshape(-1, a.shape[-1]), states)    # (T·B, H)
        points = fixed_points(lambda state, x: cell.step(params, state, x)[0], visited, jnp.zeros(in_features))

    Args:
        step: F, (state, x) -> state, of one state without a batch axis; differentiable in reverse mode.
        candidates: N states to start from: an array (N, H), or a pytree of arrays with a leading axis N.
        inputs: x, (D,) for all candidates or (N, D); points under different inputs are never merged.
        tolerance: speed below which a point is a fixed point; None stands for 1e-20 in float64 and 1e-10 in float32.
        slow_tolerance: speed below which any other point is a slow point.
        merge_distance: points at most so far apart (Euclidean distance) are one point; the unit is the largest distance
            of a candidate from the mean of the candidates.
        region: points farther than this from the mean of the candidates are dropped, in the same unit; none is dropped
            where all candidates are equal.
        learning_rate: of Adam at its first step; it decays to 0.
        steps: of Adam, at most.

    Returns:
        ``FixedPoints``; of the points that are one, that of the lowest speed.

    Raises:
        ValueError: an argument of another kind, shape or range, or a step that does not return a state like its own.
    """
    check_settings(
        tolerance=tolerance, slow_tolerance=slow_tolerance, merge_distance=merge_distance, region=region,
        learning_rate=learning_rate, steps=steps,
    )  # fmt: skip
    states = check_candidates(candidates)
    one_state = jax.tree.map(lambda a: a[0], states)
    starts = jax.vmap(state_to_vector)(states)
    xs = check_inputs(inputs, len(starts))
    check_step(step, one_state, xs[0])
    to_state = vector_to_state(one_state)

    def vector_step(vector: jax.Array, x: jax.Array) -> jax.Array:
        return state_to_vector(step(to_state(vector), x))

    limit = TOLERANCES[starts.dtype] if tolerance is None else float(tolerance)
    finite = np.isfinite(np.asarray(starts)).all(axis=1)
    starts, xs = np.asarray(starts)[finite], np.asarray(xs)[finite]
    vectors, q = _search(vector_step, starts, xs, learning_rate=learning_rate, steps=steps, tolerance=limit)

    centre = starts.mean(axis=0) if len(starts) else starts.sum(axis=0)
    largest = float(np.linalg.norm(starts - centre, axis=1).max(initial=0.0))
    ended = np.isfinite(q)
    near = ended & ((np.linalg.norm(vectors - centre, axis=1) <= region * largest) | (largest == 0))
    slow = near & (q < max(limit, slow_tolerance))
    vectors, xs, q = vectors[slow], xs[slow], q[slow]
    chosen, count = _distinct(vectors, xs, q, merge_distance * largest)
    vectors, xs, q = vectors[chosen], xs[chosen], q[chosen]

    eigenvalues = _eigenvalues(vector_step, vectors, xs)
    moduli = np.abs(eigenvalues)
    unstable = (moduli > 1).sum(axis=1)
    order = np.lexsort((q, -count, unstable, q >= limit))

    def sort(a: np.ndarray) -> jax.Array:
        return jnp.asarray(a[order])

    return FixedPoints(
        states=jax.vmap(to_state)(sort(vectors)),
        inputs=sort(xs),
        speed=sort(q),
        eigenvalues=sort(eigenvalues),
        unstable=sort(unstable),
        stable=sort((moduli < 1).all(axis=1)),
        saddle=sort(unstable > 0),
        fixed=sort(q < limit),
        candidates=sort(count),
        not_finite=len(finite) - int(ended.sum()),
        far=int((ended & ~near).sum()),
        fast=int((near & ~slow).sum()),
    )


def _search(
    step: VectorStep, starts: Floats, xs: Floats, *, learning_rate: float, steps: int, tolerance: float
) -> tuple[Floats, Floats]:
    """Where the vectors (N, S) end, and their speeds (N,)."""

    @jax.jit
    def search(starts: jax.Array, xs: jax.Array) -> tuple[jax.Array, jax.Array]:
        vectors = descend(step, starts, xs, learning_rate=learning_rate, steps=steps, tolerance=tolerance)
        vectors = refine(step, vectors, xs)
        return vectors, speeds(step, vectors, xs)

    vectors, q = search(starts, xs)
    return np.asarray(vectors), np.asarray(q)


def _distinct(vectors: Floats, xs: Floats, q: Floats, distance: float) -> tuple[Integers, Integers]:
    """The points that are left when those within ``distance`` under one input are merged, the slowest first.

    Returns:
        rows (K,) of the points that are left, each of the lowest speed among those merged with it; and the number
        (K,) of points that each stands for.
    """
    rows, count = [], []
    left = np.ones(len(q), bool)
    for row in np.argsort(q, kind="stable"):
        if left[row]:
            same = left & (np.linalg.norm(vectors - vectors[row], axis=1) <= distance) & (xs == xs[row]).all(axis=1)
            left &= ~same
            rows.append(row)
            count.append(same.sum())
    return np.array(rows, np.int64), np.array(count, np.int64)


def _eigenvalues(step: VectorStep, vectors: Floats, xs: Floats) -> np.ndarray:
    """Eigenvalues (K, S) of the Jacobian at each vector, the largest modulus first; by NumPy, on the host."""
    matrices = np.asarray(jax.jit(partial(jacobians, step))(vectors, xs))
    eigenvalues = np.linalg.eigvals(matrices).astype(np.result_type(matrices.dtype, np.complex64))
    return np.take_along_axis(eigenvalues, np.argsort(-np.abs(eigenvalues), axis=1, kind="stable"), axis=1)
