"""Ω and flossing as terms of a loss: what they are, what they reach, and that training with them lowers them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sequences import assert_same, normal_like, quick_jit

import rnnjax
from rnnjax.capture import backpropagate
from rnnjax.diagnostics import flossing, linearise, omega, paths
from rnnjax.training.penalties import gradient_penalty
from rnnjax.training.steps import Batch, TrainState, make_loss, make_train_step

WORDS, T = 7, 6
KEY = jax.random.key(0)
BATCH = Batch(
    np.random.default_rng(0).integers(WORDS, size=(5, T)),
    np.array([6, 3, 1, 6, 5]),
    np.array([0, 1, 1, 0, 1]),
    np.ones(5, np.float32),
)


def classifier(recurrent):
    return rnnjax.SequenceClassifier(WORDS, 3, recurrent)


MODELS = {
    "stack": classifier(rnnjax.Stack((rnnjax.RNN(rnnjax.LSTM(3)), rnnjax.RNN(rnnjax.SimpleRNN(3))))),
    "bidirectional": classifier(
        rnnjax.Bidirectional(rnnjax.RNN(rnnjax.GRU(3)), rnnjax.RNN(rnnjax.GRU(3), reverse=True))
    ),
}
NAMES = [pytest.param("stack", marks=pytest.mark.slow), "bidirectional"]  # compiling takes the time
SMALL = classifier(rnnjax.RNN(rnnjax.SimpleRNN(3)))


def make_params(model):
    shapes = jax.eval_shape(model.init, KEY, BATCH.tokens)["params"]
    return normal_like(shapes, 1, 0.4)


@functools.cache
def penalty(model, omega_weight, flossing_weight):
    """The program params -> (penalty, its gradient)."""

    def value(params):
        weights = {"omega_weight": omega_weight, "flossing_weight": flossing_weight}
        return gradient_penalty(make_loss(model), params, BATCH, **weights)

    return quick_jit(jax.value_and_grad(value))


@pytest.mark.parametrize("name", NAMES)
def test_the_penalty_is_the_weighted_sum_over_layers(name):
    """Ω of every example and layer; the exponents of the first four examples."""
    model = MODELS[name]
    params = make_params(model)

    @quick_jit
    def expected(params):
        values = []
        _, calls, asked = backpropagate(make_loss(model), params, BATCH)
        for call, ask in zip(calls, asked, strict=True):
            steps = linearise(call.cell, call.params, call.xs, call.state, lengths=call.lengths)
            state = paths(call.cell, call.params, steps, ask.ct_states).state
            few = jax.tree.map(lambda a: a[:, :4], steps)
            values.append((
                omega(call.cell, call.params, steps, state).mean(),
                flossing(call.cell, call.params, few, count=3).mean(),
            ))  # fmt: skip
        return values

    cost, flossed = np.sum(expected(params), axis=0)
    assert cost > 0.1
    assert flossed > 0.1
    assert float(penalty(model, 2.0, 0.0)(params)[0]) == pytest.approx(2 * cost, rel=1e-5)
    assert float(penalty(model, 2.0, 0.5)(params)[0]) == pytest.approx(2 * cost + 0.5 * flossed, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_omega_reaches_the_recurrent_weights_of_every_layer_and_flossing_all_of_its_parameters(name):
    params = make_params(MODELS[name])
    by_omega, both = (penalty(MODELS[name], 2.0, weight)(params)[1] for weight in (0.0, 0.5))
    for path, gradient in jax.tree_util.tree_leaves_with_path(by_omega):
        assert np.any(gradient != 0) == (path[-1].key == "w_h"), path
    for path, gradient in jax.tree_util.tree_leaves_with_path(both):
        assert np.any(gradient != 0) == ("recurrent" in jax.tree_util.keystr(path)), path


@pytest.mark.parametrize("weights", [(2.0, 0.0), (2.0, 0.5)])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_descent_lowers_the_penalty(name, weights):
    params, program, values = make_params(MODELS[name]), penalty(MODELS[name], *weights), []
    for _ in range(20):
        value, gradient = program(params)
        values.append(float(value))
        params = jax.tree.map(lambda a, g: a - 0.01 * g, params, gradient)
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize("wrap", [lambda params: params, lambda params: {"params": params}])
def test_any_loss_on_any_tree_of_parameters_will_do(wrap):
    """A model that is a single layer, and parameters that are not the model's own tree."""
    model = rnnjax.RNN(rnnjax.SimpleRNN(3))
    xs = jnp.ones((2, T, 3))
    params = model.init(KEY, xs)["params"]

    def loss(tree, xs):
        return model.apply(tree if "params" in tree else {"params": tree}, xs)[1].sum(axis=(1, 2))

    @quick_jit
    @jax.grad
    def gradient(tree):
        return gradient_penalty(loss, tree, xs, omega_weight=1.0, flossing_weight=1.0)

    assert all(np.any(a != 0) for a in jax.tree.leaves(gradient(wrap(params))))


def train_step(**weights):
    optimizer = optax.sgd(0.1)
    return optimizer, make_train_step(SMALL, optimizer, log_gradients=False, **weights)


def start(optimizer):
    params = make_params(SMALL)
    return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32), jnp.zeros((), bool))


@pytest.mark.parametrize("weights", [{"omega": 1.0}, {"flossing": 1.0}])
def test_a_training_step_lowers_the_penalty_that_it_is_given(weights):
    """Beside the loss, which alone would raise it or leave it; the metrics show the loss without it."""
    optimizer, step = train_step(**weights)
    _, plain = train_step()
    step, plain = quick_jit(step), quick_jit(plain)
    with_it, without = start(optimizer), start(optimizer)
    value = penalty(SMALL, weights.get("omega", 0.0), weights.get("flossing", 0.0))
    first = float(value(with_it.params)[0])
    for i in range(10):
        with_it, metrics, _ = step(KEY, with_it, BATCH)
        without, plain_metrics, _ = plain(KEY, without, BATCH)
        if i == 0:
            assert float(metrics.loss) == pytest.approx(float(plain_metrics.loss), rel=1e-6)
            assert metrics.gradient_norm > plain_metrics.gradient_norm
    assert float(value(with_it.params)[0]) < 0.7 * first
    assert float(value(with_it.params)[0]) < 0.8 * float(value(without.params)[0])


def test_without_weights_the_step_is_the_plain_one_to_the_last_bit():
    optimizer, step = train_step(omega=0.0, flossing=0.0)

    def by_hand(key, state, batch):
        def mean(params):
            losses = make_loss(SMALL)(params, batch)
            return jnp.sum(losses * (batch.weights / batch.weights.sum()))

        loss, gradient = jax.value_and_grad(mean)(state.params)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        return TrainState(optax.apply_updates(state.params, updates), opt_state, state.step + 1, state.halted), loss

    state, metrics, _ = jax.jit(step)(KEY, start(optimizer), BATCH)
    expected, loss = jax.jit(by_hand)(KEY, start(optimizer), BATCH)
    assert_same(state, expected)
    assert_same(metrics.loss, loss)
