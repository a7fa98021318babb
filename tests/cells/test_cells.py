"""Each cell's equations by hand, against flax's cells, and what its constructor refuses."""

import dataclasses
import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, VARIANTS, assert_close, assert_same, make_inputs, make_params, make_state, normal_like

import rnnjax
from rnnjax.cells import DropoutMasks, Params

ALL = CELLS | VARIANTS


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def two_steps(cell, params):
    """States after x = 0.7 and x = -0.4 of a cell with one unit and one input."""
    params = Params(*[None if a is None else jnp.array(a) for a in params])
    first, _ = cell.step(params, cell.initial_state(), jnp.array([0.7]))
    second, _ = cell.step(params, first, jnp.array([-0.4]))
    return [[float(a.item()) for a in state] for state in (first, second)]


@pytest.mark.parametrize(
    ("activation", "phi"), [("tanh", math.tanh), ("relu", lambda z: max(z, 0.0))], ids=["tanh", "relu"]
)
def test_two_steps_of_the_simple_rnn_by_hand(x64, activation, phi):
    h_1 = phi(0.7 * 0.9 + 0.2)
    h_2 = phi(-0.4 * 0.9 + 0.2 + h_1 * -0.6)
    cell = rnnjax.SimpleRNN(1, activation=activation, param_dtype=jnp.float64)
    params = Params(w_x=[[0.9]], w_h=[[-0.6]], b=[0.2])
    np.testing.assert_allclose(two_steps(cell, params), [[h_1], [h_2]], rtol=1e-15, atol=1e-16)


def test_two_steps_of_the_lstm_by_hand(x64):
    c_1 = sigmoid(0.7 * 0.5 + 0.1) * math.tanh(0.7 * 0.9 - 0.2)  # i·g, for c_0 = 0
    h_1 = sigmoid(0.7 * -0.3 + 0.4) * math.tanh(c_1)
    i = sigmoid(-0.4 * 0.5 + 0.1 + h_1 * 0.6)
    f = sigmoid(-0.4 * 0.7 + 1.0 + h_1 * -0.8)
    g = math.tanh(-0.4 * 0.9 - 0.2 + h_1 * 1.1)
    o = sigmoid(-0.4 * -0.3 + 0.4 + h_1 * 0.2)
    c_2 = f * c_1 + i * g
    h_2 = o * math.tanh(c_2)
    params = Params(w_x=[[0.5, 0.7, 0.9, -0.3]], w_h=[[0.6, -0.8, 1.1, 0.2]], b=[0.1, 1.0, -0.2, 0.4])
    actual = two_steps(rnnjax.LSTM(1, param_dtype=jnp.float64), params)
    np.testing.assert_allclose(actual, [[h_1, c_1], [h_2, c_2]], rtol=1e-14)


def test_two_steps_of_the_gru_by_hand(x64):
    r = sigmoid(0.7 * 0.5 + 0.1 - 0.3)
    u = sigmoid(0.7 * 0.7 - 0.2 + 0.5)
    h_1 = (1 - u) * math.tanh(0.7 * 0.9 + 0.4 + r * 0.8)  # h_0 = 0 leaves b_h alone in z^h
    r = sigmoid(-0.4 * 0.5 + 0.1 + h_1 * 0.6 - 0.3)
    u = sigmoid(-0.4 * 0.7 - 0.2 + h_1 * -0.8 + 0.5)
    h_2 = (1 - u) * math.tanh(-0.4 * 0.9 + 0.4 + r * (h_1 * 1.1 + 0.8)) + u * h_1
    params = Params(w_x=[[0.5, 0.7, 0.9]], w_h=[[0.6, -0.8, 1.1]], b=[0.1, -0.2, 0.4], b_h=[-0.3, 0.5, 0.8])
    actual = two_steps(rnnjax.GRU(1, param_dtype=jnp.float64), params)
    np.testing.assert_allclose(actual, [[h_1], [h_2]], rtol=1e-14)


def flax_simple(params):
    return nn.SimpleCell(5), {"i": {"kernel": params.w_x, "bias": params.b}, "h": {"kernel": params.w_h}}


