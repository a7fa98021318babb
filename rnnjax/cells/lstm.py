"""LSTM: a cell state that is carried from step to step, written and read through gates."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.initializers import chrono_bias
from rnnjax.cells.validation import check_keep_gate
from rnnjax.typing import CellState, PyTree


class LSTMState(NamedTuple):
    """Output and memory."""

    h: jax.Array  # (..., H) output
    c: jax.Array  # (..., H) cell state, the memory


@dataclasses.dataclass(frozen=True)
class LSTM(ElementwiseCell):
    """Long short-term memory with a forget gate and no peepholes; with z = z^x + z^h, gates packed as i, f, g, o:

        c_t = σ(z_f)·c_{t-1} + σ(z_i)·tanh(z_g)
        h_t = σ(z_o)·tanh(c_t)

    Hochreiter & Schmidhuber (1997); forget gate of Gers, Schmidhuber & Cummins (2000).

    Attributes:
        forget_bias: initial bias of f; 1 keeps 73% of c at a step (Jozefowicz et al. 2015).
        chrono: T_max of the chrono initialisation, b_f = log u with u uniform on [1, T_max - 1] and b_i = -b_f
            (Tallec & Ollivier 2018); it replaces ``forget_bias``.
    """

    forget_bias: float = 1.0
    chrono: int | None = None

    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    State: ClassVar[type] = LSTMState
    additive: ClassVar[bool] = True
    init_options: ClassVar[tuple[str, ...]] = (*ElementwiseCell.init_options, "forget_bias", "chrono")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_keep_gate(self.forget_bias, self.chrono)

    def init_bias(self, key: jax.Array) -> tuple[jax.Array, None]:
        """All zero except the forget gate and, with ``chrono``, the input gate."""
        zeros = jnp.zeros(self.features, self.param_dtype)
        b_i, b_f = zeros, zeros + self.forget_bias
        if self.chrono is not None:
            b_f = chrono_bias(key, self.features, self.chrono, self.param_dtype)
            b_i = -b_f
        return jnp.concatenate([b_i, b_f, zeros, zeros]), None

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """σ(z_i), σ(z_f), tanh(z_g), σ(z_o), packed (..., 4·H).

        Computed in one pass over the packed block, by σ(z) = ½ + ½·tanh(z/2): XLA's CPU backend does not vectorise a
        fusion with several transcendental functions of different column slices.
        """
        shape = (1,) * (z_h.ndim - 1) + (self.features,)
        half, one = jnp.full(shape, 0.5, z_h.dtype), jnp.ones(shape, z_h.dtype)
        scale = jnp.concatenate([half, half, one, half], axis=-1)  # no array is captured, which Pallas would refuse
        return jnp.tanh((z_x + z_h) * scale) * scale + (1.0 - scale)

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """c_t = f·c_{t-1} + i·g."""
        i, f, g = jnp.split(self.gate_values(z_x, z_h, m)[..., : 3 * self.features], 3, axis=-1)
        return f * m + i * g

    def readout(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t = o·tanh(c_t)."""
        o = self.gate_values(z_x, z_h, m)[..., 3 * self.features :]
        return o * jnp.tanh(m)

    def advance(
        self,
        z_x: jax.Array,
        z_h: jax.Array,
        m: jax.Array,
        own: PyTree = None,
        *,
        hold: jax.Array | None = None,
        tap: CellState | None = None,
    ) -> LSTMState:
        """``update``, zoneout and ``readout``, with the gates computed once."""
        i, f, g, o = jnp.split(self.gate_values(z_x, z_h, m), 4, axis=-1)
        c_t = self.zone_out(f * m + i * g, m, hold)
        if tap is not None:
            c_t = c_t + tap.c
        h_t = o * jnp.tanh(c_t)
        return LSTMState(h_t if tap is None else h_t + tap.h, c_t)
