"""A custom cell that is not elementwise: the multiplicative LSTM, with two matrix products in a row at every step."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import rnnjax


class MultiplicativeLSTMState(NamedTuple):
    """State of the cell."""

    h: jax.Array  # (..., H) the output
    c: jax.Array  # (..., H) the memory


@dataclasses.dataclass(frozen=True)
class MultiplicativeLSTM(rnnjax.Cell):
    """LSTM whose recurrent weights depend on the input (Krause, Lu, Murray & Renals 2016):

    n_t = (x_t W_nx)·(h_{t-1} W_nh);   i, f, g, o = split(x_t W_x + n_t W_n + b)
    c_t = σ(f)·c_{t-1} + σ(i)·tanh(g);   h_t = σ(o)·tanh(c_t)
    """

    forget_bias: float = 1.0

    def init(self, key: jax.Array, in_features: int) -> dict[str, jax.Array]:
        """Glorot's kernels; the bias of the forget gate is ``forget_bias``."""
        H, keys, glorot = self.features, jax.random.split(key, 4), rnnjax.Glorot()
        shapes = {"w_nx": (in_features, H), "w_nh": (H, H), "w_x": (in_features, 4 * H), "w_n": (H, 4 * H)}
        kernels = {name: glorot(k, shapes[name], self.param_dtype) for name, k in zip(shapes, keys, strict=True)}
        return {**kernels, "b": jnp.zeros(4 * H, self.param_dtype).at[H : 2 * H].set(self.forget_bias)}

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> MultiplicativeLSTMState:
        """Zeros."""
        return MultiplicativeLSTMState(*[jnp.zeros((*batch_shape, self.features), self.state_dtype)] * 2)

    def step(self, params: Any, state: Any, x_t: jax.Array) -> tuple[MultiplicativeLSTMState, jax.Array]:
        """One step; the output is h_t."""
        n = self.project(x_t, params["w_nx"]) * self.project(state.h, params["w_nh"])
        i, f, g, o = jnp.split(self.project(x_t, params["w_x"], params["b"]) + self.project(n, params["w_n"]), 4, -1)
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return MultiplicativeLSTMState(h, c), h
