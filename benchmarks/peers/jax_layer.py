"""The layer of a library that runs on JAX."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case, inputs
from benchmarks.peers import Layer


def jax_layer(
    case: Case,
    last_output: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    shardings: tuple[Any, Any] | None = None,
) -> Layer:
    """The layer whose last output is ``last_output(params, xs)``, compiled.

    ``shardings`` are those of ``params`` and ``xs``; both are on one device if not given.
    """
    params, xs = jax.device_put((params, inputs(case)), shardings)

    def loss(params: Any, xs: jax.Array) -> jax.Array:
        return jnp.sum(last_output(params, xs) ** 2)

    forward, gradient = jax.jit(last_output), jax.jit(jax.grad(loss, (0, 1)))
    return Layer(
        forward=lambda: jax.block_until_ready(forward(params, xs)),
        gradient=lambda: jax.block_until_ready(gradient(params, xs)),
        check=lambda: (np.asarray(forward(params, xs)), np.asarray(gradient(params, xs)[1])),
    )
