"""CoRNN: a network of coupled, driven and damped oscillators."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_finite, check_integer, check_key
from rnnjax.cells.base import Cell
from rnnjax.cells.family.step_arguments import check_step


class CoRNNState(NamedTuple):
    """Position and velocity of each oscillator; the position is the output."""

    y: jax.Array  # (..., H)
    z: jax.Array  # (..., H)


class CoRNNParams(NamedTuple):
    """Parameters."""

    w_y: jax.Array  # (H, H) W in the paper
    w_z: jax.Array  # (H, H) calligraphic W in the paper
    v: jax.Array  # (D, H)
    b: jax.Array  # (H,)


@dataclasses.dataclass(frozen=True)
class CoRNN(Cell):
    """Coupled oscillatory recurrent network, two memories that are updated through one tanh; u_t is the input:

        z_t = z_{t-1} + Δt·(tanh(y_{t-1} W_y + z_{t-1} W_z + u_t V + b) - γ·y_{t-1} - ε·z_{t-1})
        y_t = y_{t-1} + Δt·z_t

    Rusch & Mishra (2021), eq. 3, with the damping ε·z taken at the step before, as in the authors' code. All parameters
    are initially uniform on ±1/√(D + 2·H), as there. The defaults of the options are those of that code for sequential
    MNIST; the paper tunes them for each task.

    Attributes:
        dt: Δt, the length of a step.
        gamma: γ, the stiffness: squared frequency of a single oscillator.
        epsilon: ε, the damping.
    """

    _: dataclasses.KW_ONLY
    dt: float = 0.042
    gamma: float = 2.7
    epsilon: float = 4.7

    init_options: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("dt", "gamma", "epsilon"):
            check_finite(name, getattr(self, name))
        if self.dt <= 0:
            raise ValueError(f"dt must be above 0, got {self.dt!r}")
        for name in ("gamma", "epsilon"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)!r}")

    def init(self, key: jax.Array, in_features: int) -> CoRNNParams:
        """Parameters for inputs of ``in_features`` = D components; ``key`` from ``jax.random.key``."""
        check_key(key)
        check_integer("in_features", in_features, 1)
        limit = (in_features + 2 * self.features) ** -0.5
        shapes = [(self.features, self.features)] * 2 + [(in_features, self.features), (self.features,)]
        return CoRNNParams(
            *[
                jax.random.uniform(k, shape, self.param_dtype, -limit, limit)
                for k, shape in zip(jax.random.split(key, 4), shapes, strict=True)
            ]
        )

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> CoRNNState:
        """Zeros (*batch_shape, H)."""
        zeros = jnp.zeros((*batch_shape, self.features), self.state_dtype)
        return CoRNNState(y=zeros, z=zeros)

    def step(self, params: CoRNNParams, state: CoRNNState, x_t: jax.Array) -> tuple[CoRNNState, jax.Array]:
        """One step: the new state, and its output y_t (..., H)."""
        check_step(self, params, state, x_t)
        y, z = state
        driven = self.project(y, params.w_y) + self.project(z, params.w_z) + self.project(x_t, params.v, params.b)
        z_t = z + self.dt * (jnp.tanh(driven) - self.gamma * y - self.epsilon * z)
        y_t = y + self.dt * z_t
        return CoRNNState(y=y_t, z=z_t), y_t
