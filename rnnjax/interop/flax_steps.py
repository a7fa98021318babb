"""One step of each cell of Flax whose equations rnnjax has too, as a program, and its parameters as those of rnnjax."""

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr

from rnnjax.cells import ElementwiseCell, Params
from rnnjax.interop.linen import FLAX_CELLS, DenseLayers
from rnnjax.typing import PyTree

try:
    from flax import nnx
except Exception:  # not every flax has an nnx that fits its jax; then no program can be of nnx
    nnx = None  # type: ignore[assignment]

FEATURES = 3  # of the inputs, in the traced programs; no equation of a step depends on their number


class MGUState(NamedTuple):
    """State of ``MGU``."""

    h: jax.Array  # (..., H)


@dataclasses.dataclass(frozen=True)
class MGU(ElementwiseCell):
    """The minimal gated unit as ``flax.linen.MGUCell`` has it; gates packed as f, n:

        f_t = σ(z^x_f + z^h_f)
        n_t = tanh(z^x_n + f_t·z^h_n), or tanh(z^x_n + z^h_n) without ``reset_gate``
        h_t = (1 - f_t)·n_t + f_t·h_{t-1}

    Zhou, Wu, Zhang & Zhou (2016), with f and 1 - f exchanged.
    """

    gates: ClassVar[tuple[str, ...]] = ("f", "n")
    State: ClassVar[type] = MGUState
    reset_gate: bool = True

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """f_t and n_t, packed (..., 2·H)."""
        (f_x, n_x), (f_h, n_h) = (jnp.split(z, 2, axis=-1) for z in (z_x, z_h))
        f = jax.nn.sigmoid(f_x + f_h)
        return jnp.concatenate([f, jnp.tanh(n_x + (f * n_h if self.reset_gate else n_h))], axis=-1)

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t = (1 - f)·n + f·h_{t-1}."""
        f, n = jnp.split(self.gate_values(z_x, z_h, m), 2, axis=-1)
        return (1.0 - f) * n + f * m


_MGU = DenseLayers("MGUCell", MGU, ("if", "in"), ("hf", "hn"), frozenset({"if", "in", "hn"}))


class FlaxStep(NamedTuple):
    """A cell of Flax.

    Attributes:
        module: its class.
        make: the module of a number of features, which computes in a dtype.
        layers: its dense layers.
        cell: the cell of rnnjax with its equations, of a number of features and a dtype of the parameters.
    """

    module: Any
    make: Callable[[int, Any], Any]
    layers: DenseLayers
    cell: Callable[..., ElementwiseCell]

    @property
    def place(self) -> tuple[str, int]:
        """File and first line of the function of the step, as JAX names them where an equation is traced."""
        code = inspect.unwrap(self.module.__call__).__code__
        return code.co_filename, code.co_firstlineno

    def trace(self, leading: tuple[int, ...], features: int, dtype: Any, mapped: int) -> tuple[ClosedJaxpr, list[str]]:
        """A step as a program of its parameters, the arrays of its carry and its inputs; results are the new carry.

        Args:
            leading: shape of the batch.
            features: H.
            dtype: of all arrays.
            mapped: how many axes of the batch are those of ``jax.vmap``.

        Returns:
            The program and the names of its parameters, such as "hi/kernel", which are its first arguments.
        """
        carry = tuple(jax.ShapeDtypeStruct((*leading, features), dtype) for _ in range(self.carried))
        x = jax.ShapeDtypeStruct((*leading, FEATURES), dtype)
        step, params = self._step(features, dtype)
        for _ in range(mapped):
            step = jax.vmap(step, (None, 0, 0))
        params = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, dtype), params)
        names = [
            "/".join(str(getattr(key, "key", getattr(key, "name", key))) for key in path[:2])
            for path, _ in jax.tree_util.tree_leaves_with_path(params)
        ]
        return jax.make_jaxpr(step)(params, carry, x), names

    @property
    def carried(self) -> int:
        """Number of arrays of the carry."""
        return len(self.layers.cell.State._fields)

    def _step(self, features: int, dtype: Any) -> tuple[Callable[..., Any], PyTree]:
        """(params, carry, x) -> the new carry, and the shapes of the parameters."""
        single = self.carried == 1
        if nnx is not None and issubclass(self.module, nnx.Module):
            graph, params, *rest = nnx.split(nnx.eval_shape(lambda: self.make(features, dtype)), nnx.Param, ...)
            return lambda params, carry, x: nnx.merge(graph, params, *rest)(carry[0] if single else carry, x)[0], params
        module = self.make(features, dtype)
        carry = jnp.zeros((features,)) if single else (jnp.zeros((features,)),) * 2
        params = jax.eval_shape(module.init, jax.random.key(0), carry, jnp.zeros(FEATURES))["params"]
        return lambda params, carry, x: module.apply({"params": params}, carry[0] if single else carry, x)[0], params

    def convert(self, arrays: dict[str, jax.Array]) -> tuple[ElementwiseCell, Params]:
        """The cell of rnnjax and its parameters, from the parameters by name."""
        some = arrays[f"{self.layers.h[0]}/kernel"]
        columns = some.shape[-1]

        def packed(layers: tuple[str, ...], kind: str) -> jax.Array:
            zeros = jnp.zeros(columns, some.dtype)
            return jnp.concatenate([arrays.get(f"{dense}/{kind}", zeros) for dense in layers], axis=-1)

        w_x, w_h, b, b_h = (
            packed(side, kind) for kind in ("kernel", "bias") for side in (self.layers.x, self.layers.h)
        )
        cell = self.cell(w_h.shape[0], param_dtype=w_h.dtype.type)
        return cell, Params(w_x, w_h, b + b_h) if cell.additive else Params(w_x, w_h, b, b_h)


def _make_linen(module: Any, options: dict[str, Any], features: int, dtype: Any) -> Any:
    return module(features, dtype=dtype, **options)


def _make_nnx(module: Any, options: dict[str, Any], features: int, dtype: Any) -> Any:
    return module(FEATURES, features, dtype=dtype, rngs=nnx.Rngs(0), **options)


def _steps(library: Any, make: Callable[..., Any], prefix: str) -> list[FlaxStep]:
    by_name = {layers.name: layers for layers in FLAX_CELLS}
    by_name |= {"OptimizedLSTMCell": by_name["LSTMCell"], "MGUCell": _MGU}
    cells: list[tuple[str, dict[str, Any], dict[str, Any]]] = [  # name, options of Flax, options of rnnjax
        ("LSTMCell", {}, {}),
        ("OptimizedLSTMCell", {}, {}),
        ("GRUCell", {}, {}),
        ("MGUCell", {}, {}),
        ("MGUCell", {"reset_gate": False}, {"reset_gate": False}),
        ("SimpleCell", {"activation_fn": jnp.tanh}, {"activation": "tanh"}),
        ("SimpleCell", {"activation_fn": jax.nn.relu}, {"activation": "relu"}),
    ]
    steps = []
    for name, of_flax, of_rnnjax in cells:
        if hasattr(library, name):  # nnx has no MGUCell
            module, layers = getattr(library, name), by_name[prefix + name]
            steps.append(FlaxStep(module, partial(make, module, of_flax), layers, partial(layers.cell, **of_rnnjax)))
    return steps


STEPS = (*_steps(nn, _make_linen, ""), *(() if nnx is None else _steps(nnx, _make_nnx, "nnx.")))
