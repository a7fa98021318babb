"""Initializers as frozen dataclasses: equal settings compare equal, so cells can be static arguments of jit.

They are called as ``init(key, shape, dtype)``, the convention of JAX; any other callable of that form can be used.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.argument_checks import check_finite, check_integer, describe
from rnnjax.dtypes import promoted

Initializer = Callable[[jax.Array, tuple[int, ...], DTypeLike], jax.Array]


@dataclasses.dataclass(frozen=True)
class Glorot:
    """Uniform on ±√(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16)."""

    def __call__(self, key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
        """A kernel of ``shape`` (fan_in, fan_out)."""
        return jax.nn.initializers.glorot_uniform()(key, shape, dtype)


@dataclasses.dataclass(frozen=True)
class Orthogonal:
    """``scale`` times a random orthogonal matrix (Saxe et al. 2014): every singular value is ``scale``."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_finite("scale", self.scale)

    def __call__(self, key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
        """A kernel of ``shape`` (H, H)."""
        wide = promoted(dtype, jnp.float32)  # there is no QR decomposition in bfloat16
        return jax.nn.initializers.orthogonal(self.scale)(key, shape, wide).astype(dtype)


@dataclasses.dataclass(frozen=True)
class Identity:
    """``scale`` times the identity (Le, Jaitly & Hinton 2015, with relu: the IRNN)."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_finite("scale", self.scale)

    def __call__(self, key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
        """A kernel of ``shape`` (H, H); ``key`` is not used."""
        return self.scale * jnp.eye(shape[0], shape[1], dtype=dtype)


@dataclasses.dataclass(frozen=True)
class Normal:
    """Normal numbers with mean 0 and standard deviation ``scale``."""

    scale: float = 0.1

    def __post_init__(self) -> None:
        check_finite("scale", self.scale)

    def __call__(self, key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
        """A kernel of ``shape`` (fan_in, fan_out)."""
        return self.scale * jax.random.normal(key, shape, dtype)


@dataclasses.dataclass(frozen=True)
class Sparse:
    """Each unit reads ``connections`` units, by normal weights; the spectral radius is ``scale``.

    Of a kernel that is not square, which has no spectral radius, the largest singular value is ``scale``.

    The recurrent kernel with which Pascanu, Mikolov & Bengio (2013) start their "smart tanh" networks.
    """

    scale: float = 0.95
    connections: int = 15

    def __post_init__(self) -> None:
        check_finite("scale", self.scale)
        check_integer("connections", self.connections, 1)

    def __call__(self, key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike) -> jax.Array:
        """A kernel of ``shape`` (fan_in, fan_out), whose column j holds the weights by which unit j reads."""
        key_weights, key_order = jax.random.split(key)
        order = jax.random.permutation(key_order, jnp.tile(jnp.arange(shape[0])[:, None], shape[1]), independent=True)
        weights = jnp.where(order < self.connections, jax.random.normal(key_weights, shape), 0)
        size = spectral_radius(weights) if shape[0] == shape[1] else jnp.linalg.norm(weights, ord=2)
        return (self.scale / size * weights).astype(dtype)


def spectral_radius(matrix: jax.Array) -> jax.Array:
    """The largest absolute eigenvalue of a square matrix, (), to a few thousandths: ‖A^k‖^(1/k) with k = 4096.

    It needs products alone, where JAX has the eigenvalues of a general matrix on some platforms only.
    """
    log_norm = jnp.zeros((), matrix.dtype)  # of A^k, which is exp(log_norm) times ``power``
    power = matrix
    for _ in range(12):
        norm = jnp.linalg.norm(power)
        power = power / norm
        power, log_norm = power @ power, 2 * (log_norm + jnp.log(norm))
    return jnp.exp((log_norm + jnp.log(jnp.linalg.norm(power))) / 2**12)


def check_initializer(name: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is an initializer; a class is none."""
    if not callable(value) or isinstance(value, type):
        raise ValueError(f"{name} must be an initializer such as rnnjax.Orthogonal(), got {describe(value)}")


def packed_kernel(init: Initializer, key: jax.Array, shape: tuple[int, int], gates: int, dtype: DTypeLike) -> jax.Array:
    """A kernel of ``shape`` (in, H) for each of G = ``gates``, drawn one by one, side by side: (in, G·H)."""
    return jnp.concatenate([init(k, shape, dtype) for k in jax.random.split(key, gates)], axis=1)


def chrono_bias(key: jax.Array, features: int, horizon: int, dtype: DTypeLike) -> jax.Array:
    """Bias of a keep gate: log u, u uniform on [1, ``horizon`` - 1], shape (``features``,).

    With σ(bias) as keep gate, unit j forgets over about u_j steps, so the layer covers every time scale up to
    ``horizon`` (Tallec & Ollivier 2018, section 2).
    """
    return jnp.log(jax.random.uniform(key, (features,), dtype, 1.0, horizon - 1.0))
