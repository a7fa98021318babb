"""Looking into a Flax model while it runs: what each recurrent layer was given, and what the loss asks of it.

Any model that calls ``rnnjax.RNN`` somewhere can be looked into; nothing in it has to change. Flax's own
interception of method calls does it, while a loss is traced.
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
from rnnjax.nn.recurrent import RNN

Loss = Callable[[Any, Any], jax.Array]  # (params, batch) -> the loss of each example (B,)


@flax.struct.dataclass
class LayerCall:
    """One call of an ``RNN``, time-major and in the order in which the layer walks.

    A layer with ``reverse=True`` is given as a forward layer on sequences whose valid steps are flipped.
    """

    name: str = flax.struct.field(pytree_node=False)  # path of the module, with slashes
    cell: Cell = flax.struct.field(pytree_node=False)
    reverse: bool = flax.struct.field(pytree_node=False)
    time_major: bool = flax.struct.field(pytree_node=False)  # of the module; the arrays here always are
    params: Params
    xs: jax.Array  # (T, B, D)
    lengths: jax.Array  # (B,)
    state: Any  # cell.State of (B, H)


@flax.struct.dataclass
class Backward:
    """What the loss asks of one ``LayerCall``, for each example's own loss."""

    ct_states: Any  # cell.State of (T, B, H): ∂L_b/∂state with no recurrence counted, as ``diagnostics.paths`` wants it
    d_xs: jax.Array  # (T, B, D): ∂L_b/∂x_t, through this layer


def record(loss: Loss, params: Any, batch: Any, nudges: Any = None) -> tuple[jax.Array, tuple[LayerCall, ...]]:
    """Losses (B,), and the calls of all recurrent layers in the order in which they came.

    Args:
        loss: calls a Flax model, in whatever way, and returns the loss of each example.
        params: its first argument.
        batch: its second.
        nudges: for each call (input, outputs, final state), added to what the layer is given and gives.

    Raises:
        ValueError: the loss is not one number for each example, no recurrent layer was called, or one was called
            with other than batch-major or time-major batches.
    """
    calls: list[LayerCall] = []

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if not isinstance(module, RNN) or context.method_name != "__call__":
            return call(*args, **kwargs)
        xs, kwargs = (args[0], kwargs) if args else (kwargs["xs"], {k: v for k, v in kwargs.items() if k != "xs"})
        if nudges is not None:
            xs = xs + nudges[len(calls)][0]
        calls.append(_layer_call(module, xs, kwargs))
        final, ys = call(xs, **kwargs)
        if nudges is not None:
            _, nudge_ys, nudge_final = nudges[len(calls) - 1]
            final, ys = jax.tree.map(jnp.add, final, nudge_final), ys + nudge_ys
        return final, ys

    with nn.intercept_methods(intercept):
        losses = loss(params, batch)
    if not calls:
        raise ValueError("the loss has called no rnnjax.RNN, so there is nothing recurrent to look into")
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


def backpropagate(loss: Loss, params: Any, batch: Any) -> tuple[jax.Array, tuple[LayerCall, ...], tuple[Backward, ...]]:
    """``record``, and the gradient of each example's own loss at the door of every recurrent layer.

    Examples must not influence each other (no batch normalisation): then one backward pass of the sum of the losses
    holds every example's own gradient.
    """

    def zeros(call: LayerCall) -> Any:
        (steps, batch_size, inputs), cell = call.xs.shape, call.cell
        layout = (steps, batch_size) if call.time_major else (batch_size, steps)
        return (
            jnp.zeros((*layout, inputs), call.xs.dtype),
            cell.initial_state(layout)[0],
            cell.initial_state((batch_size,)),
        )

    _, shapes = jax.eval_shape(lambda params, batch: record(loss, params, batch), params, batch)
    nudges = tuple(map(zeros, shapes))

    def summed(nudges: Any) -> Any:
        losses, calls = record(loss, params, batch, nudges)
        return losses.sum(), (losses, calls)

    gradients, (losses, calls) = jax.grad(summed, has_aux=True)(nudges)
    return losses, calls, tuple(_backward(call, *g) for call, g in zip(calls, gradients, strict=True))


def _name(module: nn.Module) -> str:
    return "/".join(module.path) or "rnn"


def _layer_call(module: RNN, xs: jax.Array, options: dict[str, Any]) -> LayerCall:
    if not is_array(xs) or xs.ndim != 3:
        given = xs.shape if is_array(xs) else describe(xs)
        raise ValueError(f"the layer {_name(module)!r} must be given (B, T, D) to be looked into, got {given}")
    if not module.time_major:
        xs = jnp.swapaxes(xs, 0, 1)
    steps, batch = xs.shape[:2]
    lengths, state = options.get("lengths"), options.get("state")
    lengths = jnp.full(batch, steps, jnp.int32) if lengths is None else lengths
    state = module.cell.initial_state((batch,)) if state is None else state
    params = Params(**module.variables["params"]["cell"])
    xs = flip_valid(xs, lengths) if module.reverse else xs
    return LayerCall(_name(module), module.cell, module.reverse, module.time_major, params, xs, lengths, state)


def _backward(call: LayerCall, d_xs: jax.Array, ct_ys: jax.Array, ct_final: Any) -> Backward:
    if not call.time_major:
        d_xs, ct_ys = jnp.swapaxes(d_xs, 0, 1), jnp.swapaxes(ct_ys, 0, 1)
    if call.reverse:  # the steps past the end come first there and show the initial state, which is no step's
        valid = jnp.arange(len(ct_ys))[:, None, None] < call.lengths[None, :, None]
        d_xs, ct_ys = flip_valid((d_xs, jnp.where(valid, ct_ys, 0)), call.lengths)
    zeros = jnp.zeros_like(ct_ys)
    ct_states = call.cell.make_state(ct_ys, zeros) if call.cell.has_separate_memory else call.cell.State(ct_ys)

    def with_last(a: jax.Array, last: jax.Array) -> jax.Array:
        return jnp.concatenate([a[:-1], (a[-1] + last)[None]])

    return Backward(jax.tree.map(with_last, ct_states, ct_final), d_xs)