def flax_lstm(params):
    """flax carries (c, h), and its one bias sits on h's kernel instead of x's: the same sum."""
    weights = {}
    w_x, w_h, b = (np.split(a, 4, axis=-1) for a in params[:3])
    for k, gate in enumerate("ifgo"):
        weights[f"i{gate}"] = {"kernel": w_x[k]}
        weights[f"h{gate}"] = {"kernel": w_h[k], "bias": b[k]}
    return nn.LSTMCell(5), weights


def flax_gru(params):
    """flax calls u z, and has a bias on h only inside the reset product: ours of r and u join those on x."""
    weights = {}
    w_x, w_h, b, b_h = (np.split(a, 3, axis=-1) for a in params[:4])
    for k, gate in enumerate("rzn"):
        weights[f"i{gate}"] = {"kernel": w_x[k], "bias": b[k] if gate == "n" else b[k] + b_h[k]}
        weights[f"h{gate}"] = {"kernel": w_h[k]}
    weights["hn"]["bias"] = b_h[2]
    return nn.GRUCell(5), weights


@pytest.mark.parametrize(("name", "make"), [("SimpleRNN", flax_simple), ("LSTM", flax_lstm), ("GRU", flax_gru)])
def test_a_sequence_is_that_of_flax_with_the_same_weights(x64, name, make):
    cell = CELLS[name]
    params, xs, state = make_params(cell), make_inputs(cell, (4,)), make_state(cell, (4,))
    flax_cell, weights = make(params)
    carry = (state.c, state.h) if name == "LSTM" else state.h
    expected = []
    for x_t in xs:
        carry, h_t = flax_cell.apply({"params": weights}, carry, x_t)
        expected.append(h_t)
    final, states = rnnjax.unroll(cell, params, xs, state)
    assert_close(states.h, jnp.stack(expected), 1e-14)
    assert_close((final.c, final.h) if name == "LSTM" else final.h, carry, 1e-14)


@pytest.mark.parametrize("name", ALL)
def test_a_tap_is_added_to_the_memory_before_it_is_read_and_to_h_after(x64, name):
    cell = ALL[name]
    params, state, x_t = make_params(cell), make_state(cell, (4,)), make_inputs(cell, (4,))[0]
    tap = normal_like(state, 9)
    plain, _ = cell.step(params, state, x_t)
    tapped, h_t = cell.step(params, state, x_t, tap=tap)
    assert h_t is tapped.h
    if name.startswith("LSTM"):
        assert_close(tapped.c, plain.c + tap.c, 1e-15)
        assert_close(tapped.h, plain.h / jnp.tanh(plain.c) * jnp.tanh(tapped.c) + tap.h, 1e-14)
    else:
        assert_close(tapped.h, plain.h + tap.h, 1e-15)


@pytest.mark.parametrize("name", ALL)
def test_recurrent_dropout_silences_the_product_and_not_the_memory(x64, name):
    """With h dropped whole, a step is one whose W_h is zero; h and c themselves go on as they were."""
    cell = ALL[name]
    params, state, x_t = make_params(cell), make_state(cell, (4,)), make_inputs(cell, (4,))[0]
    dropped, _ = cell.step(params, state, x_t, dropout=DropoutMasks(None, jnp.zeros_like(state.h)))
    expected, _ = cell.step(params._replace(w_h=jnp.zeros_like(params.w_h)), state, x_t)
    assert_same(dropped, expected)
    if not name.startswith("SimpleRNN"):
        forgotten, _ = cell.step(params, cell.initial_state((4,)), x_t)
        assert np.all(np.abs(dropped.h - forgotten.h) > 1e-6)


