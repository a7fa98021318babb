"""Ω and flossing as terms of a loss: their values, their gradients, and that training with them lowers them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sequences import assert_close, assert_same, normal_like

import rnnjax
from rnnjax.analysis.capture import backpropagate
from rnnjax.config.training import TrainingSettings
from rnnjax.diagnostics import flossing, linearise, omega, paths
from rnnjax.training.step.regularizers import gradient_penalty
from rnnjax.training.step.state import Batch, TrainState, traced_hparams
from rnnjax.training.step.train_step import make_loss, make_train_step

pytestmark = pytest.mark.slow

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


GRU = rnnjax.GRU(3)
MODELS = {
    "stack": classifier(rnnjax.Stack((rnnjax.RNN(rnnjax.LSTM(3)), rnnjax.RNN(rnnjax.SimpleRNN(3))))),
    "bidirectional": classifier(rnnjax.Bidirectional(rnnjax.RNN(GRU), rnnjax.RNN(GRU, reverse=True))),
}
NAMES = [pytest.param("stack", marks=pytest.mark.slow), "bidirectional"]  # compiling takes the time
SMALL = classifier(rnnjax.RNN(rnnjax.SimpleRNN(3)))


def make_params(model):
    return normal_like(jax.eval_shape(model.init, KEY, BATCH.inputs)["params"], 1, 0.4)


MEANS = {"weights": jnp.full(5, 0.2), "flossed": jnp.array([0.25, 0.25, 0.25, 0.25, 0.0])}  # over BATCH


@functools.cache
def penalty(model, omega_weight, flossing_weight):
    """The program (params, batch, means) -> (penalty, its gradient); both weights are traced unless None."""

    @jax.jit
    @jax.value_and_grad
    def program(params, batch, means, omega, flossing):
        return gradient_penalty(make_loss(model), params, batch, **means, omega_weight=omega, flossing_weight=flossing)

    return lambda params, batch=BATCH, means=MEANS: program(params, batch, means, omega_weight, flossing_weight)


@pytest.mark.parametrize("name", NAMES)
def test_the_penalty_is_the_weighted_sum_over_layers(name):
    """Ω of every example and layer; the exponents of the first four examples."""
    model = MODELS[name]
    params = make_params(model)

    @jax.jit
    def expected(params):
        values = []
        _, calls, backward = backpropagate(make_loss(model), params, BATCH)
        for call, cotangents in zip(calls, backward, strict=True):
            steps = linearise(call.cell, call.params, call.xs, call.state, lengths=call.lengths)
            state = paths(call.cell, call.params, steps, cotangents.ct_states).state
            few = jax.tree.map(lambda a: a[:, :4], steps)
            values.append((
                omega(call.cell, call.params, steps, state).mean(),
                flossing(call.cell, call.params, few, count=3).mean(),
            ))  # fmt: skip
        return values

    cost, flossed = np.sum(expected(params), axis=0)
    assert min(cost, flossed) > 0.1
    assert penalty(model, None, None)(params)[0] == 0
    assert float(penalty(model, 2.0, None)(params)[0]) == pytest.approx(2 * cost, rel=1e-5)
    assert float(penalty(model, 2.0, 0.5)(params)[0]) == pytest.approx(2 * cost + 0.5 * flossed, rel=1e-5)


def test_both_penalties_are_taken_along_the_states_that_resets_leave():
    """Three examples of an episode before the one that is asked for, and the same examples without it."""
    model = SMALL.clone(reset_words=(1,))
    last = np.array([[1, 2, 3, 4], [1, 5, 0, 6], [1, 0, 4, 2]])
    joined = np.concatenate([[[1, 3, 6], [1, 2, 2], [1, 6, 5]], last], axis=1)
    params, labels = make_params(model), np.array([0, 1, 1])
    means = {"weights": jnp.full(3, 1 / 3), "flossed": jnp.full(3, 1 / 3)}

    def cost(tokens, *weights):
        batch = Batch(tokens, np.full(3, tokens.shape[1]), labels, np.ones(3, np.float32))
        return float(penalty(model, *weights)(params, batch, means)[0])

    assert cost(joined, 1.0, None) == pytest.approx(cost(last, 1.0, None), rel=1e-5)

    _, (call,), _ = backpropagate(make_loss(model), params, Batch(joined, np.full(3, 7), labels, np.ones(3)))
    episodes = [linearise(call.cell, call.params, call.xs[t], call.state) for t in (slice(3), slice(3, 7))]
    joined_steps = jax.tree.map(lambda a, b: jnp.concatenate([a[1:], b[1:]]), *episodes)
    expected = flossing(call.cell, call.params, joined_steps, count=3).mean()
    assert cost(joined, None, 1.0) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_omega_has_a_gradient_for_recurrent_weights_and_flossing_for_all_parameters_of_a_layer(name):
    params = make_params(MODELS[name])
    by_omega, both = (penalty(MODELS[name], 2.0, weight)(params)[1] for weight in (None, 0.5))
    for path, gradient in jax.tree_util.tree_leaves_with_path(by_omega):
        assert np.any(gradient != 0) == (path[-1].key == "w_h"), path
    for path, gradient in jax.tree_util.tree_leaves_with_path(both):
        assert np.any(gradient != 0) == ("recurrent" in jax.tree_util.keystr(path)), path


@pytest.mark.parametrize("weights", [(2.0, None), (2.0, 0.5)])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_descent_lowers_the_penalty(name, weights):
    params, program, values = make_params(MODELS[name]), penalty(MODELS[name], *weights), []
    for _ in range(20):
        value, gradient = program(params)
        values.append(float(value))
        params = jax.tree.map(lambda a, g: a - 0.01 * g, params, gradient)
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize("wrap", [lambda params: params, lambda params: {"params": params}])
def test_any_loss_and_any_tree_of_parameters_can_be_used(wrap):
    """A model that is a single layer, and parameters nested in another tree."""
    model = rnnjax.RNN(rnnjax.SimpleRNN(3))
    xs = jnp.ones((2, T, 3))
    params = model.init(KEY, xs)["params"]

    def loss(tree, xs):
        return model.apply(tree if "params" in tree else {"params": tree}, xs)[1].sum(axis=(1, 2))

    @jax.jit
    @jax.grad
    def gradient(tree):
        means = dict.fromkeys(MEANS, jnp.full(2, 0.5))
        return gradient_penalty(loss, tree, xs, **means, omega_weight=1.0, flossing_weight=1.0)

    assert all(np.any(a != 0) for a in jax.tree.leaves(gradient(wrap(params))))


@pytest.mark.parametrize("name", NAMES)
def test_the_penalties_of_shards_add_up_to_that_of_the_batch(name):
    """In value and in gradient; each shard is padded with examples of weight 0."""
    params, program = make_params(MODELS[name]), penalty(MODELS[name], 2.0, 0.5)
    means = {"weights": np.float32([0.3, 0.1, 0.2, 0.1, 0.3]), "flossed": np.float32([0.5, 0, 0.2, 0.3, 0])}

    def shard(*rows):
        rows, counts = np.resize(rows, 5), np.arange(5) < len(rows)
        weights = jax.tree.map(lambda a: np.where(counts, a[rows], np.float32(0)), means)
        return program(params, jax.tree.map(lambda a: a[rows], BATCH), weights)

    assert_close(jax.tree.map(jnp.add, shard(0, 1, 2), shard(3, 4)), program(params, BATCH, means), 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_of_weight_zero_adds_exactly_zero(name):
    """Even where its word vectors are NaN; with another weight it would make the gradient NaN."""
    params, program = make_params(MODELS[name]), penalty(MODELS[name], 2.0, 0.5)
    params["Embed_0"]["embedding"] = params["Embed_0"]["embedding"].at[0].set(jnp.nan)
    batch = BATCH._replace(inputs=np.maximum(BATCH.inputs, 1))
    with_nan = batch._replace(inputs=batch.inputs * (np.arange(5) != 1)[:, None])
    without = {"weights": jnp.array([0.25, 0, 0.25, 0.25, 0.25]), "flossed": jnp.array([0.5, 0, 0.25, 0.25, 0])}

    def finite(means):
        return all(np.all(np.isfinite(a)) for a in jax.tree.leaves(program(params, with_nan, means)))

    assert_same(program(params, with_nan, without), program(params, batch, without))
    assert finite(without)
    assert not any(finite(without | {name: MEANS[name]}) for name in MEANS)


def train_step(**weights):
    settings = TrainingSettings(learning_rate=0.1, clip=0.0, **weights)
    sgd = make_train_step(SMALL, lambda peak, *_: optax.sgd(peak), settings, log_gradients=False)
    return traced_hparams(settings, KEY), sgd


def start():
    params = make_params(SMALL)
    return TrainState(params, optax.sgd(0.1).init(params), jnp.zeros((), jnp.int32), jnp.zeros((), bool))


@pytest.mark.parametrize("weights", [{"omega": 1.0}, {"flossing": 1.0}])
def test_a_training_step_lowers_its_penalty(weights):
    """Training on the loss alone does not; the metrics show the loss without the penalty."""
    (hparams, step), (plain_hparams, plain) = train_step(**weights), train_step()
    step, plain = jax.jit(step), jax.jit(plain)
    penalised, plain_state = start(), start()
    value = penalty(SMALL, weights.get("omega"), weights.get("flossing"))
    for i in range(10):
        penalised, metrics, _ = step(hparams, penalised, BATCH)
        plain_state, plain_metrics, _ = plain(plain_hparams, plain_state, BATCH)
        if i == 0:
            assert float(metrics.loss) == pytest.approx(float(plain_metrics.loss), rel=1e-6)
            assert metrics.gradient_norm > plain_metrics.gradient_norm
    assert float(value(penalised.params)[0]) < 0.7 * float(value(start().params)[0])
    assert float(value(penalised.params)[0]) < 0.8 * float(value(plain_state.params)[0])


def test_without_penalties_the_step_is_the_plain_one_to_the_last_bit():
    hparams, step = train_step(omega=0.0, flossing=0.0)

    def by_hand(hparams, state, batch):
        weights = batch.weights / batch.weights.sum()
        loss, gradient = jax.value_and_grad(lambda p: jnp.sum(make_loss(SMALL)(p, batch) * weights))(state.params)
        updates, opt_state = optax.sgd(hparams.learning_rate).update(gradient, state.opt_state, state.params)
        return TrainState(optax.apply_updates(state.params, updates), opt_state, state.step + 1, state.halted), loss

    state, metrics, _ = jax.jit(step)(hparams, start(), BATCH)
    expected, loss = jax.jit(by_hand)(hparams, start(), BATCH)
    assert_same(state, expected)
    assert_same(metrics.loss, loss)
