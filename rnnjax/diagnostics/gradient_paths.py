"""Belt and detour: the gradient of the memory, split by the paths that it took back through time.

∂L/∂m_t is a sum over all paths from m_t to the loss. The paths of the belt run only along f = ∂m_t/∂m_{t-1} until the
memory is read out. The paths of the detour pass through W_h at least once, and are grouped by the gate k that they
enter first. The parts are exact and sum to the total:

    ∂L/∂m_t = direct_t + belt_t + Σ_k enters_k,t

    dh_t       = ct_h[t] + Σ_k via_k,t                  via_k,t = dz_k,t+1 W_hkᵀ
    direct_t   = ct_m[t] + r_t·ct_h[t]                  the loss at this very step
    belt_t     = f_{t+1}·(direct_{t+1} + belt_{t+1})
    enters_k,t = r_t·via_k,t + f_{t+1}·enters_k,t+1

with ct_h and ct_m the derivatives of the loss with respect to each state through the loss alone, not through later
states.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import is_array
from rnnjax.cells import ElementwiseCell, Params
from rnnjax.cells.validation import check_params, check_state
from rnnjax.diagnostics.gradients import safe_norm
from rnnjax.diagnostics.linearization import Steps, check_steps_of, memory_gradient, recurrent_blocks
from rnnjax.typing import CellState, PyTree


class Paths(NamedTuple):
    """The parts of ∂L/∂m_t, and total derivatives; time-major, 0 past an example's end."""

    direct: jax.Array  # (T, ..., H) from the loss at step t itself
    belt: jax.Array  # (T, ..., H) from later steps, along f alone
    enters: jax.Array  # (T, ..., G, H) from later steps, through W_h at least once; by the gate entered first
    state: CellState  # cell.State of (T, ..., H): ∂L/∂(state after step t), h and memory as two independent variables
    dz_x: jax.Array  # (T, ..., G, H) ∂L/∂z^x_k, the gradient at the gates' inputs

    @property
    def detour(self) -> jax.Array:
        """The detour (T, ..., H): the part that passed through W_h at least once."""
        return self.enters.sum(axis=-2)

    @property
    def memory(self) -> jax.Array:
        """∂L/∂m_t (T, ..., H), the total derivative: the gradient with respect to the memory's taps."""
        return self.direct + self.belt + self.detour


def paths(cell: ElementwiseCell, params: Params, steps: Steps, ct_states: CellState) -> Paths:
    """Split the gradient of the memory at every step, in one pass back through ``steps``.

    Args:
        cell: the cell.
        params: its parameters.
        steps: from ``linearise``.
        ct_states: ``cell.State`` of (T, ..., H), the derivative of the loss with respect to the stacked states, not
            through later states. Entries past an example's end are added to its last valid step, so the derivative
            with respect to the final state can be added to the last entry.

    Raises:
        ValueError: cell, parameters, steps and ``ct_states`` do not belong together.
    """
    check_steps_of(cell, steps)
    check_params(cell, params)
    check_state(cell, "ct_states", ct_states, steps.f.shape)
    blocks = recurrent_blocks(cell, params)
    separate = cell.has_separate_memory
    zero = jnp.zeros_like(steps.f[0])
    zeros = jnp.zeros_like(steps.u[0])

    def body(carry: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
        step, ct = inputs
        ct_past_end, belt, entered, via = carry
        ct = jax.tree.map(jnp.add, ct, ct_past_end)
        r = step.r[..., None, :]
        direct = memory_gradient(cell, ct, step.r)
        enters = entered + (r * via if separate else via)
        dh = ct[0] + via.sum(axis=-2)
        memory = direct + belt + enters.sum(axis=-2)
        dz = step.u * memory[..., None, :]
        dz_x = step.u_x * memory[..., None, :]
        if separate:
            dz, dz_x = dz + step.o * dh[..., None, :], dz_x + step.o_x * dh[..., None, :]
        state = cell.make_state(dh, ct[-1] + belt + entered.sum(axis=-2)) if separate else cell.State(memory)

        carry_valid = (
            jax.tree.map(jnp.zeros_like, ct),
            step.f * (direct + belt),
            step.f[..., None, :] * enters,
            jnp.einsum("...gj,ghj->...gh", dz, blocks),
        )
        carry_past_end = (ct, belt, entered, via)
        parts = (direct, belt, enters, state, dz_x)

        def where_valid(valid: jax.Array, past_end: jax.Array) -> jax.Array:
            mask = step.valid.reshape(*step.valid.shape, *(1,) * (valid.ndim - step.valid.ndim))
            return jnp.where(mask, valid, past_end)

        zero_parts = jax.tree.map(jnp.zeros_like, parts)
        return jax.tree.map(where_valid, carry_valid, carry_past_end), jax.tree.map(where_valid, parts, zero_parts)

    carry = (jax.tree.map(lambda a: jnp.zeros_like(a[0]), ct_states), zero, zeros, zeros)
    _, parts = jax.lax.scan(body, carry, (steps, ct_states), reverse=True)
    return Paths(*parts)


def share(part: jax.Array, rest: jax.Array) -> jax.Array:
    """‖part‖ / (‖part‖ + ‖rest‖) over features: (..., H) → (...), between 0 and 1; NaN where both are 0.

    Raises:
        ValueError: two different shapes.
    """
    if is_array(part) and is_array(rest) and part.shape != rest.shape:
        raise ValueError(f"part and rest must have the same shape, got {part.shape} and {rest.shape}")
    a, b = safe_norm(part), safe_norm(rest)
    total = a + b
    return jnp.where(total > 0, a / jnp.where(total > 0, total, 1), jnp.nan)
