"""The steps of a batch of sequences that any of its examples has."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


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