def test_equal_options_make_equal_cells():
    """So that a cell is a static argument of jit, and compiling happens once."""
    first, second = (rnnjax.GRU(8, chrono=50, recurrent_init=rnnjax.Orthogonal(0.9)) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != first.replace(chrono=51)
    assert first.replace(features=9).features == 9
    assert rnnjax.SimpleRNN(8) != rnnjax.LSTM(8)


FIRST_PARAMETERS = {"kernel_init": rnnjax.Orthogonal(0.5), "recurrent_init": rnnjax.Identity(0.9)}
KEEPING = {"forget_bias": 2.5, "chrono": 9}
STEP = {
    "features": 6,
    "input_dropout": 0.1,
    "recurrent_dropout": 0.1,
    "zoneout": 0.1,
    "param_dtype": jnp.bfloat16,
    "dtype": jnp.float16,
}


@pytest.mark.parametrize(
    ("cell_type", "of_init", "of_step"),
    [
        (rnnjax.SimpleRNN, FIRST_PARAMETERS, STEP | {"activation": "relu"}),
        (rnnjax.LSTM, FIRST_PARAMETERS | KEEPING, STEP),
        (rnnjax.GRU, FIRST_PARAMETERS | KEEPING, STEP),
    ],
)
def test_uninitialised_cells_are_equal_if_their_steps_are(cell_type, of_init, of_step):
    """Every option is one that init alone reads, which makes no difference, or one of the step, which does."""
    plain = cell_type(5)
    assert {field.name for field in dataclasses.fields(plain)} == {"features", *of_init, *of_step}
    assert plain.uninitialised() == plain
    params, state, x_t = make_params(plain), make_state(plain, (4,)), make_inputs(plain, (4,))[0]
    for name, value in of_init.items():
        other = plain.replace(**{name: value})
        assert other != plain
        assert other.uninitialised() == plain
        assert_same(other.step(params, state, x_t), plain.step(params, state, x_t))
    for name, value in of_step.items():
        other = plain.replace(**of_init | {name: value})
        assert other.uninitialised() == plain.replace(**{name: value}) != plain


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: rnnjax.LSTM(0), "features must be a positive integer, got 0"),
        (lambda: rnnjax.GRU(-3), "features must be a positive integer, got -3"),
        (lambda: rnnjax.SimpleRNN(2.5), "features must be a positive integer, got 2.5"),
        (lambda: rnnjax.LSTM(4, input_dropout=1.0), "input_dropout must be"),
        (lambda: rnnjax.GRU(4, recurrent_dropout=-0.1), "recurrent_dropout must be"),
        (lambda: rnnjax.SimpleRNN(4, recurrent_dropout=math.nan), "recurrent_dropout must be"),
        (lambda: rnnjax.LSTM(4, zoneout=1.0), "zoneout must be at least 0 and below 1, got 1.0"),
        (lambda: rnnjax.GRU(4, zoneout=-0.1), "zoneout must be at least 0 and below 1, got -0.1"),
        (lambda: rnnjax.LSTM(4, chrono=2), "chrono must be at least 3 steps, got 2"),
        (lambda: rnnjax.GRU(4, chrono=0), "chrono must be at least 3 steps, got 0"),
        (lambda: rnnjax.SimpleRNN(4, activation="gelu"), "activation must be one of tanh, relu, got 'gelu'"),
        (lambda: rnnjax.LSTM(4).replace(features=0), "features must be"),
    ],
)
def test_what_a_cell_cannot_be_is_named(make, argument):
    with pytest.raises(ValueError, match=argument):
        make()


@pytest.mark.parametrize("hold", [None, "drawn"])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_advances_as_it_remembers_and_reads_out(x64, name, hold):
    """What a cell computes once for both is what it says of each."""
    cell = CELLS[name].replace(zoneout=0.3)
    z_x, z_h = make_inputs(cell, (2, 4), steps=2, inputs=len(cell.gates) * cell.features)
    state = make_state(cell, (2, 4))
    tap, held = normal_like(state, 9), None if hold is None else normal_like(state[-1], 10) > 0
    m = cell.remember(z_x, z_h, state[-1], hold=held) + tap[-1]
    expected = cell.make_state(cell.readout(z_x, z_h, m) + tap[0], m)
    assert_close(cell.advance(z_x, z_h, state[-1], hold=held, tap=tap), expected, 1e-15)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_integers_of_numpy_are_sizes(kind):
    assert rnnjax.LSTM(kind(8)) == rnnjax.LSTM(8)
    assert type(rnnjax.GRU(kind(8), chrono=kind(9)).features) is int
