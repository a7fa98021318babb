"""LayerNormLSTM: an LSTM with layer normalisation inside of the recurrence."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_finite, check_integer, check_key
from rnnjax.cells.base import Cell
from rnnjax.cells.family.step_arguments import along_last_axis, check_step
from rnnjax.cells.initializers import Glorot, Initializer, Orthogonal, check_initializer, packed_kernel
from rnnjax.cells.lstm import LSTMState


class LayerNormLSTMParams(NamedTuple):
    """Parameters, gates packed as i, f, g, o; α are gains and β biases of the three layer normalisations."""

    w_x: jax.Array  # (D, 4·H)
    w_h: jax.Array  # (H, 4·H)
    b: jax.Array  # (4·H,)
    alpha_h: jax.Array  # (4·H,)
    beta_h: jax.Array  # (4·H,)
    alpha_x: jax.Array  # (4·H,)
    beta_x: jax.Array  # (4·H,)
    alpha_c: jax.Array  # (H,)
    beta_c: jax.Array  # (H,)


@dataclasses.dataclass(frozen=True)
class LayerNormLSTM(Cell):
    """LSTM with layer normalisation of both products and of the memory where it is read; gates packed as i, f, g, o:

        z_t = LN(h_{t-1} W_h; α_h, β_h) + LN(x_t W_x; α_x, β_x) + b
        c_t = σ(z_f)·c_{t-1} + σ(z_i)·tanh(z_g)
        h_t = σ(z_o)·tanh(LN(c_t; α_c, β_c))

        LN(a; α, β) = α·(a - μ) / √(s² + ε) + β     μ, s²: mean and variance over the entries of a

    Ba, Kiros & Hinton (2016), eqs. 20-22 of the supplement. Both products are normalised over all four gates at once.
    The paper has no ε; it keeps the first step finite, at which h_{t-1} W_h is 0. A gain starts at 1 and a bias at 0;
    the outputs hardly depend on the initial scale of the kernels, which LN divides out.

    Attributes:
        kernel_init: of each gate's input kernel (D, H).
        recurrent_init: of each gate's recurrent kernel (H, H).
        forget_bias: initial entries of b that belong to f.
        epsilon: ε.
    """

    _: dataclasses.KW_ONLY
    kernel_init: Initializer = Glorot()
    recurrent_init: Initializer = Orthogonal()
    forget_bias: float = 1.0
    epsilon: float = 1e-5

    init_options: ClassVar[tuple[str, ...]] = ("kernel_init", "recurrent_init", "forget_bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kernel_init", "recurrent_init"):
            check_initializer(name, getattr(self, name))
        for name in ("forget_bias", "epsilon"):
            check_finite(name, getattr(self, name))
        if self.epsilon <= 0:
            raise ValueError(f"epsilon must be above 0, got {self.epsilon!r}")

    def init(self, key: jax.Array, in_features: int) -> LayerNormLSTMParams:
        """Parameters for inputs of ``in_features`` = D components; ``key`` from ``jax.random.key``."""
        check_key(key)
        check_integer("in_features", in_features, 1)
        key_x, key_h = jax.random.split(key)
        zeros, ones = (make(4 * self.features, self.param_dtype) for make in (jnp.zeros, jnp.ones))
        return LayerNormLSTMParams(
            w_x=packed_kernel(self.kernel_init, key_x, (in_features, self.features), 4, self.param_dtype),
            w_h=packed_kernel(self.recurrent_init, key_h, (self.features, self.features), 4, self.param_dtype),
            b=zeros.at[self.features : 2 * self.features].set(self.forget_bias),
            alpha_h=ones,
            beta_h=zeros,
            alpha_x=ones,
            beta_x=zeros,
            alpha_c=ones[: self.features],
            beta_c=zeros[: self.features],
        )

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> LSTMState:
        """Zeros (*batch_shape, H)."""
        zeros = jnp.zeros((*batch_shape, self.features), self.state_dtype)
        return LSTMState(h=zeros, c=zeros)

    def step(self, params: LayerNormLSTMParams, state: LSTMState, x_t: jax.Array) -> tuple[LSTMState, jax.Array]:
        """One step: the new state, and its output h_t (..., H)."""
        check_step(self, params, state, x_t)
        z_h = self._normalise(self.project(state.h, params.w_h), params.alpha_h, params.beta_h)
        z_x = self._normalise(self.project(x_t, params.w_x), params.alpha_x, params.beta_x)
        z = z_h + z_x + along_last_axis(params.b, z_x, self.state_dtype)
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c_t = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h_t = jax.nn.sigmoid(o) * jnp.tanh(self._normalise(c_t, params.alpha_c, params.beta_c))
        return LSTMState(h=h_t, c=c_t), h_t

    def _normalise(self, a: jax.Array, alpha: jax.Array, beta: jax.Array) -> jax.Array:
        """LN(a; α, β) over the last axis."""
        centred = a - a.mean(axis=-1, keepdims=True)
        variance = jnp.square(centred).mean(axis=-1, keepdims=True)
        alpha, beta = (along_last_axis(vector, a, self.state_dtype) for vector in (alpha, beta))
        return alpha * (centred * jax.lax.rsqrt(variance + self.epsilon)) + beta
