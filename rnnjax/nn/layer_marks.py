"""Marks of the calls of recurrent layers in a traced program, for diagnostics.

``RNN`` marks what it reads and what it returns while a program is traced under ``marking(CALLS)``, and the taps that it
adds to its states too under ``marking(TAPS)``, zeros where it has none. A mark is a
primitive of JAX that returns its first operands unchanged, so it stays in the program wherever a transformation puts
the layer: in the body of ``jax.jit``, ``jax.checkpoint`` or ``lax.scan``. Under ``jax.vmap`` its arrays get the mapped
axis in front. ``analysis.marked_program`` reads the marks.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from rnnjax.cells import ElementwiseCell, Params
from rnnjax.core.valid_span import at_last_step
from rnnjax.typing import CellState, PyTree, Taps

CALLS, TAPS = "calls", "taps"
marking = jax.make_user_context(None)  # part of the key of JAX's caches: what was traced before has no marks


class LayerInfo(NamedTuple):
    """Which layer is called."""

    name: str  # path of the module, with slashes
    cell: ElementwiseCell
    reverse: bool
    time_major: bool


class Mark(NamedTuple):
    """The operands of a mark."""

    passed: PyTree  # what the layer goes on with: its inputs and taps, or its final state and outputs
    noted: PyTree
    weights: PyTree
    info: LayerInfo | None  # None after the layer, where only ``passed`` is there
    mapped: tuple[bool, ...]  # for each axis of ``jax.vmap``, outermost first: whether ``weights`` have it too


def final_where_made(final: CellState, states: CellState, lengths: jax.Array | None, reverse: bool) -> CellState:
    """``final``, read out of ``states`` (T, ..., *) at the step that made it, instead of after the steps that hold it.

    The numbers are the same. The gradient comes to the state at that step and not to all steps past an example's end,
    so that diagnostics of the scan count their lags from the last valid step.
    """

    def read(a: jax.Array, of_steps: jax.Array) -> jax.Array:
        return at_last_step(of_steps, lengths, reverse) if jnp.issubdtype(a.dtype, jnp.inexact) else a

    return final if lengths is None else jax.tree.map(read, final, states)


def mark_inputs(
    info: LayerInfo,
    params: Params,
    xs: jax.Array,
    lengths: jax.Array | None,
    resets: jax.Array | None,
    state: CellState | None,
    taps: Taps,
    train: bool | jax.Array,
) -> tuple[jax.Array, Taps]:
    """``xs`` (T, ..., D) and taps, marked with all that a layer reads; None stands for full lengths and for zeros.

    Whether it draws dropout, zoneout or noise is noted, and not what it draws; None stands for false.
    """
    steps, *batch_shape = xs.shape[:-1]
    if marking.value == TAPS and taps is None:
        taps = info.cell.initial_state(xs.shape[:-1])
    lengths = jnp.full(batch_shape, steps, jnp.int32) if lengths is None else lengths
    state = info.cell.initial_state(tuple(batch_shape)) if state is None else state
    draws = train if info.cell.is_random and (isinstance(train, jax.core.Tracer) or train) else None
    marked: tuple[jax.Array, Taps] = _mark((xs, taps), (lengths, resets, state, draws), params, info)
    return marked


def mark_outputs(final: CellState, ys: jax.Array) -> tuple[CellState, jax.Array]:
    """The final state and outputs (T, ..., H) of the layer whose inputs were marked last."""
    marked: tuple[CellState, jax.Array] = _mark((final, ys))
    return marked


def _mark(passed: PyTree, noted: PyTree = (), weights: PyTree = (), info: LayerInfo | None = None) -> PyTree:
    """``passed``, marked in the program that is being traced; see ``Mark``."""
    leaves, tree = jax.tree.flatten((passed, noted, weights))
    counts = len(jax.tree.leaves(passed)), len(jax.tree.leaves(weights))
    passed_leaves = mark_p.bind(*leaves, tree=tree, counts=counts, info=info, mapped=())
    return jax.tree.unflatten(jax.tree.structure(passed), passed_leaves)


def read_mark(operands: Sequence[jax.Array], *, tree: Any, counts: Any, info: Any, mapped: tuple[bool, ...]) -> Mark:
    """The operands and parameters of a mark in a program as ``Mark``."""
    passed, noted, weights = jax.tree.unflatten(tree, operands)
    return Mark(passed, noted, weights, info, mapped)


mark_p = Primitive("rnnjax_layer")
mark_p.multiple_results = True


def _passed(*operands: Any, counts: tuple[int, int], **_: Any) -> list[Any]:
    return list(operands[: counts[0]])


def _differentiate(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    return mark_p.bind(*primals, **params), _passed(*tangents, **params)


def _map(operands: Any, axes: Any, *, counts: Any, mapped: tuple[bool, ...], **params: Any) -> Any:
    """Every operand gets the mapped axis in front; the weights only where one of them has it."""
    size = next(a.shape[axis] for a, axis in zip(operands, axes, strict=True) if axis is not None)

    def in_front(a: jax.Array, axis: int | None) -> jax.Array:
        return jnp.broadcast_to(a, (size, *jnp.shape(a))) if axis is None else jnp.moveaxis(a, axis, 0)

    first = len(operands) - counts[1]
    with_weights = any(axis is not None for axis in axes[first:])
    moved = [
        in_front(a, axis) if i < first or with_weights else a
        for i, (a, axis) in enumerate(zip(operands, axes, strict=True))
    ]
    outputs = mark_p.bind(*moved, counts=counts, mapped=(with_weights, *mapped), **params)
    return outputs, [0] * len(outputs)


mark_p.def_impl(_passed)
mark_p.def_abstract_eval(_passed)
ad.primitive_jvps[mark_p] = _differentiate
batching.primitive_batchers[mark_p] = _map
mlir.register_lowering(mark_p, mlir.lower_fun(_passed, multiple_results=True))
