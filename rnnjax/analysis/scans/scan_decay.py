"""The decay over lag of the gradient of one step's own loss in any scan: ``diagnostics.loss_decay`` without a cell."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.analysis.scans.counted_steps import counted_first
from rnnjax.diagnostics.gradients import safe_norm
from rnnjax.diagnostics.loss_decay import SOURCES, Sources, by_source_lag, source_steps
from rnnjax.dtypes import promoted
from rnnjax.scans.calls import Arrays, ScanRun
from rnnjax.scans.carries import batch_axis, by_example
from rnnjax.scans.gradient_paths import ScanPaths, leaving, pull, states, without_collecting


def example_norms(a: jax.Array, batch: int | None, leading: int = 1) -> jax.Array:
    """‖·‖ of each step and example, (L..., B), in single precision at least; see ``by_example``.

    An array that all examples share, such as a running mean, has the same norm for each.
    """
    rows = by_example(a, batch, leading)
    norms = safe_norm(rows.astype(promoted(rows.dtype, jnp.float32)))
    return jnp.broadcast_to(norms, (*norms.shape[:-1], batch or 1))


def scan_decay(run: ScanRun, k: int, paths: ScanPaths, batch: int | None) -> tuple[jax.Array, Sources]:
    """The gradient of single steps' own losses on its way back, at one array of the carry.

    As ``diagnostics.loss_decay``: the steps that are followed are chosen by the strength of their direct gradient.

    Args:
        run: the scan.
        k: which of the differentiable arrays of the carry.
        paths: from ``gradient_paths``.
        batch: number of examples B; None where they cannot be told apart, which counts as one.

    Returns:
        Norms (T, S, B) at each step, and the sources (S, B) that they come from; for ``by_counted_lag``.
    """
    chosen = source_steps(example_norms(paths.direct[k], batch))
    ct_final = [ct for ct in run.ct_final if ct is not None]
    ct_ys = [ct for ct in run.ct_ys if ct is not None]

    def at_sources(ct: jax.Array, starts: jax.Array) -> jax.Array:
        """(S, ...): the gradient at the examples whose source is this step, each scaled to a strength of 1."""
        factor = jnp.where(starts, chosen.scale, 0).astype(ct.dtype)  # (S, B)
        axis = batch_axis(ct.shape, batch)
        if axis is None:
            return factor.max(axis=1).reshape(-1, *(1,) * ct.ndim) * ct[None]
        shape = [1] * ct.ndim
        shape[axis] = ct.shape[axis]
        return factor.reshape(-1, *shape) * ct[None]

    def step(from_later: Arrays, inputs: Any) -> tuple[Arrays, jax.Array]:
        t, carry, xs_t, ct_ys_t, collected_t = inputs
        starts = (chosen.steps == t) & chosen.usable
        at_end = [at_sources(ct, starts) for ct in leaving(ct_final, t == run.length - 1, collected_t)]
        arriving = [a + b for a, b in zip(from_later, at_end, strict=True)]
        outputs = [at_sources(ct, starts) for ct in ct_ys_t]
        back = jax.vmap(lambda ct, ys: pull(run, carry, xs_t, ct, ys))(arriving, outputs)
        return without_collecting(back.incoming, paths.collected), example_norms(back.made[k], batch)

    start = [jnp.zeros((SOURCES, *run.carry[i].shape), run.carry[i].dtype) for i in states(run)]
    inputs = (jnp.arange(run.length, dtype=jnp.int32), run.carries(), run.xs, ct_ys, paths.collected)
    _, norms = jax.lax.scan(step, start, inputs, reverse=True)
    return norms, chosen


def by_counted_lag(norms: jax.Array, sources: Sources, counted: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Norms (T, S, N) of steps by the lag from their source, relative to lag 0, and whether there is such a step.

    Lags count the steps at which ``counted`` (T, N) is true. What the loss reads at another step, such as the final
    state that padding has held, is followed from the last step before it that counts, where there is one.
    """
    norms = jnp.swapaxes(counted_first(jnp.swapaxes(norms, 1, 2), counted), 1, 2)
    up_to = jnp.cumsum(counted, axis=0, dtype=jnp.int32)
    sources = sources._replace(steps=jnp.take_along_axis(up_to, sources.steps, axis=0) - 1)
    norms, exists = by_source_lag(norms, sources)
    arrives = (norms[:1] > 0) & jnp.isfinite(norms[:1])
    return norms / jnp.where(arrives, norms[:1], 1), exists & arrives
