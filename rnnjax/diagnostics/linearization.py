"""A cell linearised along a sequence: the elementwise partials of every step.

A small change of the state before step t, (δh, δm)_{t-1}, becomes

    δz_k = δh_{t-1} W_hk                             k = 1..G gates
    δm_t = f_t·δm_{t-1} + Σ_k U_k·δz_k               f = ∂m_t/∂m_{t-1}, the belt;  U_k = ∂m_t/∂z^h_k
    δh_t = r_t·δm_t + Σ_k O_k·δz_k                   r = ∂h_t/∂m_t;  O_k = ∂h_t/∂z^h_k at fixed m_t

where memory and output are one state, δh_t = δm_t. All other diagnostics are computed from these partials, so they
work for any cell that defines ``update`` and ``readout``. Zoneout is part of m_t, at its mean. Arrays are time-major,
(T, ..., H), with any batch shape or none in between; H units, G gates.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import as_int32, check_array, check_integers, describe
from rnnjax.cells import ElementwiseCell, Params
from rnnjax.cells.elementwise import own_argument
from rnnjax.cells.validation import check_params, check_state
from rnnjax.core.unroll import unroll
from rnnjax.core.unroll_arguments import check_elementwise
from rnnjax.typing import CellState, PyTree


class Steps(NamedTuple):
    """The T linearised steps of a sequence; a step past an example's end (``valid`` is False) keeps the state."""

    states: CellState  # cell.State of (T, ..., H): the state after each step
    m_before: jax.Array  # (T, ..., H): the memory before each step
    z_x: jax.Array  # (T, ..., G·H)
    z_h: jax.Array  # (T, ..., G·H)
    f: jax.Array  # (T, ..., H)
    u: jax.Array  # (T, ..., G, H)
    r: jax.Array  # (T, ..., H)
    o: jax.Array  # (T, ..., G, H)
    u_x: jax.Array  # (T, ..., G, H), ∂m_t/∂z^x_k
    o_x: jax.Array  # (T, ..., G, H), ∂h_t/∂z^x_k at fixed m_t
    valid: jax.Array  # (T, ...) bool
    reset: jax.Array  # (T, ...) bool: the step starts from the initial state; f, u and o are 0


def linearise(
    cell: ElementwiseCell,
    params: Params,
    xs: jax.Array,
    state: CellState | None = None,
    *,
    lengths: jax.Array | None = None,
    resets: jax.Array | None = None,
) -> Steps:
    """Run ``cell`` over ``xs`` and take the elementwise partials of every step, by one pull-back for all steps.

    Args:
        cell: an elementwise cell.
        params: its parameters.
        xs: (T, ..., D), time-major.
        state: the state before the first step, each (..., H); None is ``cell.initial_state``.
        lengths: (...) integers in 0..T, valid steps of each example; None means T.
        resets: (T, ...) bool, steps that start from the initial state; f, u and o are 0 there, as nothing of the state
            before passes through them.

    Returns:
        ``Steps``; without dropout and noise, zoneout at its mean. Differentiable again, in reverse mode.

    Raises:
        ValueError: as ``rnnjax.unroll``.
    """
    check_elementwise(cell)
    _, states = unroll(cell, params, xs, state, lengths=lengths, resets=resets)
    if state is None:
        state = cell.initial_state(xs.shape[1:-1])
    valid = jnp.ones(xs.shape[:-1], bool)
    if lengths is not None:
        t = jnp.arange(xs.shape[0], dtype=jnp.int32).reshape(-1, *(1,) * jnp.ndim(lengths))
        valid = t < as_int32(lengths)[None]
        xs = jnp.where(valid[..., None], xs, 0)
    before = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest[:-1]]), state, states)
    if resets is None:
        return linearise_steps(cell, params, xs, before, states, valid)
    reset = jnp.asarray(resets, bool) & valid
    before = jax.tree.map(
        lambda one, a: jnp.where(reset[..., None], jnp.expand_dims(one, range(a.ndim - 1)), a),
        cell.initial_state(), before,
    )  # fmt: skip
    return cut_at(linearise_steps(cell, params, xs, before, states, valid), reset)


def cut_at(steps: Steps, resets: jax.Array) -> Steps:
    """``steps`` of which those at ``resets`` (T, ...) pass nothing on of the state before them: f, u and o are 0."""
    by_unit = resets[..., None]
    f, u, o = jnp.where(by_unit, 0, steps.f), *(jnp.where(by_unit[..., None], 0, a) for a in (steps.u, steps.o))
    return steps._replace(f=f, u=u, o=o, reset=resets)


