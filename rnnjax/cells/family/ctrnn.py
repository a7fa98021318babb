"""CTRNN: a leaky network in continuous time, in steps of Euler's method, with noise."""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import jax

from rnnjax.argument_checks import check_finite
from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.simple import ACTIVATIONS
from rnnjax.typing import PyTree


class CTRNNState(NamedTuple):
    """Output and memory are the same array: the firing rates."""

    h: jax.Array  # (..., H)


@dataclasses.dataclass(frozen=True)
class CTRNN(ElementwiseCell):
    """Leaky continuous-time network in steps of dt; with z = z^x + z^h:

        τ·dh/dt = -h + φ(z + √(2·τ)·σ·ξ)                       ξ white noise
        h_t = (1 - α)·h_{t-1} + α·φ(z_t + √(2/α)·σ·ε_t)        α = dt/τ,  ε_t ~ N(0, 1) for each unit

    Yang, Joglekar, Song, Newsome & Wang (2019), Task representations in neural networks trained to perform many
    cognitive tasks, Methods; the scale √(2/α) of the noise is also that of Song, Yang & Wang (2016), who apply φ to the
    state instead of its input. Noise is drawn in training only, from the random stream "dropout" of a Flax module;
    evaluation and all diagnostics are without it. The belt ∂h_t/∂h_{t-1} at fixed z is 1 - α.

    Attributes:
        activation: φ.
        tau: time constant τ of a unit, in ms or any unit of time.
        dt: time of a step, in the same unit; at most ``tau``.
        sigma: σ, the standard deviation of the noise; 0 for none.
    """

    activation: Literal["tanh", "relu"] = "tanh"
    tau: float = 100.0
    dt: float = 20.0
    sigma: float = 0.05

    gates: ClassVar[tuple[str, ...]] = ("h",)
    State: ClassVar[type] = CTRNNState
    additive: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        for name in ("tau", "dt", "sigma"):
            check_finite(name, getattr(self, name))
        if not 0 < self.dt <= self.tau:
            raise ValueError(f"dt must be above 0 and at most tau = {self.tau!r}, got {self.dt!r}")
        if self.sigma < 0:
            raise ValueError(f"sigma must be at least 0, got {self.sigma!r}")

    @property
    def alpha(self) -> float:
        """α = dt/τ, the share of its state that a unit replaces at a step."""
        return self.dt / self.tau

    @property
    def is_random(self) -> bool:
        """Whether a training pass draws random numbers: dropout, zoneout or, unless ``sigma`` is 0, noise."""
        return bool(self.sigma or self.input_dropout or self.recurrent_dropout or self.zoneout)

    def noise(self, key: jax.Array, steps: int) -> jax.Array | None:
        """√(2/α)·σ·ε_t of one example, (T, H); None where ``sigma`` is 0."""
        if not self.sigma:
            return None
        return (2 / self.alpha) ** 0.5 * self.sigma * jax.random.normal(key, (steps, self.features), self.state_dtype)

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t = (1 - α)·h_{t-1} + α·φ(z)."""
        return (1 - self.alpha) * m + self.alpha * self.gate_values(z_x, z_h, m)

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """φ(z)."""
        return ACTIVATIONS[self.activation](z_x + z_h)
