"""The gradients that ``jax.grad`` gives of the taps of ``rnnjax.observe``, reduced to norms by lag."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.argument_checks import check_integers, describe, is_array
from rnnjax.diagnostics.gradients import LagStatistics, lag_statistics, norms_by_lag
from rnnjax.diagnostics.linearization import flip_valid
from rnnjax.dtypes import promoted
from rnnjax.scans.carries import by_example
from rnnjax.scans.sites import Site


def statistics_of_scans(gradients: Any, sites: Sequence[Site], lengths: Any) -> dict[str, dict[str, LagStatistics]]:
    """Mean and quantiles over examples of the norms by lag, by the names of scan and state ("carry", "carry[0]", ...).

    The scans are in the order of ``sites``.

    Args:
        gradients: of a loss that is the mean over B examples, by the name of a site: (outer..., T, B, ...), or None,
            for each array of its carry. An array of the carry that is one number is left out.
        sites: they say which of the axes are those of outer scans, and which scans run from their last step.
        lengths: (B,) integers, the steps of each example that count, in scans that are not inside of another one; None
            for all steps up to the last to which a gradient comes.

    Raises:
        ValueError: another structure, shape or dtype than described here, or a scan that is not in ``sites``.
    """
    if not isinstance(gradients, Mapping):
        raise ValueError(
            "gradients must be what jax.grad gives with respect to the taps of rnnjax.observe, a dictionary of tuples, "
            f"got {describe(gradients)}"
        )
    names = [site.name for site in sites]
    if unknown := [name for name in gradients if name not in names]:
        raise ValueError(
            f"gradients has {unknown[0]!r}, which is none of the sites {', '.join(map(repr, names)) or '()'} of the "
            "log; give TrainingLog the sites of the same function, rnnjax.observe(loss)(params, batch).sites"
        )
    measured: dict[str, dict[str, LagStatistics]] = {}
    batch: tuple[str, int] | None = None  # and the scan that it is of
    for site in [site for site in sites if site.name in gradients]:  # jax.grad sorts them by their names
        name = site.name
        states = _states(site, gradients[name])
        if not states:
            continue
        steps, examples = next(iter(states.values())).shape[len(site.outer) :][:2]
        batch = batch or (name, examples)
        if examples != batch[1]:
            raise ValueError(
                f"gradients[{name!r}] holds {examples} examples and gradients[{batch[0]!r}] {batch[1]}, expected the "
                "same B in all arrays (T, B, ...); leave out of gradients what has no axis of the examples"
            )
        if lengths is not None and not site.outer:
            check_integers("lengths", lengths, (examples,), 0, steps)
        counted = None if site.outer else lengths
        statistics = jax.device_get(_statistics(list(states.values()), counted, len(site.outer), site.reverse))
        labels = ["carry"] if len(states) == 1 else [f"carry[{i}]" for i in states]
        measured[name] = dict(zip(labels, statistics, strict=True))
    return measured


def _states(site: Site, arrays: Any) -> dict[int, Any]:
    """The arrays of a site that have an axis of examples, by their index in the carry."""
    name, outer = f"gradients[{site.name!r}]", len(site.outer)
    axes = f"({', '.join(map(str, site.outer))}, T, B, ...)" if outer else "(T, B, ...)"
    if not isinstance(arrays, Sequence) or len(arrays) != len(site.carry):
        raise ValueError(
            f"{name} must be a tuple of the {len(site.carry)} gradients of the carry of its site, got "
            f"{len(arrays) if isinstance(arrays, Sequence) else describe(arrays)}"
        )
    states: dict[int, Any] = {}
    for i, (array, carried) in enumerate(zip(arrays, site.carry, strict=True)):
        if array is None or not np.size(array) or (carried is not None and not carried.shape):
            continue
        if not is_array(array) or not jnp.issubdtype(array.dtype, jnp.inexact):
            raise ValueError(f"{name} must hold floating-point arrays {axes}, got {describe(array)}")
        if carried is None or array.ndim != outer + 1 + len(carried.shape) or array.shape[:outer] != site.outer:
            raise ValueError(
                f"{name} must hold arrays {axes}, T steps of {_of(carried)} in its site, got {describe(array)}"
            )
        first = next(iter(states.values()), array)
        if array.shape[: outer + 2] != first.shape[: outer + 2]:
            raise ValueError(
                f"{name} must hold arrays {axes} of the same T and B, got {describe(first)} and {describe(array)}"
            )
        states[i] = array
    return states


def _of(carried: jax.ShapeDtypeStruct | None) -> str:
    return "None" if carried is None else str(carried.shape)


@partial(jax.jit, static_argnums=(2, 3))
def _statistics(arrays: list[jax.Array], lengths: jax.Array | None, outer: int, reverse: bool) -> list[LagStatistics]:
    """Norms by lag of each array (outer..., T, B, ...), of every example's own loss where the loss is their mean.

    The runs of a scan inside of others are further examples: each is a sequence along which the gradient fades.
    """
    steps, examples = arrays[0].shape[outer : outer + 2]
    flat = [_side_by_side(by_example(a, examples, leading=outer + 1), outer) for a in arrays]
    if reverse:  # the steps that count are the first ones of xs, and the last ones of the run
        flat = [a[::-1] if lengths is None else flip_valid(a, lengths) for a in flat]
    if lengths is None:
        reached = jnp.stack([(a != 0).any(axis=-1) for a in flat]).any(axis=0)
        last = steps - jnp.argmax(reached[::-1], axis=0)
        lengths = jnp.where(reached.any(axis=0), last, jnp.where(reached.any(), 0, steps))
    weights = jnp.full(flat[0].shape[1], 1 / examples, promoted(flat[0].dtype, jnp.float32))
    return [lag_statistics(*norms_by_lag(a, lengths, weights)) for a in flat]


def _side_by_side(a: jax.Array, outer: int) -> jax.Array:
    """(outer..., T, B, F) → (T, R·B, F) of all R runs."""
    a = a.reshape(-1, *a.shape[outer:])
    return jnp.moveaxis(a, 0, 1).reshape(a.shape[1], -1, a.shape[-1])