def linearise_steps(
    cell: ElementwiseCell, params: Params, xs: jax.Array, before: CellState, states: CellState, valid: jax.Array
) -> Steps:
    """The elementwise partials of steps whose states are known.

    Args:
        cell: the cell.
        params: its parameters.
        xs: (T, ..., D).
        before: ``cell.State`` of (T, ..., H), the state that each step reads.
        states: the state after each step.
        valid: (T, ...) bool, see ``Steps``.
    """
    before = jax.tree.map(lambda a: a.astype(cell.state_dtype), before)
    z_x = cell.project(xs, params.w_x, params.b)
    z_h = cell.project_state(params, before[0])

    own = own_argument(params)
    _, pull_remember = jax.vjp(lambda z_x, z_h, m: cell.remember(z_x, z_h, m, *own), z_x, z_h, before[-1])
    _, pull_readout = jax.vjp(lambda z_x, z_h, m: cell.readout(z_x, z_h, m, *own), z_x, z_h, states[-1])
    ones = jnp.ones_like(before[-1])  # m_t is elementwise, so pulling ones back gives every partial
    (u_x, u, f), (o_x, o, r) = pull_remember(ones), pull_readout(ones)

    def by_gate(a: jax.Array) -> jax.Array:
        return a.reshape(*a.shape[:-1], len(cell.gates), cell.features)

    u, o, u_x, o_x = map(by_gate, (u, o, u_x, o_x))
    return Steps(states, before[-1], z_x, z_h, f, u, r, o, u_x, o_x, valid, jnp.zeros_like(valid))


def check_steps(steps: object) -> None:
    """Raise ValueError unless ``steps`` are ``Steps``."""
    if not isinstance(steps, Steps):
        raise ValueError(f"steps must be the result of rnnjax.diagnostics.linearise, got {describe(steps)}")


def check_steps_of(cell: ElementwiseCell, steps: Steps) -> None:
    """Raise ValueError unless ``steps`` are ``Steps`` with this cell's numbers of gates and units."""
    check_elementwise(cell)
    check_steps(steps)
    gates, units = steps.u.shape[-2:]
    if (gates, units) != (len(cell.gates), cell.features):
        raise ValueError(
            f"steps are of a cell with {gates} gates and {units} units, "
            f"but {type(cell).__name__}({cell.features}) has {len(cell.gates)} and {cell.features}"
        )


def recurrent_blocks(cell: ElementwiseCell, params: Params) -> jax.Array:
    """W_h gate by gate, (G, H, H): ``[k]`` is the kernel W_hk (from, to) of gate k, in ``cell.state_dtype``.

    Zeros for a cell without W_h.
    """
    if params.w_h is None:
        return jnp.zeros((len(cell.gates), cell.features, cell.features), cell.state_dtype)
    blocks = params.w_h.reshape(cell.features, len(cell.gates), cell.features)
    return jnp.swapaxes(blocks, 0, 1).astype(cell.state_dtype)


def pull(cell: ElementwiseCell, params: Params, steps: Steps, cotangents: CellState) -> CellState:
    """J_tᵀ λ_t: the gradient λ_t = ∂L/∂(state after step t) pulled back through step t, to the state before it.

    Args:
        cell: the cell.
        params: its parameters.
        steps: from ``linearise``, of any leading shape; each step is pulled back separately.
        cotangents: λ, ``cell.State`` of the same leading shape.

    Raises:
        ValueError: cell, parameters, steps and cotangents do not belong together.
    """
    check_steps_of(cell, steps)
    check_params(cell, params)
    check_state(cell, "cotangents", cotangents, steps.f.shape)
    ct_h, dm = cotangents[0], memory_gradient(cell, cotangents, steps.r)
    dz = steps.u * dm[..., None, :]
    if cell.has_separate_memory:
        dz = dz + steps.o * ct_h[..., None, :]
    back_h = jnp.einsum("...gj,ghj->...h", dz, recurrent_blocks(cell, params))
    back_m = steps.f * dm
    back = cell.make_state(back_h, back_m) if cell.has_separate_memory else cell.State(back_h + back_m)
    return jax.tree.map(lambda a, b: jnp.where(steps.valid[..., None], a, b), back, cotangents)


def memory_gradient(cell: ElementwiseCell, cotangents: CellState, r: jax.Array) -> jax.Array:
    """∂L/∂m_t, through the output too, from ∂L/∂(state after step t) with h and memory as independent variables.

    Args:
        cell: the cell.
        cotangents: ``cell.State`` of (..., H).
        r: (..., H) ∂h_t/∂m_t, see ``Steps``.
    """
    return cotangents[-1] + r * cotangents[0] if cell.has_separate_memory else cotangents[0]


def flip_valid(tree: PyTree, lengths: jax.Array) -> PyTree:
    """Each example's valid steps in reverse order, still at the front: (T, B, ...) arrays, ``lengths`` (B,).

    A layer with ``reverse=True`` equals a forward layer on flipped sequences; its lags count from the last step that
    it reads.

    Raises:
        ValueError: arrays without these axes, or ``lengths`` that do not fit them.
    """
    for a in jax.tree.leaves(tree):
        check_array("every array of tree", a, "(T, B, ...)")
        check_integers("lengths", lengths, a.shape[1:2], 0, a.shape[0])

    lengths = as_int32(lengths)

    def flip(a: jax.Array) -> jax.Array:
        t = jnp.arange(a.shape[0], dtype=jnp.int32)[:, None]
        source = jnp.where(t < lengths[None, :], lengths[None, :] - 1 - t, t)
        return jnp.take_along_axis(a, source.reshape(*source.shape, *(1,) * (a.ndim - 2)), axis=0)

    return jax.tree.map(flip, tree)
