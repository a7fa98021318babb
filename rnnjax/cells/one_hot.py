"""One-hot vectors without their zeros."""

import dataclasses

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OneHot:
    """One-hot vectors (..., D), of which only the places of the ones are stored.

    Their product with W_x is a look-up of its rows.
    """

    places: jax.Array  # (...) integers, 0..D-1
    size: int = dataclasses.field(metadata={"static": True})  # D

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., D)."""
        return *self.places.shape, self.size

    def vectors(self) -> jax.Array:
        """The vectors (..., D), float32."""
        return jax.nn.one_hot(self.places, self.size, dtype=jnp.float32)
