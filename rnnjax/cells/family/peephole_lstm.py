"""LSTM with peepholes: its gates also read the cell state."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells.lstm import LSTM, LSTMState
from rnnjax.typing import CellState, PyTree


class Peepholes(NamedTuple):
    """The weight with which each gate reads the cell state of its own unit."""

    p_i: jax.Array  # (H,)
    p_f: jax.Array  # (H,)
    p_o: jax.Array  # (H,)


@dataclasses.dataclass(frozen=True)
class PeepholeLSTM(LSTM):
    """Long short-term memory with peepholes; with z = z^x + z^h, gates packed as i, f, g, o:

        i_t = σ(z_i + p_i·c_{t-1})
        f_t = σ(z_f + p_f·c_{t-1})
        c_t = f_t·c_{t-1} + i_t·tanh(z_g)
        o_t = σ(z_o + p_o·c_t)
        h_t = o_t·tanh(c_t)

    Gers, Schraudolph & Schmidhuber (2002), in the form of Graves (2013), equations 7 to 11, with diagonal peepholes.
    The gradient also passes through the peepholes, as in Graves (2013); the first paper cuts it off there. The belt is
    ∂c_t/∂c_{t-1} at fixed z, with the two peepholes that read c_{t-1}. New peepholes are 0, so the cell starts as an
    LSTM.

    Attributes:
        forget_bias: initial bias of f, as in ``LSTM``.
        chrono: T_max of the chrono initialisation, as in ``LSTM``.
    """

    def init_own(self, key: jax.Array) -> Peepholes:
        """Peepholes of 0."""
        zeros = jnp.zeros(self.features, self.param_dtype)
        return Peepholes(zeros, zeros, zeros)

    def _write(
        self, z: jax.Array, c: jax.Array, own: Peepholes
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]:
        """i_t, f_t, tanh(z_g), c_t without zoneout, and z_o."""
        z_i, z_f, z_g, z_o = jnp.split(z, 4, axis=-1)
        i, f = jax.nn.sigmoid(z_i + _times(own.p_i, c)), jax.nn.sigmoid(z_f + _times(own.p_f, c))
        g = jnp.tanh(z_g)
        return i, f, g, f * c + i * g, z_o

    def _output_gate(self, z_o: jax.Array, c_t: jax.Array, own: Peepholes) -> jax.Array:
        return jax.nn.sigmoid(z_o + _times(own.p_o, c_t))

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """i_t, f_t, tanh(z_g) and o_t, packed (..., 4·H); o_t reads the c_t that follows from ``m`` = c_{t-1}."""
        i, f, g, c_t, z_o = self._write(z_x + z_h, m, own)
        return jnp.concatenate([i, f, g, self._output_gate(z_o, self.zone_out(c_t, m, None), own)], axis=-1)

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """c_t = f·c_{t-1} + i·g."""
        return self._write(z_x + z_h, m, own)[3]

    def readout(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t = o·tanh(c_t), from ``m`` = c_t."""
        z_o = jnp.split(z_x + z_h, 4, axis=-1)[3]
        return self._output_gate(z_o, m, own) * jnp.tanh(m)

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
        """``update``, zoneout and ``readout``."""
        *_, c_t, z_o = self._write(z_x + z_h, m, own)
        c_t = self.zone_out(c_t, m, hold)
        if tap is not None:
            c_t = c_t + tap.c
        h_t = self._output_gate(z_o, c_t, own) * jnp.tanh(c_t)
        return LSTMState(h_t if tap is None else h_t + tap.h, c_t)


def _times(p: jax.Array, c: jax.Array) -> jax.Array:
    """A peephole (H,) times cell states (..., H), in their dtype."""
    return jnp.expand_dims(p.astype(c.dtype), range(c.ndim - 1)) * c
