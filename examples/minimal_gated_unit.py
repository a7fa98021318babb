"""A custom cell: the minimal gated unit, which uses one gate for both reset and update."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

import rnnjax


class MinimalGatedUnitState(NamedTuple):
    """State of the cell: one array is both memory and output."""

    h: jax.Array  # (..., H)


@dataclasses.dataclass(frozen=True)
class MinimalGatedUnit(rnnjax.ElementwiseCell):
    """Minimal gated unit, reset after the product; gates packed as f, n:

        f_t = σ(z^x_f + z^h_f)
        n_t = tanh(z^x_n + f_t·z^h_n)
        h_t = (1 - f_t)·h_{t-1} + f_t·n_t

    Zhou, Wu, Zhang & Zhou (2016).
    """

    gates: ClassVar[tuple[str, ...]] = ("f", "n")
    State: ClassVar[type] = MinimalGatedUnitState

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: Any = None) -> jax.Array:
        """f_t and n_t, packed (..., 2·H)."""
        (f_x, n_x), (f_h, n_h) = (jnp.split(z, 2, axis=-1) for z in (z_x, z_h))
        f = jax.nn.sigmoid(f_x + f_h)
        return jnp.concatenate([f, jnp.tanh(n_x + f * n_h)], axis=-1)

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: Any = None) -> jax.Array:
        """h_t = (1 - f)·h_{t-1} + f·n."""
        f, n = jnp.split(self.gate_values(z_x, z_h, m), 2, axis=-1)
        return (1.0 - f) * m + f * n
