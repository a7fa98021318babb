"""Cells that are not elementwise: states of several arrays, of other shapes and kinds, and outputs outside of them."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

import rnnjax


class MixedState(NamedTuple):
    """A real memory, a complex one that never meets a matrix product, and the number of steps taken."""

    c: jax.Array  # (..., H)
    z: jax.Array  # (..., 2, H) complex
    n: jax.Array  # (..., 1) int32


@dataclasses.dataclass(frozen=True)
class Mixed(rnnjax.Cell):
    """c_t = d·c_{t-1} + (1-d)·tanh([x_t, c_{t-1}] W + noise_t); z_t = 0.9·exp(iθ)·z_{t-1} + c_t; y_t = [c_t, Σ Re z_t].

    The state starts from c = 0.1.
    """

    decay: float = 0.5

    def init(self, key, in_features):
        """W (D + H, H) and θ (2, H)."""
        w_key, theta_key = jax.random.split(key)
        w = jax.random.normal(w_key, (in_features + self.features, self.features), self.param_dtype)
        return {"w": 0.4 * w, "theta": jax.random.uniform(theta_key, (2, self.features), self.param_dtype)}

    def initial_state(self, batch_shape=()):
        """c = 0.1, z = 0, n = 0."""
        c = jnp.full((*batch_shape, self.features), 0.1, self.state_dtype)
        z = jnp.zeros((*batch_shape, 2, self.features), jnp.result_type(self.state_dtype, jnp.complex64))
        return MixedState(c, z, jnp.zeros((*batch_shape, 1), jnp.int32))

    def step(self, params, state, x_t, noise=None):
        """One step."""
        product = jnp.concatenate([x_t, state.c], axis=-1) @ params["w"]
        c = self.decay * state.c + (1 - self.decay) * jnp.tanh(product if noise is None else product + noise)
        rotation = jnp.broadcast_to(0.9 * jnp.exp(1j * params["theta"]), state.z.shape)
        z = rotation * state.z + c[..., None, :]
        return MixedState(c, z, state.n + 1), jnp.concatenate([c, z.real.sum(axis=-2)], axis=-1)


@dataclasses.dataclass(frozen=True)
class Noisy(Mixed):
    """With noise of standard deviation 0.3 in training."""

    def noise(self, key, steps):
        """(T, H)."""
        return 0.3 * jax.random.normal(key, (steps, self.features), self.param_dtype)
