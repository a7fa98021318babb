"""What a classifier reads of the outputs of all steps."""

from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.nn.recurrent import BidirectionalState

Pooling = Literal["last", "mean", "max", "attention"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


class Attention(nn.Module):
    """Mean of ``ys`` (B, T, F) over the valid steps, weighted by how much each is attended to: (B, F).

    Weights are the softmax of vᵀ tanh(W y_t + b) over an example's valid steps (Yang et al. 2016, eqs. 5-7).
    """

    @nn.compact
    def __call__(self, ys: jax.Array, valid: jax.Array) -> jax.Array:
        """With ``valid`` (B, T)."""
        scores = nn.Dense(1, use_bias=False)(jnp.tanh(nn.Dense(ys.shape[-1])(ys)))[..., 0]
        weights = jax.nn.softmax(jnp.where(valid, scores, -jnp.inf), axis=1)
        return jnp.einsum("bt,btf->bf", weights, ys)


def pooled(how: Pooling, final: Any, ys: jax.Array, lengths: jax.Array | None) -> jax.Array:
    """One vector for each example, (B, F); a part of the Flax module that calls it.

    Args:
        how: "last" reads the output after the last valid step, of both directions where there are two; "mean", "max"
            and "attention" read the outputs of all valid steps.
        final: the recurrent part's final state.
        ys: (B, T, F) its outputs.
        lengths: (B,) valid steps, at least 1; None means T.
    """
    if how == "last":
        return final_output(final)
    valid = jnp.ones(ys.shape[:2], bool) if lengths is None else jnp.arange(ys.shape[1])[None, :] < lengths[:, None]
    if how == "mean":
        return jnp.where(valid[..., None], ys, 0).sum(axis=1) / valid.sum(axis=1)[:, None]
    if how == "max":
        return jnp.where(valid[..., None], ys, -jnp.inf).max(axis=1)
    attended: Any = Attention(name="attention")(ys, valid)
    return attended


def final_output(final: Any) -> jax.Array:
    """The outputs after the last valid step, of the top layer, directions side by side: (B, features)."""
    if isinstance(final, BidirectionalState):
        return jnp.concatenate([final_output(final.forward), final_output(final.backward)], axis=-1)
    return final.h if hasattr(final, "h") else final_output(final[-1])
