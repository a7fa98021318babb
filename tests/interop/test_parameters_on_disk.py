"""Parameters survive the formats in which others keep theirs: safetensors, and a checkpoint of Orbax alone."""

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest
import safetensors.flax
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import safe_open
from sequences import assert_same, normal_like

import rnnjax

B, T, D = 2, 4, 3
XS = normal_like(jax.ShapeDtypeStruct((B, T, D), jnp.float32), 1)
WORDS = jnp.array([[1, 4, 2, 0], [3, 3, 0, 5]])
BOTH = rnnjax.Bidirectional(rnnjax.RNN(rnnjax.GRU(4)), rnnjax.RNN(rnnjax.LSTM(5), reverse=True))
MODULES = {
    "SimpleRNN": (rnnjax.RNN(rnnjax.SimpleRNN(4)), XS),
    "LSTM": (rnnjax.RNN(rnnjax.LSTM(4)), XS),
    "GRU": (rnnjax.RNN(rnnjax.GRU(4)), XS),
    "LSTM in bfloat16": (rnnjax.RNN(rnnjax.LSTM(4, param_dtype=jnp.bfloat16)), XS),
    "classifier": (
        rnnjax.SequenceClassifier(6, 3, rnnjax.Stack((BOTH, rnnjax.RNN(rnnjax.LSTM(4)))), pooling="attention"),
        WORDS,
    ),
}


@pytest.fixture(params=MODULES.values(), ids=MODULES)
def trained(request):
    """A module, its parameters, and what it answers."""
    module, inputs = request.param
    shapes = jax.eval_shape(module.init, jax.random.key(0), inputs)["params"]
    params = normal_like(shapes, 0, 0.5)
    return params, lambda params: module.apply({"params": params}, inputs)


def test_through_safetensors(trained, tmp_path):
    params, answer = trained
    flat = flatten_dict(params, sep=".")
    safetensors.flax.save_file(flat, tmp_path / "params.safetensors")
    with safe_open(tmp_path / "params.safetensors", framework="numpy") as file:
        assert set(file.keys()) == set(flat)
    loaded = unflatten_dict(safetensors.flax.load_file(tmp_path / "params.safetensors"), sep=".")
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    dtypes = [jax.tree.map(lambda a: a.dtype, tree) for tree in (loaded, params)]
    assert dtypes[0] == dtypes[1]
    assert_same(loaded, params)
    assert_same(answer(loaded), answer(params))


def test_through_orbax(trained, tmp_path):
    """Without our own store, which tests/runs/test_checkpoint_store.py is about."""
    params, answer = trained
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "params", params)
        checkpointer.wait_until_finished()
        loaded = checkpointer.restore(tmp_path / "params", jax.tree.map(jnp.zeros_like, params))
    assert_same(loaded, params)
    assert_same(answer(loaded), answer(params))
