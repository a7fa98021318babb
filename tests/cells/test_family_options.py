"""Options of the cells of the family: first parameters, noise, and what their constructors refuse."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_cells import CELLS
from sequences import INPUTS, assert_same, make_inputs, make_params, make_state

import rnnjax
from rnnjax import diagnostics

KEY = jax.random.key(0)
INIT = {"kernel_init", "recurrent_init", "forget_bias", "chrono", "time_steps"}


@pytest.mark.parametrize("name", ["PeepholeLSTM", "JANET", "MinGRU", "MinLSTM", "IndRNN", "CTRNN"])
def test_every_option_is_one_of_init_or_one_of_the_step(name):
    """As every cell: equal options make equal cells, and those of init alone share compiled programs."""
    cell_type = getattr(rnnjax, name)
    assert cell_type(5) == cell_type(5) != cell_type(6)
    assert hash(cell_type(5)) == hash(cell_type(5))
    changed = {"forget_bias": 2.5, "chrono": 9, "time_steps": 20, "kernel_init": rnnjax.Normal(0.3)}
    changed |= {"recurrent_init": rnnjax.Identity(0.9)} if cell_type.recurrent_kernel else {}
    options = {field.name for field in dataclasses.fields(cell_type)}
    assert set(cell_type.init_options) == options & INIT
    cell, plain = cell_type(5, **{k: v for k, v in changed.items() if k in options}), cell_type(5)
    assert cell.uninitialised() == plain
    params, state, x_t = make_params(plain), make_state(plain, (4,)), make_inputs(plain, (4,))[0]
    assert_same(cell.step(params, state, x_t), plain.step(params, state, x_t))


@pytest.mark.parametrize("name", ["PeepholeLSTM", "JANET", "MinGRU", "MinLSTM"])
def test_a_forget_bias_and_chrono_set_what_is_kept_at_zero_input(x64, name):
    """σ(b); of MinLSTM σ(b) / (σ(b) + ½); and u / (1 + u) with u on [1, T_max - 1] under chrono."""
    cell = getattr(rnnjax, name)(200, param_dtype=jnp.float64)
    biased, chrono = cell.replace(forget_bias=2.0), cell.replace(chrono=50)
    kept = diagnostics.keep_at_bias(biased, biased.init(KEY, INPUTS))
    sigmoid = 1 / (1 + math.exp(-2))
    np.testing.assert_allclose(kept, sigmoid / (sigmoid + 0.5) if name == "MinLSTM" else sigmoid, rtol=1e-12)
    kept = np.asarray(diagnostics.keep_at_bias(chrono, chrono.init(KEY, INPUTS)))
    times = kept / (1 - kept)
    assert 1 <= times.min() < 2
    assert 47 < times.max() <= 49


def test_new_peepholes_are_zero_so_that_the_cell_is_an_lstm(x64):
    cell, lstm = (kind(5, param_dtype=jnp.float64) for kind in (rnnjax.PeepholeLSTM, rnnjax.LSTM))
    params = cell.init(KEY, INPUTS)
    assert all(not np.any(p) for p in params.own)
    xs = make_inputs(cell, (4,))
    _, states = rnnjax.unroll(cell, params, xs)
    _, expected = rnnjax.unroll(lstm, lstm.init(KEY, INPUTS), xs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), states, expected)


@pytest.mark.parametrize(("steps", "bound"), [(None, 1.0), (2, math.sqrt(2)), (100, 2**0.01)])
def test_the_recurrent_weights_of_an_indrnn_lie_between_0_and_the_bound(steps, bound):
    (u,) = rnnjax.IndRNN(2000, time_steps=steps).init(KEY, INPUTS).own
    assert 0 <= u.min() < 0.01
    assert bound - 0.01 < u.max() <= np.float32(bound)
    np.testing.assert_allclose(u.mean(), bound / 2, rtol=0.05)


def test_cells_without_a_recurrent_kernel_have_no_parameters_for_it(x64):
    for name in ("IndRNN", "MinGRU", "MinLSTM"):
        params = CELLS[name].init_dict(KEY, INPUTS)
        assert set(params) == {"w_x", "b"} | ({"own"} if name == "IndRNN" else set())
        assert_same(CELLS[name].params_from_dict(params, INPUTS), CELLS[name].init(KEY, INPUTS))


@pytest.mark.parametrize(("z_f", "z_i", "kept"), [(-300, -300, 0.5), (-300, 0, 0), (300, -300, 1), (300, 300, 0.5)])
def test_the_gates_of_a_minlstm_are_finite_where_both_sigmoids_underflow(z_f, z_i, kept):
    z = jnp.array([z_f, z_i, 0.3], jnp.float32)

    def update(z):
        return rnnjax.MinLSTM(1).update(z, jnp.zeros(3), jnp.ones(1))[0]

    value, slope = jax.value_and_grad(update)(z)
    np.testing.assert_allclose(value, kept + (1 - kept) * 0.3, rtol=1e-6)
    assert np.all(np.isfinite(slope))


def test_noise_has_mean_zero_its_scale_and_does_not_depend_on_the_batch():
    cell = rnnjax.CTRNN(40, tau=50.0, dt=10.0, sigma=0.2)
    noise = np.asarray(cell.dropout_masks(KEY, jnp.arange(30), INPUTS, 50).noise)
    assert noise.shape == (50, 30, 40)
    np.testing.assert_allclose(noise.std(), math.sqrt(2 * 50 / 10) * 0.2, rtol=0.01)
    assert abs(noise.mean()) < 5 * noise.std() / math.sqrt(noise.size)
    alone = cell.dropout_masks(KEY, jnp.array([7]), INPUTS, 50).noise
    assert_same(alone[:, 0], jnp.asarray(noise[:, 7]))
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.1


def test_noise_is_drawn_in_training_alone():
    layer = rnnjax.RNN(rnnjax.CTRNN(5, sigma=0.2))
    xs = jnp.ones((2, 6, 3))
    variables = layer.init(KEY, xs)
    _, still = layer.apply(variables, xs)
    _, same = layer.apply(variables, xs)
    _, noisy = layer.apply(variables, xs, train=True, rngs={"dropout": KEY})
    assert_same(still, same)
    assert np.all(noisy != still)
    assert np.all(noisy[0] != noisy[1])
    quiet = rnnjax.RNN(rnnjax.CTRNN(5, sigma=0.0))
    _, without = quiet.apply(variables, xs, train=True)  # needs no random stream
    assert_same(without, still)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: rnnjax.PeepholeLSTM(4, chrono=2), "chrono must be at least 3 steps, got 2"),
        (lambda: rnnjax.JANET(4, beta=math.nan), "beta must be a finite number, got nan"),
        (lambda: rnnjax.JANET(4, forget_bias="1"), "forget_bias must be a finite number, got '1'"),
        (lambda: rnnjax.IndRNN(4, activation="gelu"), "activation must be one of tanh, relu, got 'gelu'"),
        (lambda: rnnjax.IndRNN(4, time_steps=0), "time_steps must be a whole number of at least 1, got 0"),
        (lambda: rnnjax.IndRNN(4, recurrent_dropout=0.1), "IndRNN has no recurrent kernel"),
        (lambda: rnnjax.MinGRU(4, recurrent_init=rnnjax.Identity()), "MinGRU has no recurrent kernel, so leave out"),
        (lambda: rnnjax.MinGRU(4, chrono=2.5), "chrono must be at least 3 steps, got 2.5"),
        (lambda: rnnjax.MinLSTM(4, forget_bias=math.inf), "forget_bias must be a finite number, got inf"),
        (lambda: rnnjax.CTRNN(4, activation="relu6"), "activation must be one of tanh, relu, got 'relu6'"),
        (lambda: rnnjax.CTRNN(4, dt=0), "dt must be above 0 and at most tau = 100.0, got 0"),
        (lambda: rnnjax.CTRNN(4, dt=30.0, tau=20.0), "dt must be above 0 and at most tau = 20.0, got 30.0"),
        (lambda: rnnjax.CTRNN(4, sigma=-0.1), "sigma must be at least 0, got -0.1"),
    ],
)
def test_what_a_cell_cannot_be_is_named(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
