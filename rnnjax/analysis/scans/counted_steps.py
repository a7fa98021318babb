"""Which steps of a scan count, and arrays with these steps in front, as if the others were not there.

Lags, decays and Lyapunov exponents count steps. A step that holds the state, as in padding, is none: it must neither
widen a lag nor dilute a mean.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from rnnjax.analysis.measure import for_each_example
from rnnjax.scans.carries import mapped_axis
from rnnjax.scans.sites import Site
from rnnjax.typing import PyTree


def of_runs(site: Site, mask: jax.Array | None, batch: int | None) -> jax.Array | None:
    """A mask of the user (T, B) for all runs of a scan (T, N), in the order of its steps; None for other scans.

    The examples are the last axis of the runs, or that of the scan around this one that maps over them, where a run is
    of one example alone and ``batch`` is None.
    """
    if mask is None or mask.shape[0] != site.length:
        return None
    axis = mapped_axis(site, mask.shape[1]) if batch is None else None
    earlier, later = (site.outer, ()) if axis is None else (site.outer[:axis], site.outer[axis + 1 :])
    return for_each_example(mask[::-1] if site.reverse else mask, earlier, later)


def steps_reached(gradients: Sequence[jax.Array]) -> jax.Array:
    """All steps up to the last one to which a gradient comes, (T, N), from norms or numbers (T, N, ...) of each."""
    reached = jnp.stack([(a != 0).reshape(*a.shape[:2], -1).any(axis=-1) for a in gradients]).any(axis=0)
    return jnp.arange(len(reached), dtype=jnp.int32)[:, None] <= last_step(reached)[None]


def last_step(mask: jax.Array) -> jax.Array:
    """The last step at which a mask (T, N) is true, -1 where it never is."""
    return jnp.where(mask.any(axis=0), len(mask) - 1 - jnp.argmax(mask[::-1], axis=0), -1).astype(jnp.int32)


def counted_first(tree: PyTree, counted: jax.Array) -> PyTree:
    """Arrays (T, N, ...) in which the steps at which ``counted`` (T, N) is true come first, in their order."""
    order = jnp.argsort(~counted, axis=0, stable=True)
    return jax.tree.map(
        lambda a: jnp.take_along_axis(a, order.reshape(*order.shape, *(1,) * (a.ndim - 2)), axis=0), tree
    )
