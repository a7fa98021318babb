"""SLSTM: an LSTM with exponential gates, a normaliser of its memory, and a stabiliser of both."""

import dataclasses
from typing import ClassVar, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_integer, check_key
from rnnjax.cells.base import Cell
from rnnjax.cells.family.step_arguments import check_step

ForgetGate = Literal["sigmoid", "exponential"]


class SLSTMState(NamedTuple):
    """Output, memory, normaliser and stabiliser; c·exp(m) and n·exp(m) are the c and n of the unstabilised cell."""

    h: jax.Array  # (..., H) output
    c: jax.Array  # (..., H) cell state, the memory
    n: jax.Array  # (..., H) normaliser, 0 before the first step
    m: jax.Array  # (..., H) stabiliser


class SLSTMParams(NamedTuple):
    """Parameters, gates packed as i, f, z, o."""

    w: jax.Array  # (D, 4·H)
    r: jax.Array  # (heads, H/heads, 4·H/heads), gates packed in each head
    b: jax.Array  # (4·H,)


@dataclasses.dataclass(frozen=True)
class SLSTM(Cell):
    """sLSTM; with a~ = x_t W_a + h_{t-1} R_a + b_a for each of a = i, f, z, o, packed in this order:

        i_t = exp(i~)        f_t = σ(f~) or exp(f~)        z_t = tanh(z~)        o_t = σ(o~)
        m_t = max(log f_t + m_{t-1}, log i_t)
        i'_t = exp(log i_t - m_t)        f'_t = exp(log f_t + m_{t-1} - m_t)
        c_t = f'_t·c_{t-1} + i'_t·z_t
        n_t = f'_t·n_{t-1} + i'_t
        h_t = o_t·c_t / n_t

    Beck et al. (2024), xLSTM, section 2.2, eqs. 8-17. At the first step, where n_{t-1} = 0, m_t = log i_t, as in the
    authors' code: from then on n_t is at least 1, and nothing can overflow. The output does not depend on m_t, since
    c_t and n_t are scaled alike: the total gradient at m_t is 0 but for rounding where the loss reads h alone.

    Initialised as in the authors' code: W normal with variance 2/(5·D), R zero, b zero but for f, where b_f of unit j
    of a head of K units is 5 - 12·(j/(K - 1))^0.3; with the exponential forget gate the logarithm of its σ, so that
    f_1 is the same.

    Attributes:
        heads: number of heads; R has no entries between units of different heads. It must divide ``features``.
        forget_gate: "sigmoid" or "exponential".
    """

    _: dataclasses.KW_ONLY
    heads: int = 1
    forget_gate: ForgetGate = "sigmoid"

    init_options: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("heads", self.heads, 1)
        object.__setattr__(self, "heads", int(self.heads))
        if self.features % self.heads:
            raise ValueError(f"heads must divide features = {self.features}, got {self.heads}")
        if self.forget_gate not in get_args(ForgetGate):
            choices = " or ".join(get_args(ForgetGate))
            raise ValueError(f"forget_gate must be {choices}, got {self.forget_gate!r}")

    def init(self, key: jax.Array, in_features: int) -> SLSTMParams:
        """Parameters for inputs of ``in_features`` = D components; ``key`` from ``jax.random.key``."""
        check_key(key)
        check_integer("in_features", in_features, 1)
        units, dtype = self.features // self.heads, self.param_dtype
        b_f = 5 - 12 * (jnp.arange(units, dtype=self.state_dtype) / max(units - 1, 1)) ** 0.3
        if self.forget_gate == "exponential":
            b_f = jax.nn.log_sigmoid(b_f)
        zeros = jnp.zeros(self.features, dtype)
        scale = (2 / (5 * in_features)) ** 0.5
        return SLSTMParams(
            w=scale * jax.random.normal(key, (in_features, 4 * self.features), dtype),
            r=jnp.zeros((self.heads, units, 4 * units), dtype),
            b=jnp.concatenate([zeros, jnp.tile(b_f.astype(dtype), self.heads), zeros, zeros]),
        )

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> SLSTMState:
        """Zeros (*batch_shape, H)."""
        zeros = jnp.zeros((*batch_shape, self.features), self.state_dtype)
        return SLSTMState(h=zeros, c=zeros, n=zeros, m=zeros)

    def step(self, params: SLSTMParams, state: SLSTMState, x_t: jax.Array) -> tuple[SLSTMState, jax.Array]:
        """One step: the new state, and its output h_t (..., H)."""
        check_step(self, params, state, x_t)
        log_i, f, z, o = jnp.split(self.project(x_t, params.w, params.b) + self._recurrent(params, state.h), 4, axis=-1)
        log_f = f if self.forget_gate == "exponential" else jax.nn.log_sigmoid(f)
        is_first = state.n == 0
        m_t = jnp.where(is_first, log_i, jnp.maximum(log_f + state.m, log_i))
        kept = log_f + state.m - m_t  # at most 0, but at the first step
        f_t = jnp.exp(jnp.where(is_first, jnp.minimum(kept, 0), kept))
        i_t = jnp.exp(log_i - m_t)
        c_t = f_t * state.c + i_t * jnp.tanh(z)
        n_t = f_t * state.n + i_t
        h_t = jax.nn.sigmoid(o) * c_t / n_t
        return SLSTMState(h=h_t, c=c_t, n=n_t, m=m_t), h_t

    def _recurrent(self, params: SLSTMParams, h: jax.Array) -> jax.Array:
        """The product h R (..., 4·H), head by head, gates packed over all heads."""
        dtype = self.dtype or self.param_dtype
        of_heads = h.reshape(*h.shape[:-1], self.heads, -1).astype(dtype)
        z = jnp.einsum("...nj,njk->...nk", of_heads, params.r.astype(dtype), preferred_element_type=self.state_dtype)
        by_gate = jnp.moveaxis(z.reshape(*z.shape[:-1], 4, -1), -2, -3)  # (..., 4, heads, H/heads)
        return by_gate.reshape(*h.shape[:-1], -1)
