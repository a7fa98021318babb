"""JANET: an LSTM of which the forget gate alone is left."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_finite
from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.initializers import chrono_bias
from rnnjax.cells.validation import check_keep_gate
from rnnjax.typing import PyTree


class JANETState(NamedTuple):
    """Output and memory are the same array."""

    h: jax.Array  # (..., H)


@dataclasses.dataclass(frozen=True)
class JANET(ElementwiseCell):
    """Just another network; with z = z^x + z^h, gates packed as f, g:

        f_t = σ(z_f)
        g_t = tanh(z_g)
        h_t = f_t·h_{t-1} + (1 - σ(z_f - β))·g_t

    van der Westhuizen & Lasenby (2018), The unreasonable effectiveness of the forget gate; their s_t is z_f and their
    c_t is h_t. The belt ∂h_t/∂h_{t-1} at fixed z is f.

    Attributes:
        beta: β, by which the gate of the inputs is more open than 1 - f; 1 in the paper, and 0 couples the two.
        forget_bias: initial bias of f.
        chrono: T_max of the chrono initialisation of the paper, b_f = log u with u uniform on [1, T_max - 1] (Tallec &
            Ollivier 2018); it replaces ``forget_bias``.
    """

    beta: float = 1.0
    forget_bias: float = 1.0
    chrono: int | None = None

    gates: ClassVar[tuple[str, ...]] = ("f", "g")
    State: ClassVar[type] = JANETState
    additive: ClassVar[bool] = True
    init_options: ClassVar[tuple[str, ...]] = (*ElementwiseCell.init_options, "forget_bias", "chrono")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_finite("beta", self.beta)
        check_keep_gate(self.forget_bias, self.chrono)

    def init_bias(self, key: jax.Array) -> tuple[jax.Array, None]:
        """All zero except the forget gate."""
        zeros = jnp.zeros(self.features, self.param_dtype)
        b_f = zeros + self.forget_bias
        if self.chrono is not None:
            b_f = chrono_bias(key, self.features, self.chrono, self.param_dtype)
        return jnp.concatenate([b_f, zeros]), None

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """f_t and g_t, packed (..., 2·H)."""
        z_f, z_g = jnp.split(z_x + z_h, 2, axis=-1)
        return jnp.concatenate([jax.nn.sigmoid(z_f), jnp.tanh(z_g)], axis=-1)

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t = f·h_{t-1} + (1 - σ(z_f - β))·g."""
        z_f, z_g = jnp.split(z_x + z_h, 2, axis=-1)
        return jax.nn.sigmoid(z_f) * m + jax.nn.sigmoid(self.beta - z_f) * jnp.tanh(z_g)
