"""The steps that at least one example of a batch has, and the last step of each example."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import as_int32


class Span(NamedTuple):
    """The steps first..stop-1, outside of which no step of any example is valid; each () int32."""

    first: jax.Array
    stop: jax.Array


def valid_span(lengths: jax.Array, steps: int, reverse: bool) -> Span:
    """The steps of a scan outside of which no step is valid.

    Args:
        lengths: (...) valid steps of each example.
        steps: T.
        reverse: whether the scan runs from the last step to the first.
    """
    most = longest(lengths)
    none, all_steps = jnp.zeros_like(most), jnp.full_like(most, steps)
    return Span(all_steps - most, all_steps) if reverse else Span(none, most)


@jax.custom_batching.custom_vmap
def longest(lengths: jax.Array) -> jax.Array:
    """The largest of ``lengths`` (...), (); under ``vmap`` that of all examples, so that a loop has one length."""
    return lengths.max()


@longest.def_vmap
def _longest_of_all(axis_size: int, in_batched: list[bool], lengths: jax.Array) -> tuple[jax.Array, bool]:
    return longest(lengths), False


def at_last_step(arrays: jax.Array, lengths: jax.Array | None, reverse: bool) -> jax.Array:
    """The entries (..., *) of ``arrays`` (T, ..., *) at the step that a layer reads last.

    Args:
        arrays: one entry for each step.
        lengths: (...) valid steps of each example; None means T. Of an example without steps it is step 0.
        reverse: whether the layer reads from the last valid step to the first, so that the first is its last.
    """
    if reverse:
        return arrays[0]
    if lengths is None:
        return arrays[-1]
    index = jnp.maximum(as_int32(lengths) - 1, 0)
    return jnp.take_along_axis(arrays, index.reshape(1, *index.shape, *(1,) * (arrays.ndim - 1 - index.ndim)), 0)[0]
