"""What origins.npz holds, see make_origins.py, and how an imported network is held against it."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sequences import assert_close

with np.load(Path(__file__).with_name("origins.npz")) as file:
    ARRAYS = dict(file)


class Origin(NamedTuple):
    """A network of another library."""

    xs: np.ndarray  # (B, T, D)
    phases: np.ndarray  # (B, T, H) of the loss
    ys: np.ndarray  # (B, T, H)
    weights: dict[str, Any]
    gradients: dict[str, Any]


def load(name):
    def below(folder):
        start = f"{name}/{folder}/"
        return {key.removeprefix(start): a for key, a in ARRAYS.items() if key.startswith(start)}

    return Origin(ARRAYS["xs"], ARRAYS[f"{name}/phases"], ARRAYS[f"{name}/ys"], below("weights"), below("gradients"))


def without_biases(params):
    if "cell" in params:
        return {"cell": {name: a for name, a in params["cell"].items() if name.startswith("w_")}}
    return {name: without_biases(part) for name, part in params.items()}


def assert_answers_alike(module, params, origin, *converted, biases=True):
    """Outputs and gradients are the origin's; each of ``converted`` is its gradients in our form."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), origin.xs)["params"]
    assert jax.tree.map(lambda a: (a.shape, a.dtype), params) == jax.tree.map(lambda a: (a.shape, a.dtype), shapes)

    @jax.jit
    def answer(params):
        def loss(params):
            _, ys = module.apply({"params": params}, origin.xs)
            return jnp.sin(ys + origin.phases).sum(), ys

        return jax.grad(loss, has_aux=True)(params)

    gradients, ys = answer(params)
    assert_close(ys, origin.ys, 1e-5)
    for expected in converted:
        if not biases:
            gradients, expected = without_biases(gradients), without_biases(expected)
        assert_close(gradients, expected, 1e-5)
