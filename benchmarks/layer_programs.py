"""One recurrent layer of rnnjax and of Flax as pure functions of parameters and inputs, to be compiled, not run."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

import rnnjax
from benchmarks.cases import Case
from benchmarks.peers.linen import CELLS as FLAX_CELLS
from benchmarks.peers.ours import CELLS
from rnnjax.core.taps import norm_taps, zero_taps

Library = Literal["rnnjax", "rnnjax, pallas", "flax.linen"]
Pass = Literal["forward", "gradient", "gradient, norm taps", "gradient, taps", "gradient, given taps"]
Reads = Literal["last", "all"]
OURS: tuple[Pass, ...] = ("forward", "gradient", "gradient, norm taps", "gradient, taps", "gradient, given taps")
PASSES: dict[Library, tuple[Pass, ...]] = {
    "rnnjax": OURS,
    "rnnjax, pallas": OURS,
    "flax.linen": ("forward", "gradient"),
}


class LayerProgram(NamedTuple):
    """A function, and the shapes of its arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def layer_program(library: Library, case: Case, what: Pass, reads: Reads) -> LayerProgram:
    """A pass of one layer.

    Args:
        library: whose layer; "rnnjax, pallas" is rnnjax with its kernels for TPUs.
        case: its cell and sizes; inputs are time-major.
        what: "forward" returns the outputs, "gradient" the gradient with respect to parameters and inputs; "taps" adds
            ∂L/∂s_t of every step, "norm taps" its norm, as training logs it. The taps are zeros that the program makes;
            "given taps" are an argument of the program, of any values.
        reads: whether outputs and loss, the sum of squares, are of the last step or of all.
    """
    xs = jax.ShapeDtypeStruct((case.steps, case.batch, case.features), jnp.float32)
    if library == "flax.linen":
        params, outputs = _flax(case, xs)
    else:
        params, outputs = _ours(case, "scan" if library == "rnnjax" else "pallas")

    def read(params: Any, xs: jax.Array, taps: Any = None) -> jax.Array:
        final, ys = outputs(params, xs, taps)
        return final if reads == "last" else ys

    def loss(params: Any, xs: jax.Array, taps: Any = None) -> jax.Array:
        return jnp.sum(read(params, xs, taps) ** 2)

    def gradient(params: Any, xs: jax.Array) -> Any:
        return jax.grad(loss, (0, 1, 2))(params, xs, _taps(case, norms=what == "gradient, norm taps"))

    if what == "forward":
        return LayerProgram(read, (params, xs))
    if what == "gradient":
        return LayerProgram(jax.grad(loss, (0, 1)), (params, xs))
    if what == "gradient, given taps":
        taps = jax.eval_shape(lambda: _taps(case, norms=False))
        return LayerProgram(jax.grad(loss, (0, 1, 2)), (params, xs, taps))
    return LayerProgram(gradient, (params, xs))


def _taps(case: Case, *, norms: bool) -> Any:
    taps = zero_taps(CELLS[case.cell](case.features), (case.steps, case.batch))
    return norm_taps(taps) if norms else taps


def _ours(case: Case, backend: Literal["scan", "pallas"]) -> tuple[Any, Callable[..., Any]]:
    cell = CELLS[case.cell](case.features)

    def outputs(params: Any, xs: jax.Array, taps: Any) -> tuple[jax.Array, jax.Array]:
        final, states = rnnjax.unroll(cell, params, xs, taps=taps, backend=backend)
        return final.h, states.h

    return jax.eval_shape(lambda: cell.init(jax.random.key(0), case.features)), outputs


def _flax(case: Case, xs: jax.ShapeDtypeStruct) -> tuple[Any, Callable[..., Any]]:
    module = nn.RNN(FLAX_CELLS[case.cell](case.features), time_major=True)

    def outputs(params: Any, xs: jax.Array, taps: Any) -> tuple[jax.Array, jax.Array]:
        ys = module.apply(params, xs)
        return ys[-1], ys

    return jax.eval_shape(module.init, jax.random.key(0), xs), outputs
