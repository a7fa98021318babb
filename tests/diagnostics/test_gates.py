"""Gate values by their formulas, saturation where it was put, horizons that are known, padding that is read."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, FEATURES, LENGTHS, VARIANTS, make_inputs, make_params, make_state

import rnnjax
from rnnjax.diagnostics import gate_values, horizon, keep_at_bias, linearise, padding_read, saturation

LENGTH = np.array(LENGTHS)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@functools.cache
def program(cell):
    batch = (len(LENGTH),)
    xs, start = make_inputs(cell, batch), make_state(cell, batch)

    @jax.jit
    def measured(params, lengths):
        steps = linearise(cell, params, xs, start, lengths=lengths)
        return (
            steps,
            gate_values(cell, params, steps),
            saturation(cell, params, steps),
            horizon(steps),
            keep_at_bias(cell, params),
        )

    return measured


def run(cell, change=lambda params: params, lengths=LENGTH):
    """(parameters, steps, gate values, saturation, horizon, keep at bias), in NumPy."""
    params = change(jax.tree.map(np.asarray, make_params(cell)))
    return params, *jax.tree.map(np.asarray, program(cell)(params, lengths))


def quiet(params):
    return jax.tree.map(lambda a: 0.1 * a, params)


def biased(cell, gate, bias):
    """All parameters zero but for the biases of one gate, (H,) or one number."""

    def change(params):
        b = np.zeros((len(cell.gates), FEATURES))
        b[gate] = bias
        return jax.tree.map(np.zeros_like, params)._replace(b=b.ravel())

    return change


@pytest.mark.parametrize("name", CELLS | VARIANTS)
def test_gate_values_are_their_formulas_in_the_order_of_their_names(x64, name):
    cell = (CELLS | VARIANTS)[name]
    params, steps, values, *_ = run(cell)
    xs, start = np.asarray(make_inputs(cell, (4,))), make_state(cell, (4,))
    before = np.concatenate([np.asarray(start.h)[None], np.asarray(steps.states.h)[:-1]])
    z_x = np.split(xs @ params.w_x + params.b, len(cell.gates), axis=-1)
    z_h = np.split(before @ params.w_h + (0 if params.b_h is None else params.b_h), len(z_x), axis=-1)
    z = [a + b for a, b in zip(z_x, z_h, strict=True)]
    if isinstance(cell, rnnjax.LSTM):
        expected = {"i": sigmoid(z[0]), "f": sigmoid(z[1]), "g": np.tanh(z[2]), "o": sigmoid(z[3])}
    elif isinstance(cell, rnnjax.GRU):
        r = sigmoid(z[0])
        expected = {"r": r, "u": sigmoid(z[1]), "n": np.tanh(z_x[2] + r * z_h[2])}
    else:
        expected = {"h": np.maximum(z[0], 0) if cell.activation == "relu" else np.tanh(z[0])}
    assert tuple(expected) == cell.gates
    for b, n in enumerate(LENGTH):
        for k, gate in enumerate(cell.gates):
            np.testing.assert_allclose(values[:n, b, k], expected[gate][:n, b], rtol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_saturation_is_what_biases_force(x64, name):
    """One gate at a time far out on its flat end: all of it is stuck there and nothing elsewhere."""
    cell = CELLS[name]
    for k in range(len(cell.gates)):
        for end in (-30.0, 30.0):

            def stuck(params, k=k, end=end):
                far = np.zeros((len(cell.gates), FEATURES))
                far[k] = end
                return quiet(params)._replace(b=quiet(params).b + far.ravel())

            np.testing.assert_array_equal(run(cell, stuck)[3], np.arange(len(cell.gates)) == k)
    np.testing.assert_array_equal(run(cell, quiet)[3], 0)


@pytest.mark.parametrize("gate", [0, 2])
def test_saturation_begins_where_the_slope_is_a_twenty_fifth(x64, gate):
    """Two units of five are beyond; a sigmoid is flat from 1% of its ends on, a tanh from 2%."""
    edge = np.log(0.989 / 0.011) if gate == 0 else np.arctanh(0.979)
    beyond = np.log(0.9905 / 0.0095) if gate == 0 else np.arctanh(0.981)
    bias = np.array([-beyond, beyond, edge, -edge, edge])
    stuck = run(CELLS["LSTM"], biased(CELLS["LSTM"], gate, bias))[3]
    np.testing.assert_allclose(stuck, np.where(np.arange(4) == gate, 0.4, 0), rtol=1e-12)


def test_a_relu_is_saturated_where_it_is_off(x64):
    _, steps, _, (stuck,), *_ = run(VARIANTS["SimpleRNN relu"])
    off = (steps.z_x + steps.z_h <= 0) & steps.valid[..., None]
    assert 0.1 < stuck < 0.9
    assert float(stuck) == pytest.approx(off.sum() / (LENGTH.sum() * FEATURES))


def test_without_a_valid_step_nothing_is_saturated(x64):
    np.testing.assert_array_equal(run(CELLS["GRU"], lengths=0 * LENGTH)[3], 0)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_the_horizon_of_a_unit_that_keeps_a_known_share(x64, name):
    kept = np.array([0.5, 0.75, 0.9, 0.99, 0.999])
    found = run(CELLS[name], biased(CELLS[name], 1, np.log(kept / (1 - kept))))
    np.testing.assert_allclose(found[4], [2, 4, 10, 100, 1000], rtol=1e-9)
    np.testing.assert_allclose(found[5], kept, rtol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_the_horizon_is_of_the_mean_over_valid_steps(x64, name):
    _, steps, _, _, found, _ = run(CELLS[name])
    np.testing.assert_allclose(found, 1 / (1 - steps.f[steps.valid].mean(axis=0)), rtol=1e-12)
    assert (name == "SimpleRNN") == np.all(found == 1)


def test_the_horizon_of_a_unit_that_does_not_forget_is_infinite():
    """Units of an IndRNN with a relu that is always on keep u times their memory."""
    cell = rnnjax.IndRNN(4)
    params = cell.init(jax.random.key(0), 2)
    params = params._replace(b=jnp.ones(4), own=params.own._replace(u=jnp.array([0.5, 0.75, 1.0, 1.5])))
    np.testing.assert_allclose(horizon(linearise(cell, params, jnp.zeros((6, 2)))), [2, 4, np.inf, np.inf])


@pytest.mark.parametrize(("name", "kept"), [("LSTM", sigmoid(1.0)), ("GRU", 0.5), ("SimpleRNN", 0.0)])
def test_what_the_default_biases_alone_keep(x64, name, kept):
    cell = CELLS[name]
    default = jax.tree.map(np.asarray, cell.init(jax.random.key(0), 3))
    np.testing.assert_allclose(run(cell, lambda _: default)[5], np.full(FEATURES, kept), rtol=1e-12)


def test_both_biases_of_a_gru_count(x64):
    params, *_, kept = run(CELLS["GRU"])
    u = slice(FEATURES, 2 * FEATURES)
    np.testing.assert_allclose(kept, sigmoid(params.b[u] + params.b_h[u]), rtol=1e-12)


@pytest.mark.parametrize("promotion", ["standard", pytest.param("strict", marks=pytest.mark.slow)])
def test_padding_that_is_read_is_a_run_of_equal_inputs_at_the_end(promotion):
    with jax.numpy_dtype_promotion(promotion):
        check_padding_read()


def check_padding_read():
    xs = np.random.default_rng(0).normal(size=(10, 4, 3)).astype(np.float32)
    true = np.array([4, 10, 8, 5])
    for b, n in enumerate(true):
        xs[n:, b] = 7.0
    xs, true = jnp.array(xs), jnp.array(true)
    assert padding_read(xs, true) == 0
    # read to the end: 6 of example 0 and 5 of example 3; example 2's run of two is too short to tell
    assert padding_read(xs, jnp.full(4, 10)) == pytest.approx(11 / 40)
    assert padding_read(xs, jnp.full(4, 10), shortest=2) == pytest.approx(13 / 40)
    assert padding_read(xs, jnp.array([7, 10, 8, 5])) == 0  # a single run of three may be chance
    assert padding_read(xs[::-1], jnp.full(4, 10)) == 0  # in front it is no padding that changes the last state
    assert padding_read(xs, jnp.zeros(4, jnp.int32)) == 0


def one_hot_batch(rng, letters, steps, batch, repeat=0.0):
    """One-hot letters (T, B, letters): each repeats the one before with probability ``repeat``, else is drawn anew."""
    ids = rng.integers(letters, size=(steps, batch))
    again = rng.random((steps, batch)) < repeat
    for t in range(1, steps):
        ids[t] = np.where(again[t], ids[t - 1], ids[t])
    return np.eye(letters, dtype=np.float32)[ids]


@pytest.mark.parametrize("repeat", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("letters", "steps", "batch"), [(2, 20, 32), (2, 8, 16), (3, 5, 64), (5, 12, 4), (30, 40, 8)])
def test_letters_that_repeat_by_chance_are_no_padding(letters, steps, batch, repeat):
    rng = np.random.default_rng(letters)
    read, lengths = jax.jit(padding_read), jnp.full(batch, steps)
    assert max(float(read(one_hot_batch(rng, letters, steps, batch, repeat), lengths)) for _ in range(60)) == 0


@pytest.mark.parametrize("kind", ["a letter of its own", "the last letter again"])
@pytest.mark.parametrize(("letters", "steps"), [(2, 40), (30, 20)])
def test_padding_of_letters_is_found(kind, letters, steps):
    rng = np.random.default_rng(1)
    true = rng.integers(steps // 2, steps + 1, size=16)
    xs = np.pad(one_hot_batch(rng, letters, steps, 16), [(0, 0), (0, 0), (0, 1)])
    for b, n in enumerate(true):
        xs[n:, b] = np.eye(letters + 1)[-1] if kind == "a letter of its own" else xs[n - 1, b]
    share = float(padding_read(jnp.array(xs), jnp.full(16, steps)))
    padding = float((steps - true).sum() / (16 * steps))
    if kind == "a letter of its own":
        assert 0.8 * padding < share <= padding
    else:  # one of two letters has mostly occurred before
        assert (share > 0.5 * padding) == (letters > 2)
    assert padding_read(jnp.array(xs), jnp.array(true)) == 0


def test_equal_inputs_elsewhere_are_no_padding():
    xs = np.random.default_rng(0).normal(size=(10, 2, 3)).astype(np.float32)
    xs[2:8] = 1.0
    assert padding_read(jnp.array(xs), jnp.array([10, 10])) == 0
