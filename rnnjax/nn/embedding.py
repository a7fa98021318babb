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

MOST_EXCHANGED_STEPS = 128  # in a chunk where devices exchange vectors, which takes a while however few they are

# Entered with the name of an axis of ``shard_map`` while a training program is traced in which every device of that
# axis holds some columns of all word vectors, and some examples of the batch.
divided_columns: Any = jax.make_user_context(None)


class Embed(nn.Embed):
    """``flax.linen.Embed`` for texts of different lengths, padded to the same one.

    Under ``divided_columns``, each of N devices holds E/N columns of all word vectors, looks them up for the examples
    of all devices, and sends each device those of its examples. For batches like those of IMDB, devices then exchange
    less than all word vectors and their gradient.
    """

    def setup(self) -> None:  # noqa: D102
        axis = divided_columns.value
        columns = self.features if axis is None else self.features // jax.lax.axis_size(axis)
        shape = self.num_embeddings, columns
        self.embedding = self.param("embedding", self.embedding_init, shape, self.param_dtype)

    def __call__(self, tokens: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
        """Word vectors (B, T, E).

        Args:
            tokens: (B, T) integers.
            lengths: (B,) words of each text; None means T. Under ``skipping_padding``, vectors past the end of the
                longest text can be zeros, and derivatives are in reverse mode and of first order.
        """
        steps, axis = tokens.shape[1], divided_columns.value
        table: jax.Array
        (table,) = self.promote_dtype(self.embedding, dtype=self.dtype, inexact=False)  # type: ignore[assignment]
        if axis is not None:
            tokens, lengths = jax.tree.map(lambda a: jax.lax.all_gather(a, axis, tiled=True), (tokens, lengths))
        most = MOST_RAGGED_STEPS if axis is None else MOST_EXCHANGED_STEPS
        if lengths is None or not skipping_padding.value or steps <= most:
            return _exchange(jnp.take(table, tokens, axis=0), axis, 0, 2)
        length = equal_chunks(steps, most)
        padded = jnp.pad(tokens.T, [(0, -steps % length), (0, 0)])
        arguments = vary_alike((table, padded, valid_span(as_int32(lengths), steps, reverse=False)))
        return jnp.swapaxes(_look_up(length, axis, *arguments)[:steps], 0, 1)


def _exchange(vectors: jax.Array, axis: str | None, divide: int, join: int) -> jax.Array:
    """Divide ``vectors`` over the devices along one dimension, and join what comes from each along another."""
    return vectors if axis is None else jax.lax.all_to_all(vectors, axis, divide, join, tiled=True)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _look_up(length: int, axis: str | None, table: jax.Array, tokens: jax.Array, span: Span) -> jax.Array:
    """The rows of ``table`` (V, E) at ``tokens`` (T, B), ``length`` steps at a time: (T, B, E), zeros past the span.

    With an ``axis`` of N devices, ``table`` is (V, E/N), ``tokens`` (T, N·B), and the result still (T, B, E).
    """

    def chunk(carry: None, inputs: tuple[jax.Array, None, jax.Array]) -> tuple[None, jax.Array]:
        return carry, _exchange(jnp.take(table, inputs[0], axis=0), axis, 1, 2)

    return scan_chunks(chunk, None, tokens, None, length, span=span)[1]


def _forward(
    length: int, axis: str | None, table: jax.Array, tokens: jax.Array, span: Span
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, Span]]:
    return _look_up(length, axis, table, tokens, span), (table, tokens, span)


def _backward(
    length: int, axis: str | None, residuals: tuple[jax.Array, jax.Array, Span], d_vectors: jax.Array
) -> tuple[jax.Array, None, None]:
    table, tokens, span = residuals

    def chunk(d_table: jax.Array, inputs: tuple[tuple[jax.Array, jax.Array], None, jax.Array]) -> tuple[jax.Array, Any]:
        (tokens, d_vectors), *_ = inputs
        return d_table.at[tokens].add(_exchange(d_vectors, axis, 2, 1)), ()

    d_table, _ = scan_chunks(chunk, jnp.zeros_like(table), (tokens, d_vectors), None, length, span=span)
    return d_table, None, None


_look_up.defvjp(_forward, _backward)
