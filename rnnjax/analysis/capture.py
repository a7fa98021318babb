"""The inputs of every recurrent layer of a Flax model, and the gradients at its inputs and outputs.

They are recorded by Flax's interception of method calls while a loss is traced, so any model that calls ``rnnjax.RNN``
works without a change.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from rnnjax.argument_checks import describe, is_array
from rnnjax.cells import Cell, Params
from rnnjax.diagnostics.linearization import flip_valid
from rnnjax.nn.interception import intercept_methods
from rnnjax.nn.recurrent import RNN
from rnnjax.typing import CellState, PyTree

Loss = Callable[[PyTree, PyTree], jax.Array]  # (params, batch) -> the loss of each example (B,)


@flax.struct.dataclass
class LayerCall:
    """The arguments of one call of an ``RNN``; arrays are time-major, in the order in which the layer reads the steps.

    A layer with ``reverse=True`` is recorded as a forward layer on sequences whose valid steps are flipped.
    """

    name: str = flax.struct.field(pytree_node=False)  # path of the module, with slashes
    cell: Cell = flax.struct.field(pytree_node=False)
    reverse: bool = flax.struct.field(pytree_node=False)
    time_major: bool = flax.struct.field(pytree_node=False)  # whether the module is; the arrays here always are
    params: Params
    xs: jax.Array  # (T, B, D)
    lengths: jax.Array  # (B,)
    state: CellState  # cell.State of (B, H)


@flax.struct.dataclass
class LayerGradients:
    """Gradients at the outputs and inputs of one ``LayerCall``, of each example's own loss L_b."""

    ct_states: CellState  # cell.State of (T, B, H): ∂L_b/∂state, not through later states; for ``diagnostics.paths``
    d_xs: jax.Array  # (T, B, D): ∂L_b/∂x_t, through this layer


def record_calls(
    loss: Loss, params: PyTree, batch: PyTree, perturbations: PyTree = None
) -> tuple[jax.Array, tuple[LayerCall, ...]]:
    """Losses (B,), and the calls of all recurrent layers in order.

    Args:
        loss: calls a Flax model and returns the loss of each example.
        params: its first argument.
        batch: its second argument.
        perturbations: for each call a triple (inputs, outputs, final state) of arrays that are added to those of the
            layer; the gradients with respect to zeros here are those at the layer.

    Raises:
        ValueError: the loss is not one number for each example, no recurrent layer was called, or a layer was called
            with inputs that are not (B, T, D).
    """
    calls: list[LayerCall] = []

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> PyTree:
        module = context.module
        if not isinstance(module, RNN) or context.method_name != "__call__":
            return call(*args, **kwargs)
        xs, kwargs = (args[0], kwargs) if args else (kwargs["xs"], {k: v for k, v in kwargs.items() if k != "xs"})
        if perturbations is not None:
            xs = xs + perturbations[len(calls)][0]
        calls.append(_layer_call(module, xs, kwargs))
        final, ys = call(xs, **kwargs)
        if perturbations is not None:
            _, added_ys, added_final = perturbations[len(calls) - 1]
            final, ys = jax.tree.map(jnp.add, final, added_final), ys + added_ys
        return final, ys

    with intercept_methods(intercept):
        losses = loss(params, batch)
    if not calls:
        raise ValueError("the loss called no rnnjax.RNN, so there is no recurrent layer to measure")
    if not is_array(losses) or losses.shape != calls[0].lengths.shape:
        given = losses.shape if is_array(losses) else describe(losses)
        raise ValueError(
            f"the loss must be one number for each example, shape {calls[0].lengths.shape}, got {given}; "
            "return it before taking the mean"
        )
    if not jnp.issubdtype(losses.dtype, jnp.floating):
        raise ValueError(
            f"the loss must hold floating-point numbers, got {losses.dtype}; return what is differentiated"
        )
    return losses, tuple(calls)


def backpropagate(
    loss: Loss, params: PyTree, batch: PyTree
) -> tuple[jax.Array, tuple[LayerCall, ...], tuple[LayerGradients, ...]]:
    """``record_calls``, and the gradients of each example's own loss at the inputs and outputs of every layer.

    Examples must not influence each other (no batch normalisation): then one backward pass of the sum of the losses
    gives every example's own gradient.
    """

    def zeros(call: LayerCall) -> PyTree:
        (steps, batch_size, inputs), cell = call.xs.shape, call.cell
        layout = (steps, batch_size) if call.time_major else (batch_size, steps)
        return (
            jnp.zeros((*layout, inputs), call.xs.dtype),
            cell.initial_state(layout)[0],
            cell.initial_state((batch_size,)),
        )

    _, shapes = jax.eval_shape(lambda params, batch: record_calls(loss, params, batch), params, batch)

    def total_loss(perturbations: PyTree) -> tuple[jax.Array, PyTree]:
        losses, calls = record_calls(loss, params, batch, perturbations)
        return losses.sum(), (losses, calls)

    gradients, (losses, calls) = jax.grad(total_loss, has_aux=True)(tuple(map(zeros, shapes)))
    return losses, calls, tuple(_layer_gradients(call, *g) for call, g in zip(calls, gradients, strict=True))


def _name(module: nn.Module) -> str:
    """The module's path with slashes."""
    return "/".join(module.path) or "rnn"


def _layer_call(module: RNN, xs: jax.Array, options: dict[str, Any]) -> LayerCall:
    """The record of a call of ``module`` with ``xs`` and the keyword arguments ``options``."""
    if not is_array(xs) or xs.ndim != 3:
        given = xs.shape if is_array(xs) else describe(xs)
        raise ValueError(f"the layer {_name(module)!r} must be called with (B, T, D) to be measured, got {given}")
    if not module.time_major:
        xs = jnp.swapaxes(xs, 0, 1)
    steps, batch = xs.shape[:2]
    lengths, state = options.get("lengths"), options.get("state")
    lengths = jnp.full(batch, steps, jnp.int32) if lengths is None else lengths
    state = module.cell.initial_state((batch,)) if state is None else state
    params = Params(**module.variables["params"]["cell"])
    xs = flip_valid(xs, lengths) if module.reverse else xs
    return LayerCall(_name(module), module.cell, module.reverse, module.time_major, params, xs, lengths, state)


def _layer_gradients(call: LayerCall, d_xs: jax.Array, ct_ys: jax.Array, ct_final: CellState) -> LayerGradients:
    """Gradients in the module's layout as those of ``call``; that of the final state is added to the last step's."""
    if not call.time_major:
        d_xs, ct_ys = jnp.swapaxes(d_xs, 0, 1), jnp.swapaxes(ct_ys, 0, 1)
    if call.reverse:  # outputs past an example's end are the initial state here, so their gradient belongs to no step
        valid = jnp.arange(len(ct_ys))[:, None, None] < call.lengths[None, :, None]
        d_xs, ct_ys = flip_valid((d_xs, jnp.where(valid, ct_ys, 0)), call.lengths)
    zeros = jnp.zeros_like(ct_ys)
    ct_states = call.cell.make_state(ct_ys, zeros) if call.cell.has_separate_memory else call.cell.State(ct_ys)

    def with_last(a: jax.Array, last: jax.Array) -> jax.Array:
        return jnp.concatenate([a[:-1], (a[-1] + last)[None]])

    return LayerGradients(jax.tree.map(with_last, ct_states, ct_final), d_xs)
