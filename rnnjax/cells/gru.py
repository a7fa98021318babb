"""GRU: its output is its memory, which an update gate keeps or replaces."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.initializers import chrono_bias
from rnnjax.cells.validation import check_keep_gate
from rnnjax.typing import PyTree


class GRUState(NamedTuple):
    """Output and memory are the same array."""

    h: jax.Array  # (..., H)


@dataclasses.dataclass(frozen=True)
class GRU(ElementwiseCell):
    """Gated recurrent unit, reset after the product; gates packed as r, u, n:

        r_t = σ(z^x_r + z^h_r)
        u_t = σ(z^x_u + z^h_u)
        n_t = tanh(z^x_n + r_t·z^h_n)
        h_t = (1 - u_t)·n_t + u_t·h_{t-1}

    Cho et al. (2014), in the form of cuDNN, Keras (``reset_after=True``) and PyTorch: the second bias b_h is inside
    the reset product. u is the keep gate: the belt ∂h_t/∂h_{t-1} at fixed z is u.

    Attributes:
        forget_bias: initial bias of u, the keep gate.
        chrono: T_max of the chrono initialisation, b_u = log v with v uniform on [1, T_max - 1] (Tallec & Ollivier
            2018); it replaces ``forget_bias``.
    """

    forget_bias: float = 0.0
    chrono: int | None = None

    gates: ClassVar[tuple[str, ...]] = ("r", "u", "n")
    State: ClassVar[type] = GRUState
    init_options: ClassVar[tuple[str, ...]] = (*ElementwiseCell.init_options, "forget_bias", "chrono")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_keep_gate(self.forget_bias, self.chrono)

    def init_bias(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """All zero except the bias of the update gate."""
        zeros = jnp.zeros(self.features, self.param_dtype)
        b_u = zeros + self.forget_bias
        if self.chrono is not None:
            b_u = chrono_bias(key, self.features, self.chrono, self.param_dtype)
        return jnp.concatenate([zeros, b_u, zeros]), jnp.zeros(3 * self.features, self.param_dtype)

    def _gates(self, z_x: jax.Array, z_h: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """r_t, u_t and n_t."""
        split = 2 * self.features
        ru = 0.5 + 0.5 * jnp.tanh(0.5 * (z_x[..., :split] + z_h[..., :split]))
        r, u = jnp.split(ru, 2, axis=-1)
        return r, u, jnp.tanh(z_x[..., split:] + r * z_h[..., split:])

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t = (1 - u)·n + u·h_{t-1}."""
        _, u, n = self._gates(z_x, z_h)
        return (1.0 - u) * n + u * m

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """r_t, u_t and n_t, packed."""
        return jnp.concatenate(self._gates(z_x, z_h), axis=-1)
