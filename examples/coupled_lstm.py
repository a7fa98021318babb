"""A custom cell whose memory differs from its output: an LSTM with coupled input and forget gates."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

import rnnjax


class CoupledLSTMState(NamedTuple):
    """State of the cell: the output first, the memory last."""

    h: jax.Array  # (..., H)
    c: jax.Array  # (..., H)


@dataclasses.dataclass(frozen=True)
class CoupledLSTM(rnnjax.ElementwiseCell):
    """LSTM without peepholes whose input gate is 1 - f; gates f, g, o of z = z^x + z^h (CIFG, Greff et al. 2017).

    c_t = σ(z_f)·c_{t-1} + (1 - σ(z_f))·tanh(z_g);   h_t = σ(z_o)·tanh(c_t)
    """

    forget_bias: float = 1.0
    gates: ClassVar[tuple[str, ...]] = ("f", "g", "o")
    State: ClassVar[type] = CoupledLSTMState
    additive: ClassVar[bool] = True  # reads z^x + z^h alone

    def init_bias(self, key: jax.Array) -> tuple[jax.Array, None]:
        """Zero but for the forget gate's; there is no second bias b_h."""
        return jnp.zeros(3 * self.features, self.param_dtype).at[: self.features].set(self.forget_bias), None

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: Any = None) -> jax.Array:
        """f_t, g_t and o_t, packed (..., 3·H)."""
        f, g, o = jnp.split(z_x + z_h, 3, axis=-1)
        return jnp.concatenate([jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)], axis=-1)

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: Any = None) -> jax.Array:
        """c_t = f·c_{t-1} + (1 - f)·g."""
        f, g, _ = jnp.split(self.gate_values(z_x, z_h, m), 3, axis=-1)
        return f * m + (1.0 - f) * g

    def readout(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: Any = None) -> jax.Array:
        """h_t = o·tanh(c_t)."""
        return jnp.split(self.gate_values(z_x, z_h, m), 3, axis=-1)[2] * jnp.tanh(m)
