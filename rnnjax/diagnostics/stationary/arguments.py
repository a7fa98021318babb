"""Checks of the arguments of ``fixed_points``."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_array, check_floats, check_integer, describe, is_array, is_number
from rnnjax.typing import PyTree


def check_settings(
    *,
    tolerance: float | None,
    slow_tolerance: float,
    merge_distance: float,
    region: float,
    learning_rate: float,
    steps: int,
) -> None:
    """Raise ValueError for a setting that is out of its range."""
    positive = {"slow_tolerance": slow_tolerance, "region": region, "learning_rate": learning_rate}
    if tolerance is not None:
        positive["tolerance"] = tolerance
    for name, value in positive.items():
        if not is_number(value) or not value > 0:
            raise ValueError(f"{name} must be a number above 0, got {describe(value)}")
    if not is_number(merge_distance) or not merge_distance >= 0:
        raise ValueError(f"merge_distance must be a number of at least 0, got {describe(merge_distance)}")
    check_integer("steps", steps, 0)


def check_candidates(candidates: PyTree) -> PyTree:
    """The candidates as arrays of JAX; ValueError unless all have one leading axis N and hold numbers of one precision.

    Real or complex, in float32 or float64: the decompositions that the search takes exist in no other precision.
    """
    leaves = jax.tree.leaves(candidates)
    if not leaves:
        raise ValueError(f"candidates must hold at least one array (N, ...), got {describe(candidates)}")
    for leaf in leaves:
        check_array("every array of candidates", leaf, "(N, ...)")
    arrays = jax.tree.map(jnp.asarray, candidates)
    leaves = jax.tree.leaves(arrays)
    for a in leaves:
        if not jnp.issubdtype(a.dtype, jnp.inexact) or jnp.finfo(a.dtype).bits < 32:
            raise ValueError(
                f"candidates must hold numbers in float32 or float64, or complex ones, got {describe(a)}; "
                "convert them with .astype(jnp.float32)"
            )
    if len({len(a) for a in leaves}) > 1:
        sizes = ", ".join(str(a.shape) for a in leaves)
        raise ValueError(f"candidates must have one leading axis N in all arrays, got shapes {sizes}")
    if len({jnp.finfo(a.dtype).bits for a in leaves}) > 1:
        raise ValueError(f"candidates must all be in one precision, got {', '.join(str(a.dtype) for a in leaves)}")
    return arrays


def check_inputs(inputs: object, candidates: int) -> jax.Array:
    """The input of each of N ``candidates``, (N, D), from ``inputs`` (D,) or (N, D); else ValueError."""
    if is_array(inputs) and inputs.ndim == 2:  # type: ignore[attr-defined]
        check_floats("inputs", inputs, "(N, D)")
        xs = jnp.asarray(inputs)
        if len(xs) != candidates:
            raise ValueError(f"inputs must have a row for each of {candidates} candidates, got {describe(inputs)}")
        return xs
    check_floats("inputs", inputs, "(D,)")
    xs = jnp.asarray(inputs)
    return jnp.broadcast_to(xs, (candidates, len(xs)))


def check_step(step: Callable[[PyTree, jax.Array], PyTree], state: PyTree, x: jax.Array) -> None:
    """Raise ValueError unless ``step`` maps a state like ``state`` (without a batch axis) to a state like it."""
    if not callable(step):
        raise ValueError(f"step must be a function (state, x) -> state, got {describe(step)}")
    result = jax.eval_shape(step, state, x)
    wanted, got = str(jax.tree.structure(state)), str(jax.tree.structure(result))
    if wanted != got:
        raise ValueError(
            f"step must return a state of the structure of the candidates, {wanted}, got {got}; of a cell's step that "
            "is the first result: lambda state, x: cell.step(params, state, x)[0]"
        )
    for given, returned in zip(jax.tree.leaves(state), jax.tree.leaves(result), strict=True):
        if (given.shape, given.dtype) != (returned.shape, returned.dtype):
            raise ValueError(
                f"step must return a state of the shapes and dtypes that it was given, without a batch axis: for "
                f"{given.dtype} of shape {given.shape} it returned {returned.dtype} of shape {returned.shape}"
            )
