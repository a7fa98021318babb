"""Gates along a sequence: their values, the share that is saturated, and the time scale of the memory."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from rnnjax.argument_checks import as_int32, check_array, check_integer, check_integers
from rnnjax.cells import ElementwiseCell, Params
from rnnjax.cells.elementwise import own_argument
from rnnjax.cells.validation import check_params
from rnnjax.core.unroll_arguments import check_elementwise
from rnnjax.diagnostics.linearization import Steps, check_steps, check_steps_of, flip_valid

CHANCE = 1e-6  # see padding_read
FLAT = 0.04  # of the steepest slope: reached where σ(z) is within 1% of 0 or 1, tanh(z) within 2% of ±1


def gate_values(cell: ElementwiseCell, params: Params, steps: Steps) -> jax.Array | None:
    """The gates' values (T, ..., G, H), in the order of ``cell.gates``; None where the cell does not name them."""
    check_steps_of(cell, steps)
    check_params(cell, params)
    values = cell.gate_values(steps.z_x, steps.z_h, steps.m_before, *own_argument(params))
    return None if values is None else values.reshape(steps.u.shape)


def saturation(cell: ElementwiseCell, params: Params, steps: Steps) -> jax.Array | None:
    """Share of (step, unit) pairs at which a gate's slope is below 4% of its steepest, (G,).

    There the gate hardly depends on its inputs, and hardly any gradient passes through it. For a relu it is the share
    of pairs at which the unit is off. None where the cell does not name its gates.
    """
    if gate_values(cell, params, steps) is None:
        return None

    def slopes(z_x: jax.Array, z_h: jax.Array, m: jax.Array) -> jax.Array:
        """∂(value of gate k)/∂z^x_k, (..., G, H), taken gate by gate: a gate may also depend on another gate's z."""
        values: Any
        values, pull_back = jax.vjp(lambda z: cell.gate_values(z, z_h, m, *own_argument(params)), z_x)
        blocks = (*values.shape[:-1], len(cell.gates), cell.features)

        def slope(k: int) -> jax.Array:
            chosen = jnp.repeat(jnp.arange(len(cell.gates), dtype=jnp.int32) == k, cell.features).astype(values.dtype)
            return pull_back(jnp.broadcast_to(chosen, values.shape))[0].reshape(blocks)[..., k, :]

        return jnp.abs(jnp.stack([slope(k) for k in range(len(cell.gates))], axis=-2))

    zero, m = (jnp.zeros_like(a[(0,) * (a.ndim - 1)]) for a in (steps.z_x, steps.m_before))
    steepest = jnp.maximum(slopes(zero, zero, m), slopes(zero + 0.5, zero, m))  # a relu has one on one side only
    valid = steps.valid[..., None, None]
    slope_at_steps = slopes(steps.z_x, steps.z_h, steps.m_before)
    flat = (slope_at_steps < FLAT * steepest.reshape(*(1,) * steps.valid.ndim, *steepest.shape)) & valid
    units = jnp.maximum(steps.valid.sum() * cell.features, 1)
    return flat.sum(axis=(*range(steps.valid.ndim), -1)) / units


def horizon(steps: Steps) -> jax.Array:
    """The implied horizon 1/(1 - f) of each unit (H,), in steps, with f = ∂m_t/∂m_{t-1} averaged over all valid steps.

    A unit that keeps the share f of its memory at a step forgets over about 1/(1 - f) steps (Tallec & Ollivier 2018,
    section 2). It is infinite where f is 1 or more: such a unit, of an IndRNN or a PeepholeLSTM, does not forget.
    """
    check_steps(steps)
    valid = steps.valid[..., None]
    count = jnp.maximum(valid.sum(), 1).astype(steps.f.dtype)
    kept = jnp.where(valid, steps.f, 0).sum(axis=tuple(range(steps.valid.ndim))) / count
    forgets = ~(kept >= 1)
    return jnp.where(forgets, 1 / (1 - jnp.where(forgets, kept, 0)), jnp.inf)


def keep_at_bias(cell: ElementwiseCell, params: Params) -> jax.Array:
    """The share of its memory that each unit (H,) keeps at a step, f = ∂m_t/∂m_{t-1}, at zero input and zero state.

    Zoneout is included.
    """
    check_elementwise(cell)
    check_params(cell, params)
    state = cell.initial_state()
    z_x = params.b.astype(cell.state_dtype)
    z_h = jnp.zeros_like(z_x) if params.b_h is None else params.b_h.astype(cell.state_dtype)
    _, pull_back = jax.vjp(lambda m: cell.remember(z_x, z_h, m, *own_argument(params)), state[-1])
    return pull_back(jnp.ones_like(state[-1]))[0]


def padding_read(xs: jax.Array, lengths: jax.Array, *, shortest: int = 3) -> jax.Array:
    """Share of the steps read that look like padding: at least ``shortest`` equal inputs in a row at the end.

    Inputs that repeat by themselves are told from padding in three ways. An input that also occurs earlier in its
    example is no padding. Equal inputs in a row at the beginning, which padding at the end does not explain, show how
    often that happens: twice their number is subtracted. And where inputs repeat at the rate that is found in front of
    such ends, as many repetitions would be there with a probability of less than one in a million; else the share is 0.

    Args:
        xs: (T, B, D) inputs.
        lengths: (B,) steps that are read.
        shortest: number of equal inputs in a row from which on they count as padding.

    Raises:
        ValueError: shapes that do not fit together, or ``shortest`` below 1.
    """
    check_array("xs", xs, "(T, B, D)")
    check_integers("lengths", lengths, xs.shape[1:2], 0, xs.shape[0])
    check_integer("shortest", shortest, 1)
    lengths = as_int32(lengths)
    at_end, at_start = (_equal_at_end(inputs, lengths, shortest) for inputs in (xs, flip_valid(xs, lengths)))
    steps = jnp.arange(xs.shape[0], dtype=jnp.int32)[:, None]
    before = steps < (lengths - at_end - 1)[None, :]  # without the change in front of the end
    repeats = ((xs == jnp.roll(xs, -1, axis=0)).all(axis=-1) & before).sum()
    rate = (repeats + 1) / (before.sum() + 1)
    chosen = at_end > 0  # K of B examples, in one of B over K ways
    repeated = jnp.where(chosen, at_end - 1, 0).sum().astype(rate.dtype)
    log_chance = repeated * jnp.log(rate) + _log_binomial(len(lengths), chosen.sum().astype(rate.dtype))
    share = jnp.maximum(at_end.sum() - 2 * at_start.sum(), 0) / jnp.maximum(lengths.sum(), 1)
    return jnp.where(log_chance < jnp.log(CHANCE), share, 0)


def _equal_at_end(xs: jax.Array, lengths: jax.Array, shortest: int) -> jax.Array:
    """Number (B,) of equal inputs at the end: 0 where below ``shortest``, or where the input occurs before, too.

    It is also 0 where all inputs of an example are equal, which tells nothing.
    """
    steps = jnp.arange(xs.shape[0], dtype=jnp.int32)[:, None]
    valid = steps < lengths[None, :]
    last = jnp.take_along_axis(xs, jnp.maximum(lengths - 1, 0)[None, :, None], axis=0)
    equals_last = (xs == last).all(axis=-1) & valid
    run = jnp.where(valid, jnp.cumprod((equals_last | ~valid)[::-1], axis=0)[::-1], 0).sum(axis=0)
    return jnp.where((run >= shortest) & (run < lengths) & (equals_last.sum(axis=0) == run), run, 0)


def _log_binomial(n: int, k: jax.Array) -> jax.Array:
    return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
