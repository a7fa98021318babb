"""Flax's cells of one-dimensional states, and cells of rnnjax with the same equations and parameters."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

import rnnjax
from examples.minimal_gated_unit import MinimalGatedUnitState

UNITS = 4


@dataclasses.dataclass(frozen=True)
class FlaxMGU(rnnjax.ElementwiseCell):
    """Flax's ``MGUCell``: n = tanh(z^x_n + f·z^h_n), or f left out there, and h = (1 - f)·n + f·h."""

    gates: ClassVar[tuple[str, ...]] = ("f", "n")
    State: ClassVar[type] = MinimalGatedUnitState
    reset: bool = True

    def init_bias(self, key):
        return (jnp.zeros(2 * self.features, self.param_dtype),) * 2

    def gate_values(self, z_x, z_h, m, own=None):
        (f_x, n_x), (f_h, n_h) = (jnp.split(z, 2, axis=-1) for z in (z_x, z_h))
        f = jax.nn.sigmoid(f_x + f_h)
        return jnp.concatenate([f, jnp.tanh(n_x + (f * n_h if self.reset else n_h))], axis=-1)

    def update(self, z_x, z_h, m):
        f, n = jnp.split(self.gate_values(z_x, z_h, m), 2, axis=-1)
        return (1.0 - f) * n + f * m


def from_mgu(reset):
    def convert(params):
        (params,) = params.values()  # the cell in nn.RNN
        cell = FlaxMGU(UNITS, param_dtype=jnp.float64, reset=reset)
        x = [params[name] for name in ("if", "in")]
        h = [params[name] for name in ("hf", "hn")]
        biases = jnp.concatenate([a.get("bias", jnp.zeros(UNITS)) for a in h])
        w_x, w_h = (jnp.concatenate([a["kernel"] for a in side], axis=1) for side in (x, h))
        return cell, rnnjax.Params(w_x, w_h, jnp.concatenate([a["bias"] for a in x]), biases)

    return convert


def from_linen(**options):
    def convert(params):
        module, converted = rnnjax.from_linen(params, **options)
        return module.cell, rnnjax.Params(**converted["cell"])

    return convert


WIDE = {"param_dtype": jnp.float64, "dtype": jnp.float64}
CELLS = {  # name -> (Flax's cell, from its parameters to ours)
    "SimpleCell": (nn.SimpleCell(UNITS, **WIDE), from_linen(activation="tanh", residual=False)),
    "LSTMCell": (nn.LSTMCell(UNITS, **WIDE), from_linen()),
    "OptimizedLSTMCell": (nn.OptimizedLSTMCell(UNITS, **WIDE), from_linen()),
    "GRUCell": (nn.GRUCell(UNITS, **WIDE), from_linen()),
    "MGUCell": (nn.MGUCell(UNITS, **WIDE), from_mgu(True)),
    "MGUCell without reset": (nn.MGUCell(UNITS, reset_gate=False, **WIDE), from_mgu(False)),
}
