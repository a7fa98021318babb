"""Pooling: one vector for each example from the outputs of all steps."""

from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

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
        weights = jax.nn.softmax(jnp.where(valid, scores, -jnp.inf), axis=1)
        return jnp.einsum("bt,btf->bf", weights, ys)


def pooled(pooling: Pooling, final: States, ys: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """One vector for each example, (B, F); called inside the ``nn.compact`` method of a Flax module.

    Args:
        pooling: "last" is the output after the last valid step (of both directions, where there are two); "mean", "max"
            and "attention" pool the outputs of all valid steps.
        final: the recurrent part's final state.
        ys: (B, T, F) outputs of the recurrent part.
        lengths: (B,) valid steps, at least 1; None means T.
    """
    if pooling == "last":
        return final_output(final)
    valid = jnp.ones(ys.shape[:2], bool) if lengths is None else jnp.arange(ys.shape[1])[None, :] < lengths[:, None]
    if pooling == "mean":
        return jnp.where(valid[..., None], ys, 0).sum(axis=1) / valid.sum(axis=1)[:, None]
    if pooling == "max":
        return jnp.where(valid[..., None], ys, -jnp.inf).max(axis=1)
    attended: PyTree = Attention(name="attention")(ys, valid)
    return attended


def final_output(final: States) -> jax.Array:
    """The top layer's output after the last valid step, directions concatenated: (B, features)."""
    if isinstance(final, BidirectionalState):
        return jnp.concatenate([final_output(final.forward), final_output(final.backward)], axis=-1)
    return final.h if hasattr(final, "h") else final_output(final[-1])
