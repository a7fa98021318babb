"""Pooling: one vector for each example from the outputs of all steps."""

from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.argument_checks import as_int32
from rnnjax.cells import Cell
from rnnjax.core.valid_span import at_last_step
from rnnjax.nn.recurrent import RNN, Bidirectional, BidirectionalState, Stack
from rnnjax.typing import PyTree, States

Pooling = Literal["last", "mean", "max", "attention"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


class Attention(nn.Module):
    """Attention pooling: a weighted mean of ``ys`` (B, T, F) over the valid steps, (B, F).

    Weights are the softmax of vᵀ tanh(W y_t + b) over an example's valid steps (Yang et al. 2016, eqs. 5-7).
    """

    @nn.compact
    def __call__(self, ys: jax.Array, valid: jax.Array) -> jax.Array:
        """The pooled outputs; ``valid`` (B, T) is False past an example's end."""
        scores = nn.Dense(1, use_bias=False)(jnp.tanh(nn.Dense(ys.shape[-1])(ys)))[..., 0]
        lowest = jnp.finfo(scores.dtype).min  # not -inf, which would be NaN where an example has no step
        weights = jnp.where(valid, jax.nn.softmax(jnp.where(valid, scores, lowest), axis=1), 0)
        return jnp.einsum("bt,btf->bf", weights, ys)


def pooled(
    pooling: Pooling, final: States, ys: jax.Array, lengths: jax.Array | None, recurrent: nn.Module | None = None
) -> jax.Array:
    """One vector for each example, (B, F); called inside the ``nn.compact`` method of a Flax module.

    Args:
        pooling: "last" is the output after the last valid step (of both directions, where there are two); "mean", "max"
            and "attention" pool the outputs of all valid steps.
        final: the recurrent part's final state.
        ys: (B, T, F) outputs of the recurrent part.
        lengths: (B,) valid steps; None means T. An example without steps is pooled to zeros, with no gradient.
        recurrent: the recurrent part, which "last" needs where the output is no part of a cell's state.
    """
    if pooling == "last":
        return last_output(recurrent, final, ys, lengths)
    valid = jnp.ones(ys.shape[:2], bool)
    if lengths is not None:
        valid = jnp.arange(ys.shape[1], dtype=jnp.int32)[None, :] < as_int32(lengths)[:, None]
    if pooling == "mean":
        steps = jnp.maximum(valid.sum(axis=1), 1)[:, None].astype(ys.dtype)
        return jnp.where(valid[..., None], ys, 0).sum(axis=1) / steps
    if pooling == "max":
        largest = jnp.where(valid[..., None], ys, jnp.finfo(ys.dtype).min).max(axis=1)
        return jnp.where(valid.any(axis=1)[:, None], largest, 0)
    attended: PyTree = Attention(name="attention")(ys, valid)
    return attended


def last_output(recurrent: nn.Module | None, final: States, ys: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """The top layer's output after the last step that it reads, directions concatenated: (B, F).

    It is the field h of the final state; where a cell's state has none, the entry of ``ys`` (B, T, F) at that step, and
    zeros for an example without steps.

    Raises:
        ValueError: the state has no field h, and ``recurrent`` is no module of rnnjax.
    """
    if hasattr(final, "h"):
        return final.h
    if isinstance(final, BidirectionalState):
        rnns = (recurrent.forward_rnn, recurrent.backward_rnn) if isinstance(recurrent, Bidirectional) else (None, None)
        parts = [ys, ys]
        if isinstance(rnns[0], RNN) and not all(hasattr(state, "h") for state in final):
            parts = jnp.split(ys, [_output_size(rnns[0].cell)], axis=-1)
        both = [last_output(*direction, lengths) for direction in zip(rnns, final, parts, strict=True)]
        return jnp.concatenate(both, axis=-1)
    if isinstance(recurrent, Stack):
        return last_output(recurrent.layers[-1], final[-1], ys, lengths)
    if isinstance(recurrent, RNN):
        last = at_last_step(jnp.swapaxes(ys, 0, 1), lengths, recurrent.reverse)
        return last if lengths is None else jnp.where(as_int32(lengths)[:, None] > 0, last, 0)
    if type(final) in (tuple, list):
        return last_output(None, final[-1], ys, lengths)
    raise ValueError(
        f"pooling 'last' reads the field h of a final state, but {type(final).__name__} has none; use another pooling, "
        "or rnnjax.RNN, rnnjax.Bidirectional or rnnjax.Stack as the recurrent part"
    )


def _output_size(cell: Cell) -> int:
    """The number of outputs of a cell, whatever the number of its inputs."""
    given = jnp.zeros(1, cell.param_dtype)
    _, y = jax.eval_shape(lambda: cell.step(cell.init(jax.random.key(0), 1), cell.initial_state(), given))
    return int(y.shape[-1])
