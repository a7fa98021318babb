"""A recurrence whose backward pass is written by hand, whatever computes its two loops.

The loops are those of ``rnnjax.core.fused`` or of ``rnnjax.core.pallas``; what JAX must be told of them is the same.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero, custom_vjp_primal_tree_values

from rnnjax.cells import ElementwiseCell, Params
from rnnjax.core.scan import ScanInputs
from rnnjax.core.taps import has_norm_taps
from rnnjax.typing import CellState, PyTree


class StepCounts(NamedTuple):
    """How many steps there are."""

    steps: int  # T, without those that are appended
    chunk: int  # steps in a chunk, where there are chunks; it divides the steps with those that are appended


class Loops(NamedTuple):
    """The loop along time and the one back, functions defined at module level, since they are compared and hashed.

    ``forward(cell, counts, params, inputs, state)`` returns the final state, the states (T, N, H), and what the way
    back reads besides these. The taps of ``inputs`` are those that are added to the states.

    ``backward(cell, counts, params, inputs, states, kept, ct_final, ct_states)`` returns the gradients of the
    parameters, of xs, of the state before the first step, and of the taps. ``ct_states`` are None for states that
    nothing depends on.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def scan_with_backward(
    loops: Loops, cell: ElementwiseCell, counts: StepCounts, params: Params, inputs: ScanInputs, state: CellState
) -> tuple[CellState, CellState]:
    """Final state and states (T, N, H) of a recurrence, differentiable once in reverse mode by ``loops.backward``."""
    final, states, _ = loops.forward(cell, counts, params, without_norm_taps(inputs), state)
    return final, states


def _forward(loops: Loops, cell: ElementwiseCell, counts: StepCounts, *arguments: PyTree) -> Any:
    params, inputs, state = custom_vjp_primal_tree_values(arguments)
    final, states, kept = loops.forward(cell, counts, params, without_norm_taps(inputs), state)
    return (final, states), (params, inputs, states, kept)


def _backward(loops: Loops, cell: ElementwiseCell, counts: StepCounts, residuals: Any, cotangents: Any) -> Any:
    params, inputs, states, kept = residuals
    ct_final, ct_states = _none_for_zeros(cotangents)
    ct_final = jax.tree.map(lambda a, ct: plus(jnp.zeros_like(a[0]), ct), states, ct_final)
    d_params, d_xs, d_state, totals = loops.backward(cell, counts, params, inputs, states, kept, ct_final, ct_states)
    return d_params, ScanInputs(d_xs, taps=totals), d_state


scan_with_backward.defvjp(_forward, _backward, symbolic_zeros=True)


def without_norm_taps(inputs: ScanInputs) -> ScanInputs:
    """``inputs`` whose taps are those that are added to the states."""
    return inputs._replace(taps=None) if has_norm_taps(inputs.taps) else inputs


def plus(a: jax.Array, b: jax.Array | None) -> jax.Array:
    """A sum of gradients, of which the second may be None for zero."""
    return a if b is None else a + b


def drop(h: jax.Array, mask_h: jax.Array | None) -> jax.Array:
    """H (..., N, H) as it is multiplied with W_h, under dropout."""
    return h if mask_h is None else h * jnp.broadcast_to(mask_h, h.shape)


def _none_for_zeros(tree: PyTree) -> PyTree:
    """Cotangents, None for those of an output that nothing depends on: T·N·H zeros need not be written and read."""

    def is_zero(a: Any) -> bool:
        return isinstance(a, SymbolicZero)

    return jax.tree.map(lambda a: None if is_zero(a) else a, tree, is_leaf=is_zero)
