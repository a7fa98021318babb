"""Word vectors, in training looked up only as far as the examples of a batch reach."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.argument_checks import as_int32
from rnnjax.core.batch_sharding import vary_alike
from rnnjax.core.chunks import MOST_RAGGED_STEPS, equal_chunks, scan_chunks
from rnnjax.core.skipped_padding import skipping_padding
from rnnjax.core.valid_span import Span, valid_span


class Embed(nn.Embed):
    """``flax.linen.Embed`` for texts of different lengths, padded to the same one."""

    def __call__(self, tokens: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """Word vectors (B, T, E).

        Args:
            tokens: (B, T) integers.
            lengths: (B,) words of each text; None means T. Under ``skipping_padding``, vectors past the end of the
                longest text can be zeros, and derivatives are in reverse mode and of first order.
        """
        steps = tokens.shape[1]
        table: jax.Array
        (table,) = self.promote_dtype(self.embedding, dtype=self.dtype, inexact=False)  # type: ignore[assignment]
        if lengths is None or not skipping_padding.value or steps <= MOST_RAGGED_STEPS:
            return jnp.take(table, tokens, axis=0)
        length = equal_chunks(steps, MOST_RAGGED_STEPS)
        padded = jnp.pad(tokens.T, [(0, -steps % length), (0, 0)])
        arguments = vary_alike((table, padded, valid_span(as_int32(lengths), steps, reverse=False)))
        return jnp.swapaxes(_look_up(length, *arguments)[:steps], 0, 1)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _look_up(length: int, table: jax.Array, tokens: jax.Array, span: Span) -> jax.Array:
    """The rows of ``table`` (V, E) at ``tokens`` (T, B), ``length`` steps at a time: (T, B, E), zeros past the span."""

    def chunk(carry: None, inputs: tuple[jax.Array, None, jax.Array]) -> tuple[None, jax.Array]:
        return carry, jnp.take(table, inputs[0], axis=0)

    return scan_chunks(chunk, None, tokens, None, length, span=span)[1]


def _forward(
    length: int, table: jax.Array, tokens: jax.Array, span: Span
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, Span]]:
    return _look_up(length, table, tokens, span), (table, tokens, span)


def _backward(
    length: int, residuals: tuple[jax.Array, jax.Array, Span], d_vectors: jax.Array
) -> tuple[jax.Array, None, None]:
    table, tokens, span = residuals

    def chunk(d_table: jax.Array, inputs: tuple[tuple[jax.Array, jax.Array], None, jax.Array]) -> tuple[jax.Array, Any]:
        (tokens, d_vectors), *_ = inputs
        return d_table.at[tokens].add(d_vectors), ()

    d_table, _ = scan_chunks(chunk, jnp.zeros_like(table), (tokens, d_vectors), None, length, span=span)
    return d_table, None, None


_look_up.defvjp(_forward, _backward)
