"""Entries of a sequence at the last step that a layer reads of each example."""

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import as_int32


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
