"""The inputs of every recurrent layer of a Flax model, and the gradients at its inputs and outputs.

They are read from the traced program of a loss, in which ``rnnjax.RNN`` marks its calls, so any model that uses it
works without a change, and so do transformations of JAX and of Flax around the model, a part of it, or the loss.
"""

import dataclasses
from collections.abc import Callable, Iterator

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.marked_program import MarkedCall, Perturbation, evaluate
from rnnjax.argument_checks import describe, is_array
from rnnjax.cells import ElementwiseCell, Params
from rnnjax.core.unroll import reset_before
from rnnjax.diagnostics.linearization import flip_valid
from rnnjax.nn.layer_marks import CALLS, marking
from rnnjax.typing import CellState, PyTree

Loss = Callable[[PyTree, PyTree], jax.Array]  # (params, batch) -> the loss of each example (B,)


class NoRecurrentLayerError(ValueError):
    """A loss calls no ``rnnjax.RNN``."""


@flax.struct.dataclass
class LayerCall:
    """The arguments of one call of an ``RNN``; arrays are time-major, in the order in which the layer reads the steps.

    A layer with ``reverse=True`` is recorded as a forward layer on sequences whose valid steps are flipped. N rows are
    the B examples, or all sequences of all examples where a layer reads several of each: batch axes are made one, axes
    of ``jax.vmap`` over inputs included. Each step of a scan around the layer is a call, and so is each set of
    parameters where it is mapped over parameters; their index follows the name, as in "layer[2]".
    """

    name: str = flax.struct.field(pytree_node=False)  # path of the module, with slashes
    cell: ElementwiseCell = flax.struct.field(pytree_node=False)
    reverse: bool = flax.struct.field(pytree_node=False)
    time_major: bool = flax.struct.field(pytree_node=False)  # whether the module is; the arrays here always are
    params: Params
    xs: jax.Array  # (T, N, D)
    lengths: jax.Array  # (N,); all 0 in a branch of a conditional that was not taken
    resets: jax.Array | None  # (T, N) bool, the steps before which the layer resets its state, where there are any
    state: CellState  # cell.State of (N, H)
    rows: tuple[int, ...] = flax.struct.field(pytree_node=False, default=())  # lengths of the axes that make N
    draws: bool = flax.struct.field(pytree_node=False, default=False)  # dropout, zoneout or noise, which is not here


@flax.struct.dataclass
class LayerGradients:
    """Gradients at the outputs and inputs of one ``LayerCall``, of each example's own loss L_b."""

    ct_states: CellState  # cell.State of (T, N, H): ∂L_b/∂state, not through later states; for ``diagnostics.paths``
    d_xs: jax.Array  # (T, N, D): ∂L_b/∂x_t, through this layer


def record_calls(loss: Loss, params: PyTree, batch: PyTree) -> tuple[jax.Array, tuple[LayerCall, ...]]:
    """Losses (B,), and the calls of all recurrent layers in order.

    Args:
        loss: calls a Flax model and returns the loss of each example.
        params: its first argument.
        batch: its second argument.

    Raises:
        NoRecurrentLayerError: no recurrent layer was called.
        ValueError: the loss is not one number for each example, or a layer was called inside a transformation that
            cannot be looked into.
    """
    program, _ = _trace(loss, params, batch)
    losses, calls = program(None)
    return losses, tuple(layer for call in calls for layer in _layer_calls(call))


def backpropagate(
    loss: Loss, params: PyTree, batch: PyTree, *, mean: bool = False
) -> tuple[jax.Array, tuple[LayerCall, ...], tuple[LayerGradients, ...]]:
    """``record_calls``, and the gradients of each example's own loss at the inputs and outputs of every layer.

    Examples must not influence each other (no batch normalisation): then one backward pass of the sum of the losses
    gives every example's own gradient. With ``mean`` the loss may also be one number, whose gradients then are given.
    """
    program, shapes = _trace(loss, params, batch, mean)

    def total_loss(perturbations: list[Perturbation]) -> tuple[jax.Array, PyTree]:
        losses, calls = program(perturbations)
        return losses.sum(), (losses, calls)

    perturbed = [Perturbation(call.xs, call.final, call.ys) for call in shapes]
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), perturbed)
    gradients, (losses, marked) = jax.grad(total_loss, has_aux=True)(zeros)
    layers: list[LayerCall] = []
    of_layers: list[tuple[PyTree, ...]] = []
    for call, gradient in zip(marked, gradients, strict=True):
        layers += _layer_calls(call)
        d_xs, ct_ys = (_by_call(call, steps, axes_before_batch=1) for steps in (gradient.xs, gradient.ys))
        of_layers += zip(d_xs, _by_call(call, gradient.final), ct_ys, strict=True)
    return losses, tuple(layers), tuple(_layer_gradients(call, *g) for call, g in zip(layers, of_layers, strict=True))


Program = Callable[[list[Perturbation] | None], tuple[jax.Array, list[MarkedCall]]]


