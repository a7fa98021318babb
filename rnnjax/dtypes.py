"""Dtypes of results of several arrays."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike


def promoted(*dtypes: DTypeLike) -> jnp.dtype:
    """The dtype in which numbers of all ``dtypes`` are computed, also where ``jax_numpy_dtype_promotion`` is strict."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*dtypes)
