"""The layer of ``flax.nnx`` beside ``rnnjax.RNN`` with the same parameters, and the sentence where there is no nnx."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import (
    CELLS,
    INPUTS,
    LENGTHS,
    STEPS,
    assert_close,
    assert_same,
    make_inputs,
    make_params,
    make_state,
    total,
)

import rnnjax

BATCH = len(LENGTHS)
CASES = {name: (name, {}) for name in CELLS} | {
    "reverse": ("LSTM", {"reverse": True}),
    "autodiff": ("LSTM", {"backward": "autodiff"}),
    "stored": ("LSTM", {"store_every": 3}),
    "time major": ("LSTM", {"time_major": True}),
}


@pytest.fixture(scope="module")
def nnx():
    """``flax.nnx``, where the flax and the jax that are installed fit together."""
    try:
        return __import__("flax.nnx").nnx
    except Exception as error:
        pytest.skip(f"flax.nnx cannot be imported here, whatever rnnjax does: {type(error).__name__}: {error}")


def with_params(nnx, layer, params):
    """``layer`` with the parameters of ``rnnjax.RNN``."""
    state = nnx.state(layer, nnx.Param)
    nnx.replace_by_pure_dict(state, params)
    nnx.update(layer, state)
    return layer


def pair(nnx, cell, **options):
    """The layer, the linen module, and the parameters of both as a dict."""
    params = {name: value for name, value in make_params(cell)._asdict().items() if value is not None}
    layer = with_params(nnx, rnnjax.NnxRNN(cell, INPUTS, rngs=nnx.Rngs(0), **options), params)
    return layer, rnnjax.RNN(cell, **options), params


def batch_of(cell, time_major=False):
    xs = make_inputs(cell, (BATCH,))
    return xs if time_major else xs.swapaxes(0, 1)


@pytest.mark.parametrize(("name", "options"), CASES.values(), ids=CASES)
def test_values_and_gradients_are_those_of_the_linen_module(nnx, x64, name, options):
    """Of the parameters, the inputs, the state before the first step, and the taps."""
    cell = CELLS[name]
    layer, module, params = pair(nnx, cell, **options)
    time_major = options.get("time_major", False)
    xs, state = batch_of(cell, time_major), make_state(cell, (BATCH,))
    taps, lengths = layer.zero_taps(BATCH, STEPS), jnp.array(LENGTHS)
    assert_same(taps, module.zero_taps(BATCH, STEPS))

    def answer(called, xs, state, taps):
        answered = called(xs, lengths=lengths, state=state, taps=taps)
        return total(answered), answered

    def of_layer(layer, *arguments):
        return answer(layer, *arguments)

    def of_module(params, *arguments):
        return answer(lambda xs, **more: module.apply({"params": {"cell": params}}, xs, **more), *arguments)

    places = (0, 1, 2, 3)
    found, answered = nnx.jit(nnx.grad(of_layer, argnums=places, has_aux=True))(layer, xs, state, taps)
    expected, expected_answer = jax.jit(jax.grad(of_module, argnums=places, has_aux=True))(params, xs, state, taps)
    assert_close(answered, expected_answer, 1e-13)
    assert_close((nnx.to_pure_dict(found[0]), *found[1:]), expected, 1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_first_parameters_are_those_of_the_cell(nnx, name):
    cell = CELLS[name].replace(param_dtype=jnp.float32)
    layer = rnnjax.NnxRNN(cell, INPUTS, rngs=nnx.Rngs(params=4))
    key = nnx.Rngs(params=4).params()
    assert_same(nnx.to_pure_dict(nnx.state(layer, nnx.Param)), cell.init_dict(key, INPUTS))
    assert_same(layer.params, cell.init(key, INPUTS))
    final, ys = layer(batch_of(cell))
    assert ys.shape == (BATCH, STEPS, cell.features)
    assert_same(final, layer(batch_of(cell), state=layer.initial_state(BATCH))[0])


def test_it_trains_in_a_module_of_the_readers_own(nnx):
    """Through ``nnx.jit``; the loss falls, and with it every parameter moves."""
    cell = rnnjax.LSTM(8)

    class Mine(nnx.Module):
        def __init__(self, rngs):
            self.rnn = rnnjax.NnxRNN(cell, INPUTS, rngs=rngs)
            self.dense = nnx.Linear(8, 1, rngs=rngs)

        def __call__(self, xs):
            return self.dense(self.rnn(xs)[1][:, -1])[:, 0]

    model, xs = Mine(nnx.Rngs(0)), batch_of(cell).astype(jnp.float32)
    wanted = jnp.sign(xs[:, 0, 0])

    @nnx.jit
    def step(model):
        loss, grads = nnx.value_and_grad(lambda model: ((model(xs) - wanted) ** 2).mean())(model)
        params = jax.tree.map(lambda p, g: p - 0.3 * g, nnx.state(model, nnx.Param), grads)
        nnx.update(model, params)
        return loss

    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    losses = [float(step(model)) for _ in range(30)]
    assert losses[-1] < 0.2 * losses[0]
    after = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    assert jax.tree.all(jax.tree.map(lambda a, b: not np.array_equal(a, b), before, after))


def test_a_key_draws_dropout_and_zoneout_as_in_the_linen_module(nnx):
    cell = rnnjax.LSTM(5, input_dropout=0.5, recurrent_dropout=0.5, zoneout=0.5)
    layer, module, params = pair(nnx, cell)
    xs, key = batch_of(cell), jax.random.key(1)
    dropped = layer(xs, key=key)
    expected = module.apply({"params": {"cell": params}}, xs, train=True, rngs={"dropout": key})
    assert_close(dropped, expected, 1e-6)
    assert float(jnp.abs(dropped[1] - layer(xs)[1]).max()) > 0.01


def test_without_nnx_a_sentence_says_what_to_do():
    program = """
import sys
sys.modules["flax.nnx"] = None
import rnnjax
assert rnnjax.RNN(rnnjax.LSTM(2)).cell.features == 2
try:
    rnnjax.NnxRNN
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("flax.nnx of flax ")
    assert "install a flax that fits this jax, or use rnnjax.RNN" in done.stdout
