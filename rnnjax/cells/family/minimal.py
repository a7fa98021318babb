"""MinGRU and MinLSTM: gates that do not read the state, so the state is a linear recurrence."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.initializers import chrono_bias
from rnnjax.cells.params import Params
from rnnjax.cells.validation import check_keep_gate
from rnnjax.typing import CellState, PyTree


class MinGRUState(NamedTuple):
    """Output and memory are the same array."""

    h: jax.Array  # (..., H)


class MinLSTMState(NamedTuple):
    """Output and memory are the same array."""

    h: jax.Array  # (..., H)


@dataclasses.dataclass(frozen=True)
class _Minimal(ElementwiseCell):
    """What both cells share: h_t = keep_t·h_{t-1} + (1 - keep_t)·g_t, both functions of z^x alone."""

    forget_bias: float = 0.0
    chrono: int | None = None

    additive: ClassVar[bool] = True
    recurrent_kernel: ClassVar[bool] = False
    init_options: ClassVar[tuple[str, ...]] = (*ElementwiseCell.init_options, "forget_bias", "chrono")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_keep_gate(self.forget_bias, self.chrono)

    def _keep_bias(self, key: jax.Array) -> jax.Array:
        """Initial bias (H,) of the gate that keeps."""
        if self.chrono is not None:
            return chrono_bias(key, self.features, self.chrono, self.param_dtype)
        return jnp.full(self.features, self.forget_bias, self.param_dtype)

    def _parts(self, z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """keep_t, 1 - keep_t and g_t, each (..., H), from z^x (..., G·H)."""
        raise NotImplementedError

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t = keep_t·h_{t-1} + (1 - keep_t)·g_t."""
        keep, write, g = self._parts(z_x + z_h)
        return keep * m + write * g

    def linear_coefficients(self, params: Params, xs: jax.Array) -> tuple[CellState, CellState]:
        """keep_t and (1 - keep_t)·g_t, see ``Cell.linear_coefficients``."""
        keep, write, g = self._parts(self.project(xs, params.w_x, params.b))
        return self.State(keep), self.State(write * g)


@dataclasses.dataclass(frozen=True)
class MinGRU(_Minimal):
    """Minimal GRU, without W_h; gates packed as i, g:

        i_t = σ(z^x_i)
        g_t = z^x_g
        h_t = (1 - i_t)·h_{t-1} + i_t·g_t

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi (2024), Were RNNs all we needed?, section 3.1; their z_t is i_t and their
    candidate is g_t. It is the version without log-space, in which the candidate is linear; the one in log-space has a
    positive function of it instead. The belt 1 - i is all of ∂h_t/∂h_{t-1}. Linear in its state, so
    ``backend="associative"`` of ``rnnjax.unroll`` applies.

    Attributes:
        forget_bias: initial bias of 1 - i, the keep gate: that of i is its negative.
        chrono: T_max of the chrono initialisation of the keep gate, b_i = -log v with v uniform on [1, T_max - 1]
            (Tallec & Ollivier 2018); it replaces ``forget_bias``.
    """

    gates: ClassVar[tuple[str, ...]] = ("i", "g")
    State: ClassVar[type] = MinGRUState

    def init_bias(self, key: jax.Array) -> tuple[jax.Array, None]:
        """All zero except the gate i."""
        return jnp.concatenate([-self._keep_bias(key), jnp.zeros(self.features, self.param_dtype)]), None

    def _parts(self, z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        z_i, z_g = jnp.split(z, 2, axis=-1)
        return jax.nn.sigmoid(-z_i), jax.nn.sigmoid(z_i), z_g

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """i_t and g_t, packed (..., 2·H)."""
        _, i, g = self._parts(z_x + z_h)
        return jnp.concatenate([i, g], axis=-1)


@dataclasses.dataclass(frozen=True)
class MinLSTM(_Minimal):
    """Minimal LSTM, without W_h; gates packed as f, i, g:

        f_t = σ(z^x_f) / (σ(z^x_f) + σ(z^x_i))
        i_t = σ(z^x_i) / (σ(z^x_f) + σ(z^x_i))
        g_t = z^x_g
        h_t = f_t·h_{t-1} + i_t·g_t

    Feng, Tung, Ahmed, Bengio & Hajimirsadeghi (2024), Were RNNs all we needed?, section 3.2, with f + i = 1 so that the
    scale of h does not depend on time. It is the version without log-space, in which the candidate g is linear. The
    belt f is all of ∂h_t/∂h_{t-1}. Linear in its state, so ``backend="associative"`` of ``rnnjax.unroll`` applies.

    Attributes:
        forget_bias: initial bias of z_f.
        chrono: T_max of the chrono initialisation, b_f = log u with u uniform on [1, T_max - 1] and b_i = -b_f
            (Tallec & Ollivier 2018), by which f_t = u/(1 + u) at zero input; it replaces ``forget_bias``.
    """

    gates: ClassVar[tuple[str, ...]] = ("f", "i", "g")
    State: ClassVar[type] = MinLSTMState

    def init_bias(self, key: jax.Array) -> tuple[jax.Array, None]:
        """All zero except the forget gate and, with ``chrono``, the input gate."""
        b_f, zeros = self._keep_bias(key), jnp.zeros(self.features, self.param_dtype)
        return jnp.concatenate([b_f, zeros if self.chrono is None else -b_f, zeros]), None

    def _parts(self, z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        z_f, z_i, z_g = jnp.split(z, 3, axis=-1)
        # f = (1 + e^-z_i) / (2 + e^-z_f + e^-z_i), with every exponent shifted so that the largest is 0
        shift = jax.lax.stop_gradient(jnp.minimum(jnp.minimum(z_f, z_i), 0))
        one, exp_f, exp_i = jnp.exp(shift), jnp.exp(shift - z_f), jnp.exp(shift - z_i)
        both = 2 * one + exp_f + exp_i
        return (one + exp_i) / both, (one + exp_f) / both, z_g

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """f_t, i_t and g_t, packed (..., 3·H)."""
        return jnp.concatenate(self._parts(z_x + z_h), axis=-1)
