"""The layer of ``flax.nnx`` beside ``rnnjax.RNN`` with the same parameters, and the sentence where there is no nnx."""

import re
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
    slow_unless,
    total,
)

import rnnjax

pytestmark = pytest.mark.slow

BATCH = len(LENGTHS)
CASES = {name: (name, {}) for name in CELLS} | {
    "reverse": ("LSTM", {"reverse": True}),
    "autodiff": ("LSTM", {"backward": "autodiff"}),
    "stored": ("LSTM", {"store_every": 3}),
    "time major": ("LSTM", {"time_major": True}),
}


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


@pytest.mark.parametrize(
    ("name", "time_major"),
    [slow_unless((name, major) == ("LSTM", False), name, major) for name in ("LSTM", "GRU") for major in (False, True)],
)
def test_in_a_bidirectional_of_flax_it_is_our_bidirectional(nnx, x64, name, time_major):
    """Both directions, ragged, from a given carry; the carries are those of Flax's own cells, memory first."""
    cell = CELLS[name]
    (forward, module, params), (backward, _, _) = (pair(nnx, cell, time_major=time_major) for _ in range(2))
    lengths, state = jnp.array(LENGTHS), make_state(cell, (BATCH,))
    carry = (state[1], state[0]) if len(state) == 2 else state[0]
    xs = batch_of(cell, time_major)
    both = nnx.Bidirectional(forward, backward, time_major=time_major, return_carry=True)
    carries, ys = both(xs, seq_lengths=lengths, initial_carry=(carry, carry))
    expected = rnnjax.Bidirectional(module, module.clone(reverse=True))
    variables = {"params": {"forward_rnn": {"cell": params}, "backward_rnn": {"cell": params}}}
    start = rnnjax.nn.recurrent.BidirectionalState(state, state)
    finals, expected_ys = expected.apply(variables, xs, lengths=lengths, state=start)
    assert_close(ys, expected_ys, 1e-13)
    assert_close(carries, tuple((f[1], f[0]) if len(f) == 2 else f[0] for f in finals), 1e-13)
    assert_close(
        nnx.Bidirectional(forward, backward, time_major=time_major)(xs), expected.apply(variables, xs)[1], 1e-13
    )


def test_called_as_flax_calls_its_own_it_answers_alike(nnx, x64):
    layer, _, _ = pair(nnx, CELLS["LSTM"])
    xs = batch_of(CELLS["LSTM"])
    final, ys = layer(xs, lengths=jnp.array(LENGTHS))
    (c, h), again = layer(xs, seq_lengths=jnp.array(LENGTHS), return_carry=True)
    assert_same((c, h, again), (final.c, final.h, ys))
    assert_same(layer(xs, seq_lengths=jnp.array(LENGTHS), return_carry=False), ys)
    for options, message in (
        ({"keep_order": False}, "keep_order=False is not supported"),
        ({"lengths": jnp.array(LENGTHS), "seq_lengths": jnp.array(LENGTHS)}, "seq_lengths is another name of lengths;"),
        ({"state": final, "initial_carry": (c, h)}, "initial_carry is another name of state; give one of them"),
        ({"initial_carry": final}, r"pair \(c, h\), .* got LSTMState; give \(state.c, state.h\)"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(xs, **options)


def test_a_carry_of_a_cell_with_a_state_of_its_own_is_taken_time_major(nnx):
    layer = rnnjax.NnxRNN(rnnjax.SLSTM(3), INPUTS, rngs=nnx.Rngs(0))
    state = layer.initial_state(BATCH)
    xs = jnp.ones((5, BATCH, INPUTS))
    assert_same(layer(xs, initial_carry=state, time_major=True), layer(xs, time_major=True))


@pytest.mark.parametrize("options", [{}, {"param_dtype": jnp.float16}, {"dtype": jnp.float16}], ids=str)
def test_outputs_have_the_dtype_that_flax_gives(nnx, options):
    """Half precision in and half precision out, where the parameters are; states stay in float32."""
    xs = jnp.ones((2, 3, INPUTS), jnp.float16)
    final, ys = rnnjax.NnxRNN(rnnjax.LSTM(4, **options), INPUTS, rngs=nnx.Rngs(0))(xs)
    expected = nnx.RNN(nnx.LSTMCell(INPUTS, 4, **options, rngs=nnx.Rngs(0)))(xs)
    assert ys.dtype == expected.dtype
    assert final.c.dtype == jnp.float32


def test_all_public_names_are_listed(nnx):
    """Also those that are imported only when they are used."""
    names = {*rnnjax.__all__, "NnxRNN"}
    assert names <= set(dir(rnnjax))
    assert all(hasattr(rnnjax, name) for name in dir(rnnjax))


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


@pytest.mark.parametrize(
    ("cell", "rngs", "message"),
    [
        ("lstm", None, "cell must be a cell such as rnnjax.LSTM(128), got 'lstm'"),
        (rnnjax.LSTM(4), 0, "rngs must be the result of flax.nnx.Rngs, as nnx.Rngs(0), got 0"),
    ],
)
def test_what_is_no_cell_or_no_rngs_is_named(nnx, cell, rngs, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        rnnjax.NnxRNN(cell, INPUTS, rngs=nnx.Rngs(0) if rngs is None else rngs)
