"""ProjectedLSTM: an LSTM whose output is a projection to fewer numbers, so that its recurrent kernel is small."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_finite, check_integer, check_key
from rnnjax.cells.base import Cell
from rnnjax.cells.family.step_arguments import check_step
from rnnjax.cells.initializers import Glorot, Initializer, Orthogonal, check_initializer, packed_kernel


class ProjectedLSTMState(NamedTuple):
    """Output and memory, of different sizes."""

    h: jax.Array  # (..., P) output
    c: jax.Array  # (..., H) cell state, the memory


class ProjectedLSTMParams(NamedTuple):
    """Parameters, gates packed as i, f, g, o."""

    w_x: jax.Array  # (D, 4·H)
    w_h: jax.Array  # (P, 4·H)
    b: jax.Array  # (4·H,)
    w_p: jax.Array  # (H, P)


@dataclasses.dataclass(frozen=True)
class ProjectedLSTM(Cell):
    """LSTM with a recurrent projection layer (LSTMP); gates packed as i, f, g, o:

        z_t = x_t W_x + h_{t-1} W_h + b
        c_t = σ(z_f)·c_{t-1} + σ(z_i)·tanh(z_g)
        h_t = (σ(z_o)·tanh(c_t)) W_p

    Sak, Senior & Beaufays (2014), eqs. 7-12, without their peepholes, as in ``torch.nn.LSTM(proj_size=P)``, whose
    weights ``rnnjax.from_torch`` imports; h is their r. Kernels are initialised as those of ``rnnjax.LSTM``, the
    projection as an input kernel; the paper draws all of them uniformly from ±0.02.

    Attributes:
        projection: P, the number of outputs; 0 stands for half of the units.
        kernel_init: of each gate's input kernel (D, H) and of the projection (H, P).
        recurrent_init: of each gate's recurrent kernel (P, H).
        forget_bias: initial bias of f.
    """

    _: dataclasses.KW_ONLY
    projection: int = 0
    kernel_init: Initializer = Glorot()
    recurrent_init: Initializer = Orthogonal()
    forget_bias: float = 1.0

    init_options: ClassVar[tuple[str, ...]] = ("kernel_init", "recurrent_init", "forget_bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kernel_init", "recurrent_init"):
            check_initializer(name, getattr(self, name))
        check_finite("forget_bias", self.forget_bias)
        check_integer("projection", self.projection, 0)
        object.__setattr__(self, "projection", int(self.projection) or max(self.features // 2, 1))

    def init(self, key: jax.Array, in_features: int) -> ProjectedLSTMParams:
        """Parameters for inputs of ``in_features`` = D components; ``key`` from ``jax.random.key``."""
        check_key(key)
        check_integer("in_features", in_features, 1)
        key_x, key_h, key_p = jax.random.split(key, 3)
        dtype, units = self.param_dtype, self.features
        return ProjectedLSTMParams(
            w_x=packed_kernel(self.kernel_init, key_x, (in_features, units), 4, dtype),
            w_h=packed_kernel(self.recurrent_init, key_h, (self.projection, units), 4, dtype),
            b=jnp.zeros(4 * units, dtype).at[units : 2 * units].set(self.forget_bias),
            w_p=self.kernel_init(key_p, (units, self.projection), dtype),
        )

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> ProjectedLSTMState:
        """Zeros: h (*batch_shape, P), c (*batch_shape, H)."""
        sizes = self.projection, self.features
        return ProjectedLSTMState(*[jnp.zeros((*batch_shape, size), self.state_dtype) for size in sizes])

    def step(
        self, params: ProjectedLSTMParams, state: ProjectedLSTMState, x_t: jax.Array
    ) -> tuple[ProjectedLSTMState, jax.Array]:
        """One step: the new state, and its output h_t (..., P)."""
        check_step(self, params, state, x_t)
        z = self.project(x_t, params.w_x, params.b) + self.project(state.h, params.w_h)
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c_t = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h_t = self.project(jax.nn.sigmoid(o) * jnp.tanh(c_t), params.w_p)
        return ProjectedLSTMState(h=h_t, c=c_t), h_t
