"""What the gates do along a sequence: their values, how many are stuck, and how long the memory is meant to last."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_array, check_integer, check_integers
from rnnjax.cells import Cell, Params
from rnnjax.cells.validation import check_params
from rnnjax.core.unroll import check_cell
from rnnjax.diagnostics.linearization import Steps, check_steps, check_steps_of

FLAT = 0.04  # of the steepest slope: σ(z) within 1% of its ends, tanh(z) within 2%


def gate_values(cell: Cell, steps: Steps) -> jax.Array | None:
    """The gates' values (T, ..., G, H), in the order of ``cell.gates``; None where the cell does not name them."""
    check_steps_of(cell, steps)
    values = cell.gate_values(steps.z_x, steps.z_h)
    return None if values is None else values.reshape(steps.u.shape)


def saturation(cell: Cell, steps: Steps) -> jax.Array | None:
    """Share of (step, unit) pairs at which a gate's slope is below 4% of its steepest, (G,); None as above.

    There the gate no longer listens, and no gradient passes through it. For a relu: the share that is switched off.
    """
    if gate_values(cell, steps) is None:
        return None

    def slopes(z_x: jax.Array, z_h: jax.Array) -> jax.Array:
        """∂(value of gate k)/∂z^x_k, (..., G, H): a gate may also depend on another one's z."""
        values: Any
        values, pull_back = jax.vjp(lambda z: cell.gate_values(z, z_h), z_x)
        blocks = (*values.shape[:-1], len(cell.gates), cell.features)

        def of_gate(k: int) -> jax.Array:
            one = jnp.repeat(jnp.arange(len(cell.gates)) == k, cell.features).astype(values.dtype)
            return pull_back(jnp.broadcast_to(one, values.shape))[0].reshape(blocks)[..., k, :]

        return jnp.abs(jnp.stack([of_gate(k) for k in range(len(cell.gates))], axis=-2))

    zero = jnp.zeros_like(steps.z_x[(0,) * (steps.z_x.ndim - 1)])
    steepest = jnp.maximum(slopes(zero, zero), slopes(zero + 0.5, zero))  # a relu has its slope on one side only
    valid = steps.valid[..., None, None]
    flat = (slopes(steps.z_x, steps.z_h) < FLAT * steepest.reshape(*(1,) * steps.valid.ndim, *steepest.shape)) & valid
    units = jnp.maximum(steps.valid.sum() * cell.features, 1)
    return flat.sum(axis=(*range(steps.valid.ndim), -1)) / units


def horizon(steps: Steps) -> jax.Array:
    """The implied horizon 1/(1 - f) of each unit (H,), in steps, f averaged over all valid steps.

    Tallec & Ollivier (2018), section 2: a unit that keeps f of its memory at a step forgets over so many steps.
    """
    check_steps(steps)
    valid = steps.valid[..., None]
    kept = jnp.where(valid, steps.f, 0).sum(axis=tuple(range(steps.valid.ndim))) / jnp.maximum(valid.sum(), 1)
    return 1 / (1 - kept)


def keep_at_bias(cell: Cell, params: Params) -> jax.Array:
    """What each unit (H,) keeps, f = ∂m_t/∂m_{t-1}, at zero input and zero state; zoneout counts."""
    check_cell(cell)
    check_params(cell, params)
    state = cell.initial_state()
    z_x = params.b.astype(cell.state_dtype)
    z_h = jnp.zeros_like(z_x) if params.b_h is None else params.b_h.astype(cell.state_dtype)
    _, pull_back = jax.vjp(lambda m: cell.remember(z_x, z_h, m), state[-1])
    return pull_back(jnp.ones_like(state[-1]))[0]


def padding_read(xs: jax.Array, lengths: jax.Array, *, shortest: int = 3) -> jax.Array:
    """Share of the steps read that look like padding: a run of at least ``shortest`` equal inputs at the very end.

    Args:
        xs: (T, B, D) inputs.
        lengths: (B,) steps that are read.
        shortest: equal inputs in a row from which a run counts.

    Raises:
        ValueError: arrays or a number that do not fit together.
    """
    check_array("xs", xs, "(T, B, D)")
    check_integers("lengths", lengths, xs.shape[1:2], 0, xs.shape[0])
    check_integer("shortest", shortest, 1)
    at = jnp.arange(xs.shape[0])[:, None]
    repeats = (xs == jnp.roll(xs, -1, axis=0)).all(axis=-1) | (at >= lengths[None, :] - 1)  # as the step after it
    run = jnp.cumprod(repeats[::-1], axis=0)[::-1] * (at < lengths[None, :])
    length = run.sum(axis=0)
    return jnp.where(length >= shortest, length, 0).sum() / jnp.maximum(lengths.sum(), 1)
