"""The decay over lag of the gradient of one step's own loss, where the loss reads a layer at many steps.

Let λ_t be the derivative of the loss with respect to the state after step t through the loss alone, not through later
states. The total ∂L/∂m_s adds up what all the λ_t, t ≥ s, send back to s. Where many of them are not zero (mean, max
or attention pooling, an answer at every step, a layer above that reads every output), it stays large however fast each
of them fades, so it is no decay over lag. What decays is

    ∂⟨λ_t, state_t⟩/∂m_{t-k}  over the lag k,  with λ_t held constant,

the gradient of what the loss reads at step t alone. Where the loss reads the last step alone, t = T-1 and this is the
total.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells import ElementwiseCell, Params
from rnnjax.cells.validation import check_params, check_state
from rnnjax.core.taps import safe_norm
from rnnjax.diagnostics.linearization import Steps, check_steps_of, memory_gradient, pull
from rnnjax.typing import CellState, PyTree

SOURCES = 8  # steps whose own loss is followed back, of each example


def loss_decay(
    cell: ElementwiseCell, params: Params, steps: Steps, ct_states: CellState, *, sources: int = SOURCES
) -> tuple[jax.Array, jax.Array]:
    """How the gradient of single steps' own losses fades on its way back, in one pass back through ``steps``.

    The steps t that are followed split ‖λ_t‖ of an example into ``sources`` equal parts, so a step counts as much as
    the loss reads it, and the last step that the loss reads is one of them. A loss that reads fewer steps has some of
    them more than once.

    Args:
        cell: the cell.
        params: its parameters.
        steps: from ``linearise``, of a batch: (T, B, ...).
        ct_states: λ, ``cell.State`` of (T, B, H), as for ``paths``: entries past an example's end are added to its
            last valid step.
        sources: S, how many steps of each example are followed.

    Returns:
        ``norms`` and ``exists``, both (T, S, B). Entry (k, s, b) is ‖∂(loss of step t)/∂m_{t-k}‖ divided by the same
        at lag k = 0; ``exists`` is false where t - k would be before the first step, and for an example whose loss
        does not read the layer or whose gradient is not finite; there the norm is 0.

    Raises:
        ValueError: cell, parameters, steps and ``ct_states`` do not belong together.
    """
    check_steps_of(cell, steps)
    check_params(cell, params)
    check_state(cell, "ct_states", ct_states, steps.f.shape)
    read = read_at_steps(steps, ct_states)
    strength = safe_norm(memory_gradient(cell, read, steps.r))  # (T, B)
    chosen = source_steps(strength, sources)
    scale, usable = chosen.scale[..., None], chosen.usable[..., None]

    def body(cotangents: CellState, inputs: PyTree) -> tuple[CellState, jax.Array]:
        t, step, read_here = inputs
        starts = (chosen.steps == t)[..., None] & usable
        cotangents = jax.tree.map(lambda ct, new: ct + jnp.where(starts, new[None] * scale, 0), cotangents, read_here)
        step = _for_every_source(step, sources)
        return pull(cell, params, step, cotangents), safe_norm(memory_gradient(cell, cotangents, step.r))

    zeros = jax.tree.map(lambda a: jnp.zeros((sources, *a.shape[1:]), a.dtype), read)
    _, norms = jax.lax.scan(
        body, zeros, (jnp.arange(len(strength), dtype=jnp.int32), steps, read), reverse=True
    )  # (T, S, B)
    return by_source_lag(norms, chosen)


class Sources(NamedTuple):
    """The steps whose own loss is followed back, each (S, B)."""

    steps: jax.Array
    scale: jax.Array  # 1 / the strength at the step, 0 where it is not usable
    usable: jax.Array  # whether the strength is finite and above 0


def by_source_lag(norms: jax.Array, sources: Sources) -> tuple[jax.Array, jax.Array]:
    """Norms (T, S, B) of steps in the order of the lag from each source, and whether there is such a step."""
    steps = jnp.arange(len(norms), dtype=jnp.int32)[:, None, None]
    before = sources.steps[None] - steps  # the step at each lag
    exists = (before >= 0) & sources.usable[None]
    return jnp.where(exists, jnp.take_along_axis(norms, jnp.clip(before, 0), axis=0), 0), exists


def read_at_steps(steps: Steps, ct_states: CellState) -> CellState:
    """λ of (T, B, H) with what stands past an example's end added to its last valid step, and 0 there."""
    last = steps.valid.sum(axis=0)[None] - 1
    t = jnp.arange(len(steps.valid), dtype=jnp.int32)[:, None]

    def fold(ct: jax.Array) -> jax.Array:
        at_last = jnp.where((t >= last)[..., None], ct, 0).sum(axis=0)
        return jnp.where((t == last)[..., None], at_last[None], jnp.where((t < last)[..., None], ct, 0))

    return jax.tree.map(fold, ct_states)


def source_steps(strength: jax.Array, sources: int = SOURCES) -> Sources:
    """The steps at which the running sum of ``strength`` (T, B) reaches 1/S, 2/S, ... of the whole."""
    known = jnp.where(jnp.isfinite(strength), strength, 0)
    largest = known.max(axis=0)
    running = jnp.cumsum(known / jnp.where(largest > 0, largest, 1)[None], axis=0)
    parts = (jnp.arange(1, sources, dtype=jnp.int32) / sources).astype(running.dtype)[:, None, None]
    inner = jnp.argmax(running[None] >= parts * running[None, -1:], axis=1)
    last = len(strength) - 1 - jnp.argmax(known[::-1] > 0, axis=0)
    inner = jnp.where(jnp.take_along_axis(known, inner, axis=0) > 0, inner, last[None])
    steps = jnp.concatenate([inner, last[None]]).astype(jnp.int32)
    at_source = jnp.take_along_axis(strength, steps, axis=0)
    usable = (at_source > 0) & jnp.isfinite(at_source)
    return Sources(steps, jnp.where(usable, 1 / jnp.where(usable, at_source, 1), 0), usable)


def _for_every_source(step: Steps, sources: int) -> Steps:
    """One step of (B, ...) repeated for each of the sources, (S, B, ...), as ``pull`` wants it."""
    return jax.tree.map(lambda a: jnp.broadcast_to(a[None], (sources, *a.shape)), step)
