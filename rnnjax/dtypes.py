"""Dtypes of results of several arrays."""

import functools

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def promoted(*dtypes: DTypeLike) -> jnp.dtype:
    """The dtype that holds numbers of all ``dtypes``, also where ``jax_numpy_dtype_promotion`` is strict."""
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, dtypes, jnp.dtype(dtypes[0]))
