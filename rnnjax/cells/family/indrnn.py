"""IndRNN: each unit reads its own last output and no other unit's."""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_integer
from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.simple import ACTIVATIONS
from rnnjax.typing import PyTree


class IndRNNState(NamedTuple):
    """Output and memory are the same array."""

    h: jax.Array  # (..., H)


class RecurrentWeights(NamedTuple):
    """The weight with which each unit reads its own last output."""

    u: jax.Array  # (H,)


@dataclasses.dataclass(frozen=True)
class IndRNN(ElementwiseCell):
    """Independently recurrent network, without W_h:

        h_t = φ(z^x_t + u·h_{t-1})          φ = relu or tanh

    Li, Li, Cook, Zhu & Gao (2018). u is drawn uniformly from [0, 2^(1/T)], or from [0, 1] where ``time_steps`` is not
    given: with relu, no gradient then grows to more than twice its size over T steps. The paper also clips |u| to that
    bound after every update; here u is free during training. All of ∂h_t/∂h_{t-1} = φ'·u is belt, as there is no W_h.

    Attributes:
        activation: φ; the paper recommends relu.
        time_steps: T, the length of the sequences, for the bound 2^(1/T) of the first u.
    """

    activation: Literal["tanh", "relu"] = "relu"
    time_steps: int | None = None

    gates: ClassVar[tuple[str, ...]] = ("h",)
    State: ClassVar[type] = IndRNNState
    additive: ClassVar[bool] = True
    recurrent_kernel: ClassVar[bool] = False
    init_options: ClassVar[tuple[str, ...]] = (*ElementwiseCell.init_options, "time_steps")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        if self.time_steps is not None:
            check_integer("time_steps", self.time_steps, 1)

    def init_own(self, key: jax.Array) -> RecurrentWeights:
        """U, uniform on [0, 2^(1/T)]."""
        bound = 1.0 if self.time_steps is None else 2.0 ** (1 / self.time_steps)
        return RecurrentWeights(jax.random.uniform(key, (self.features,), self.param_dtype, 0.0, bound))

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t = φ(z^x_t + u·h_{t-1})."""
        return self.gate_values(z_x, z_h, m, own)

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t, as ``update``."""
        u = jnp.expand_dims(own.u.astype(m.dtype), range(m.ndim - 1))
        return ACTIVATIONS[self.activation](z_x + z_h + u * m)
