"""LRU: a linear recurrence with a complex diagonal matrix."""

import dataclasses
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_finite, check_floats, check_integer, check_key
from rnnjax.cells.base import Cell
from rnnjax.cells.family.step_arguments import along_last_axis, check_step


class LRUState(NamedTuple):
    """The memory; the output is no part of it."""

    x: jax.Array  # (..., N) complex


class LRUParams(NamedTuple):
    """Parameters, all of them real."""

    nu_log: jax.Array  # (N,) log ν, |λ| = exp(-ν)
    theta_log: jax.Array  # (N,) log θ, the phase of λ
    gamma_log: jax.Array  # (N,) log γ
    b_re: jax.Array  # (D, N) real part of B
    b_im: jax.Array  # (D, N) imaginary part of B
    c_re: jax.Array  # (N, N) real part of C
    c_im: jax.Array  # (N, N) imaginary part of C
    d: jax.Array  # (D, N)


@dataclasses.dataclass(frozen=True)
class LRU(Cell):
    """Linear recurrent unit; u_t is the input of the step, N = ``features`` the number of states and of outputs:

        x_t = λ·x_{t-1} + γ·(u_t B)            λ = exp(-exp(nu_log) + i·exp(theta_log)),   γ = exp(gamma_log)
        y_t = Re(x_t C) + u_t D

    Orvieto et al. (2023), eqs. 1-8. λ, B and C are complex, so the state x is, and y is real. Initialised as in the
    code of appendix A: λ uniform in area on the ring r_min ≤ |λ| ≤ r_max with a phase from 0 to ``max_phase``,
    γ = √(1 - |λ|²), normal numbers with variance 1/(2·D) for both parts of B and 1/N for those of C. There D is a
    vector of normal numbers, for as many inputs as outputs; here it is a matrix, with variance 1/D.

    Attributes:
        r_min: smallest |λ| at the beginning, from 0.
        r_max: largest |λ| at the beginning, up to 1.
        max_phase: largest phase of λ at the beginning, up to 2π; small ones suit long memory.
    """

    _: dataclasses.KW_ONLY
    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 6.28

    init_options: ClassVar[tuple[str, ...]] = ("r_min", "r_max", "max_phase")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("r_min", "r_max", "max_phase"):
            check_finite(name, getattr(self, name))
        if not 0 <= self.r_min < self.r_max <= 1:
            raise ValueError(
                f"r_min and r_max must be such that 0 <= r_min < r_max <= 1, got {self.r_min} and {self.r_max}"
            )
        if not 0 < self.max_phase <= 2 * math.pi:
            raise ValueError(f"max_phase must be above 0 and at most 2·π, got {self.max_phase}")

    def init(self, key: jax.Array, in_features: int) -> LRUParams:
        """Parameters for inputs of ``in_features`` = D components; ``key`` from ``jax.random.key``."""
        check_key(key)
        check_integer("in_features", in_features, 1)
        key_nu, key_theta, *keys = jax.random.split(key, 7)
        size, wide = self.features, self.state_dtype
        tiny, almost_one = jnp.finfo(wide).tiny, 1 - jnp.finfo(wide).eps
        u_1, u_2 = (jax.random.uniform(k, (size,), wide, tiny) for k in (key_nu, key_theta))
        squared = jnp.clip(u_1 * (self.r_max**2 - self.r_min**2) + self.r_min**2, tiny, almost_one)  # |λ|²
        vectors = jnp.log(-0.5 * jnp.log(squared)), jnp.log(self.max_phase * u_2), 0.5 * jnp.log(1 - squared)
        shapes = [((in_features, size), 2 * in_features)] * 2 + [((size, size), size)] * 2
        shapes += [((in_features, size), in_features)]
        matrices = [
            jax.random.normal(k, shape, self.param_dtype) / math.sqrt(n)
            for k, (shape, n) in zip(keys, shapes, strict=True)
        ]
        return LRUParams(*[a.astype(self.param_dtype) for a in (*vectors, *matrices)])

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> LRUState:
        """Complex zeros (*batch_shape, N)."""
        zeros = jnp.zeros((*batch_shape, self.features), self.state_dtype)
        return LRUState(jax.lax.complex(zeros, zeros))

    def step(self, params: LRUParams, state: LRUState, x_t: jax.Array) -> tuple[LRUState, jax.Array]:
        """One step of the input u_t = ``x_t``: the new state, and the output y_t (..., N)."""
        check_step(self, params, state, x_t)
        a, b = self._coefficients(params, x_t)
        new = LRUState(a * state.x + b)
        return new, self.outputs(params, new, x_t)

    def linear_coefficients(self, params: LRUParams, xs: jax.Array) -> tuple[LRUState, LRUState]:
        """λ and γ·(u_t B) of all steps: the recurrence as state_t = a_t·state_{t-1} + b_t.

        Args:
            params: from ``init``.
            xs: (T, ..., D) inputs.

        Returns:
            a and b, states of arrays (T, ..., N).
        """
        check_floats("xs", xs, "(T, ..., D)")
        a, b = self._coefficients(params, xs)
        return LRUState(jnp.broadcast_to(a, b.shape)), LRUState(b)

    def outputs(self, params: LRUParams, states: LRUState, xs: jax.Array) -> jax.Array:
        """The outputs y (..., N) of states (..., N) and of inputs (..., D) of the same steps."""
        x = states.x
        of_state = self.project(x.real, params.c_re) - self.project(x.imag, params.c_im)
        return of_state + self.project(xs, params.d)

    def _coefficients(self, params: LRUParams, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        """λ (1..., N) and γ·(u B) (..., N) of inputs u (..., D)."""
        real, imaginary = self.project(u, params.b_re), self.project(u, params.b_im)
        nu, theta, gamma = (
            jnp.exp(along_last_axis(vector, u, self.state_dtype))
            for vector in (params.nu_log, params.theta_log, params.gamma_log)
        )
        modulus = jnp.exp(-nu)
        return (
            jax.lax.complex(modulus * jnp.cos(theta), modulus * jnp.sin(theta)),
            jax.lax.complex(gamma * real, gamma * imaginary),
        )
