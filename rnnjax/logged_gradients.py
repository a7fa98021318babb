"""The gradients that ``jax.grad`` gives of the taps of ``rnnjax.observe``, reduced to norms by lag."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.argument_checks import check_integers, describe, is_array
from rnnjax.diagnostics.gradients import LagStatistics, lag_statistics, norms_by_lag


def statistics_of_scans(gradients: Any, lengths: Any) -> dict[str, dict[str, LagStatistics]]:
    """Mean and quantiles over examples of the norms by lag, by the names of scan and state ("carry", "carry[0]", ...).

    Args:
        gradients: of a loss that is the mean over B examples, by scan: (T, B, ...), or None, for each array of a carry.
        lengths: (B,) integers, the steps of each example that count; None for all steps up to the last to which a
            gradient comes.

    Raises:
        ValueError: another structure, shape or dtype than described here.
    """
    if not isinstance(gradients, Mapping):
        raise ValueError(
            "gradients must be what jax.grad gives with respect to the taps of rnnjax.observe, a dictionary of tuples, "
            f"got {describe(gradients)}"
        )
    measured: dict[str, dict[str, LagStatistics]] = {}
    batch: tuple[str, int] | None = None  # and the scan that it is of
    for name, arrays in gradients.items():
        states = [(i, a) for i, a in enumerate(arrays) if a is not None and np.size(a)]
        if not states:
            continue
        for _, array in states:
            _check_gradient(name, array, states[0][1])
        steps, examples = states[0][1].shape[:2]
        batch = batch or (name, examples)
        if examples != batch[1]:
            raise ValueError(
                f"gradients[{name!r}] holds {examples} examples and gradients[{batch[0]!r}] {batch[1]}, expected the "
                "same B in all arrays (T, B, ...); of a scan inside of another one give one run, or leave it out"
            )
        if lengths is not None:
            check_integers("lengths", lengths, (examples,), 0, steps)
        names = ["carry"] if len(states) == 1 else [f"carry[{i}]" for i, _ in states]
        statistics = jax.device_get(_statistics([a for _, a in states], lengths))
        measured[str(name)] = dict(zip(names, statistics, strict=True))
    return measured


def _check_gradient(name: str, array: Any, first: Any) -> None:
    if not is_array(array) or array.ndim < 2 or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"gradients[{name!r}] must hold floating-point arrays (T, B, ...), got {describe(array)}")
    if array.shape[:2] != first.shape[:2]:
        raise ValueError(
            f"gradients[{name!r}] must hold arrays (T, B, ...) of the same T and B, got {describe(first)} and "
            f"{describe(array)}"
        )


@jax.jit
def _statistics(arrays: list[jax.Array], lengths: jax.Array | None) -> list[LagStatistics]:
    """Norms by lag of each array (T, B, ...), of every example's own loss where the loss is their mean."""
    flat = [a.reshape(*a.shape[:2], -1) for a in arrays]
    steps, examples = flat[0].shape[:2]
    if lengths is None:
        reached = jnp.stack([(a != 0).any(axis=-1) for a in flat]).any(axis=0)
        last = steps - jnp.argmax(reached[::-1], axis=0)
        lengths = jnp.where(reached.any(axis=0), last, jnp.where(reached.any(), 0, steps))
    weights = jnp.full(examples, 1 / examples)
    return [lag_statistics(*norms_by_lag(a, lengths, weights)) for a in flat]
