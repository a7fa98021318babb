"""Pooling: one vector for each example from the outputs of all steps."""

from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.argument_checks import as_int32
from rnnjax.nn.recurrent import BidirectionalState
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


def pooled(pooling: Pooling, final: States, ys: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """One vector for each example, (B, F); called inside the ``nn.compact`` method of a Flax module.

    Args:
        pooling: "last" is the output after the last valid step (of both directions, where there are two); "mean", "max"
            and "attention" pool the outputs of all valid steps.
        final: the recurrent part's final state.
        ys: (B, T, F) outputs of the recurrent part.
        lengths: (B,) valid steps; None means T. An example without steps is pooled to zeros, with no gradient.
    """
    if pooling == "last":
        return final_output(final)
    valid = jnp.ones(ys.shape[:2], bool)
    if lengths is not None:
        valid = jnp.arange(ys.shape[1])[None, :] < as_int32(lengths)[:, None]
    if pooling == "mean":
        steps = jnp.maximum(valid.sum(axis=1), 1)[:, None].astype(ys.dtype)
        return jnp.where(valid[..., None], ys, 0).sum(axis=1) / steps
    if pooling == "max":
        largest = jnp.where(valid[..., None], ys, jnp.finfo(ys.dtype).min).max(axis=1)
        return jnp.where(valid.any(axis=1)[:, None], largest, 0)
    attended: PyTree = Attention(name="attention")(ys, valid)
    return attended


def final_output(final: States) -> jax.Array:
    """The top layer's output after the last valid step, directions concatenated: (B, features)."""
    if isinstance(final, BidirectionalState):
        return jnp.concatenate([final_output(final.forward), final_output(final.backward)], axis=-1)
    return final.h if hasattr(final, "h") else final_output(final[-1])
