"""SimpleRNN: a cell that overwrites its memory at every step (Elman 1990)."""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.typing import PyTree

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}


class SimpleRNNState(NamedTuple):
    """Output and memory are the same array."""

    h: jax.Array  # (..., H)


@dataclasses.dataclass(frozen=True)
class SimpleRNN(ElementwiseCell):
    """h_t = φ(z^x_t + z^h_t), φ = tanh or relu.

    The memory is carried over through W_h only (zoneout aside): the belt ∂m_t/∂m_{t-1} at fixed z is zero. With
    ``activation="relu"`` and ``recurrent_init=Identity()`` it is the IRNN of Le, Jaitly & Hinton (2015).
    """

    activation: Literal["tanh", "relu"] = "tanh"

    gates: ClassVar[tuple[str, ...]] = ("h",)
    State: ClassVar[type] = SimpleRNNState
    additive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """φ(z^x + z^h); ``m`` is not used."""
        return self.gate_values(z_x, z_h, m)

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """φ(z^x + z^h)."""
        return ACTIVATIONS[self.activation](z_x + z_h)