def _trace(loss: Loss, params: PyTree, batch: PyTree, mean: bool = False) -> tuple[Program, list[MarkedCall]]:
    """The loss as a program with perturbations, and the shapes of the calls in it; its result is checked."""
    refused: list[str] = []

    def loss_of_arrays(params: PyTree, batch: PyTree) -> PyTree:
        losses = loss(params, batch)
        if is_array(losses):
            return losses
        refused.append(describe(losses))
        return jnp.zeros(())

    with marking(CALLS):
        traced = jax.make_jaxpr(loss_of_arrays)(params, batch)
    arguments = jax.tree.leaves((params, batch))

    def program(perturbations: list[Perturbation] | None) -> tuple[jax.Array, list[MarkedCall]]:
        (losses,), calls = evaluate(traced, arguments, perturbations)
        return losses, calls

    losses, calls = jax.eval_shape(program, None)
    if not calls:
        raise NoRecurrentLayerError(
            "the loss called no rnnjax.RNN, so there is no recurrent layer to measure; apply the model in the loss, as "
            "in model.apply({'params': params}, batch), and make its layers of rnnjax.RNN(cell)"
        )
    rows = {call.lengths.shape[0] for marked in calls for call in jax.eval_shape(_layer_calls, marked)}
    if refused or not (_fits(losses.shape, rows, batch) or (mean and losses.shape == ())):
        raise ValueError(
            f"the loss must be one number for each example, shape ({min(rows)},), got "
            f"{refused[0] if refused else losses.shape}; return it before taking the mean"
        )
    if not jnp.issubdtype(losses.dtype, jnp.floating):
        raise ValueError(
            f"the loss must hold floating-point numbers, got {losses.dtype}; return what is differentiated"
        )
    return program, calls


def _fits(shape: tuple[int, ...], rows: set[int], batch: PyTree) -> bool:
    """Whether losses of this shape can be those of all examples: a layer has a row, or as many, for each of them."""
    if len(shape) != 1 or shape[0] in rows:
        return len(shape) == 1
    examples = {jnp.shape(a)[0] for a in jax.tree.leaves(batch) if jnp.ndim(a) > 0}
    return examples == {shape[0]} and all(n % shape[0] == 0 for n in rows)


def _layer_calls(marked: MarkedCall) -> list[LayerCall]:
    """The calls of a layer that are one in the program."""
    name, cell, reverse, time_major = marked.info
    all_xs = _by_call(marked, marked.xs, axes_before_batch=1)
    all_states = _by_call(marked, marked.state)
    all_lengths = _by_call(marked, marked.lengths, axes_after_batch=0)
    all_resets = _by_call(marked, marked.resets, axes_before_batch=1, axes_after_batch=0)
    leading = (True,) * marked.scanned + marked.mapped
    mapped = [size for size, own in zip(marked.xs.shape, leading, strict=False) if not own]
    rows = (*mapped, *marked.lengths.shape[len(leading) :])
    calls = []
    for index, xs, state, lengths, resets in zip(
        _indices(marked), all_xs, all_states, all_lengths, all_resets, strict=True
    ):
        xs = flip_valid(xs, lengths) if reverse else xs
        numbered = name + "".join(f"[{i}]" for i in index)
        params = _at(index, marked.params)
        call = LayerCall(numbered, cell, reverse, time_major, params, xs, lengths, None, state, rows, marked.draws)
        calls.append(call if resets is None else dataclasses.replace(call, resets=in_reading_order(call, resets)))
    return calls


def in_reading_order(call: LayerCall, resets: jax.Array) -> jax.Array:
    """First steps of episodes (T, N) as the steps before which a layer must reset, in the order in which it reads."""
    before = reset_before(resets, jnp.arange(len(resets), dtype=jnp.int32)[:, None] < call.lengths[None], call.reverse)
    ordered: jax.Array = flip_valid(before, call.lengths) if call.reverse else before
    return ordered


def _indices(marked: MarkedCall) -> Iterator[tuple[int, ...]]:
    """The index of each call along the axes of scans and of those vmaps that have parameters of their own."""
    leading = (True,) * marked.scanned + marked.mapped
    return np.ndindex(*(size for size, own in zip(marked.xs.shape, leading, strict=False) if own))


def _by_call(marked: MarkedCall, tree: PyTree, axes_before_batch: int = 0, axes_after_batch: int = 1) -> list[PyTree]:
    """Arrays of a marked call for each ``LayerCall``, batch axes and the other axes of vmaps made one."""
    leading = (True,) * marked.scanned + marked.mapped
    rows = [axis for axis, own in enumerate(leading) if not own]
    first = len(leading) - len(rows) + axes_before_batch  # of the batch axes

    def merge(a: jax.Array) -> jax.Array:
        if not rows and a.ndim == first + 1 + axes_after_batch:
            return a
        a = jnp.moveaxis(a, rows, range(first, first + len(rows)))
        return a.reshape(*a.shape[:first], -1, *a.shape[a.ndim - axes_after_batch :])

    merged = jax.tree.map(merge, tree)
    return [_at(index, merged) for index in _indices(marked)]


def _at(index: tuple[int, ...], tree: PyTree) -> PyTree:
    return jax.tree.map(lambda a: a[index], tree) if index else tree


def _layer_gradients(call: LayerCall, d_xs: jax.Array, ct_final: CellState, ct_ys: jax.Array) -> LayerGradients:
    """Gradients of a layer as those of ``call``; that of the final state is added to the last step's."""
    if call.reverse:  # outputs past an example's end are the initial state here, so their gradient belongs to no step
        valid = jnp.arange(len(ct_ys), dtype=jnp.int32)[:, None, None] < call.lengths[None, :, None]
        d_xs, ct_ys = flip_valid((d_xs, jnp.where(valid, ct_ys, 0)), call.lengths)
    zeros = jnp.zeros_like(ct_ys)
    ct_states = call.cell.make_state(ct_ys, zeros) if call.cell.has_separate_memory else call.cell.State(ct_ys)

    def with_last(a: jax.Array, last: jax.Array) -> jax.Array:
        return jnp.concatenate([a[:-1], (a[-1] + last)[None]])

    return LayerGradients(jax.tree.map(with_last, ct_states, ct_final), d_xs)
