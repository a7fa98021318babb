"""The search for the fixed points of a trained model under inputs of zeros, from states that it visits."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.diagnosis import FixedPointSearch, StatePath, StationaryPoint
from rnnjax.data.dataset import Dataset
from rnnjax.diagnostics.stationary.points import fixed_points
from rnnjax.diagnostics.stationary.vectors import state_to_vector, vector_to_state
from rnnjax.typing import Floats, ModelParams, PyTree, States

EXAMPLES = 64  # of the validation split whose states are visited
CANDIDATES = 1024  # of the visited states, from which the search begins
NOISE = 0.1  # standard deviation of the noise added to candidates, relative to that of the visited states' numbers
PATHS = 16  # examples of which the path of the states is kept
EIGENVALUES = 10  # of each point that are kept
AXES = 3  # principal axes

OneStep = Callable[[States, jax.Array], tuple[States, jax.Array]]


def search_fixed_points(model: nn.Module, dataset: Dataset, params: ModelParams) -> FixedPointSearch | None:
    """The fixed and slow points of ``model`` under inputs of zeros.

    Args:
        model: with the interface of ``SequenceClassifier`` and outputs at every step; reads numbers.
        dataset: whose validation examples it reads first.
        params: of the model.

    Returns:
        what was found; None where the model's state holds anything but floating-point numbers.
    """
    zeros: States = jax.tree.map(lambda a: a[0], model.initial_state(1))
    if not all(jnp.issubdtype(a.dtype, jnp.inexact) for a in jax.tree.leaves(zeros)):
        return None
    one_step, to_state = _one_step(model, params), vector_to_state(zeros)
    inputs, lengths = (a[:EXAMPLES] for a in dataset.validation[:2])
    visited = _visited_states(one_step, zeros, inputs)  # (examples, T, S)
    valid = np.arange(inputs.shape[1])[None] < lengths[:, None]
    vectors = visited[valid]
    candidates = jax.vmap(to_state)(jnp.asarray(_candidates(vectors)))
    nothing = jnp.zeros(inputs.shape[-1], inputs.dtype)
    found = fixed_points(lambda state, x: one_step(state, x)[0], candidates, nothing)
    outputs = np.asarray(jax.jit(jax.vmap(lambda state: one_step(state, nothing)[1]))(found.states), np.float64)

    centre, axes, variance = _principal_axes(vectors)
    eigenvalues = np.asarray(found.eigenvalues)[:, :EIGENVALUES]
    positions = (np.asarray(jax.vmap(state_to_vector)(found.states), np.float64) - centre) @ axes
    points = tuple(
        StationaryPoint(
            fixed=bool(found.fixed[k]),
            speed=float(found.speed[k]),
            unstable=int(found.unstable[k]),
            candidates=int(found.candidates[k]),
            position=positions[k],
            outputs=outputs[k],
            eigenvalues_real=eigenvalues[k].real.astype(np.float64),
            eigenvalues_imag=eigenvalues[k].imag.astype(np.float64),
        )
        for k in range(len(positions))
    )
    paths = ((visited[i, valid[i]] - centre) @ axes for i in range(min(PATHS, len(visited))))
    return FixedPointSearch(
        points=points,
        paths=tuple(StatePath(axes=tuple(path.T)) for path in paths),
        variance=variance,
        candidates=jax.tree.leaves(candidates)[0].shape[0],
        not_finite=found.not_finite,
        far=found.far,
        fast=found.fast,
    )


def _one_step(model: nn.Module, params: ModelParams) -> OneStep:
    """(state, x) -> (state, output) of the model for one example, without a batch axis."""

    def step(state: States, x: jax.Array) -> tuple[States, jax.Array]:
        batched = jax.tree.map(lambda a: a[None], state)
        result: PyTree = model.apply({"params": params}, x[None, None], state=batched)
        final, outputs = result
        return jax.tree.map(lambda a: a[0], final), outputs[0, 0]

    return step


def _visited_states(one_step: OneStep, start: States, inputs: np.ndarray) -> Floats:
    """The states after every step of every example as vectors: (N, T, D) → (N, T, S)."""

    @jax.jit
    def visit(inputs: jax.Array) -> jax.Array:
        def step(state: States, x: jax.Array) -> tuple[States, jax.Array]:
            state, _ = one_step(state, x)
            return state, state_to_vector(state)

        return jax.vmap(lambda xs: jax.lax.scan(step, start, xs)[1])(inputs)

    return np.asarray(visit(inputs))


def _candidates(vectors: Floats) -> Floats:
    """At most ``CANDIDATES`` of the visited states (N, S), drawn without replacement, with noise."""
    rng = np.random.default_rng(0)
    chosen = vectors[rng.choice(len(vectors), min(CANDIDATES, len(vectors)), replace=False)]
    return (chosen + NOISE * vectors.std() * rng.normal(size=chosen.shape)).astype(vectors.dtype)


def _principal_axes(vectors: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean (S,) of the visited states (N, S), their principal axes (S, 3) and the share of the variance along each."""
    centre = vectors.mean(axis=0, dtype=np.float64)
    values, directions = np.linalg.eigh(np.cov((vectors - centre).T).reshape(len(centre), -1))
    order = np.argsort(-values)[:AXES]
    padding = AXES - len(order)
    total = max(float(values.sum()), np.finfo(np.float64).tiny)
    axes = np.pad(directions[:, order], ((0, 0), (0, padding)))
    return centre, axes, np.pad(np.maximum(values[order], 0) / total, (0, padding))
