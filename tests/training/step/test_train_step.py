"""The training step: what it logs, what it updates, and what it leaves unchanged."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import assert_close, assert_same, normal_like

import rnnjax
from rnnjax.config.training import TrainingSettings
from rnnjax.diagnostics import QUANTILES
from rnnjax.training.step.optimizer import make_optimizer
from rnnjax.training.step.regularizers import gradient_penalty
from rnnjax.training.step.state import Batch, TrainState, traced_hparams
from rnnjax.training.step.train_step import make_eval_step, make_loss, make_train_step

T, VOCABULARY = 7, 9
LENGTHS = np.array([7, 1, 4, 4, 6, 2, 7, 3])
KEY = jax.random.key(0)
SETTINGS = TrainingSettings(learning_rate=0.01)


def make_model(cell):
    return rnnjax.SequenceClassifier(VOCABULARY, 3, rnnjax.RNN(cell))


LSTM = make_model(rnnjax.LSTM(4, param_dtype=jnp.float64))


@functools.cache
def make_step(model, *, log_gradients, **settings):
    """(key, state, batch) -> what the step returns, with the hyperparameters of the settings."""
    settings = dataclasses.replace(SETTINGS, **settings)
    step = jax.jit(make_train_step(model, make_optimizer(settings, steps=10), settings, log_gradients=log_gradients))
    return lambda key, state, batch: step(traced_hparams(settings, key), state, batch)


def make_state(model, **settings):
    shapes = jax.eval_shape(model.init, KEY, np.zeros((1, 1), np.int32))["params"]
    dtype = jnp.promote_types(jnp.float32, model.recurrent.cell.param_dtype)
    params = jax.tree.map(lambda a: a.astype(dtype), normal_like(shapes, 1, 0.5))
    optimizer = make_optimizer(dataclasses.replace(SETTINGS, **settings), steps=10)(0.0, 1.0)
    return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32), jnp.zeros((), bool))


def make_batch(rows=slice(None), weights=None):
    rng = np.random.default_rng(2)
    tokens, labels = rng.integers(VOCABULARY, size=(8, T)), rng.integers(2, size=8)
    weights = np.ones(8) if weights is None else weights
    return jax.tree.map(lambda a: a[rows], Batch(tokens, LENGTHS, labels, weights))


@pytest.fixture
def one_by_one(x64):
    """The norms of the LSTM's eight examples, each in a batch by itself: state -> (8, T), NaN past the end."""
    step, state = make_step(LSTM, log_gradients=True), make_state(LSTM)
    logged = [step(KEY, state, make_batch(slice(i, i + 1)))[2].gradients for i in range(8)]
    return {name: np.array([getattr(row, name).mean for row in logged]) for name in ("h", "c")}


def test_logged_norms_do_not_depend_on_the_batch(one_by_one):
    step, state = make_step(LSTM, log_gradients=True), make_state(LSTM)
    whole = step(KEY, state, make_batch())[2].gradients
    halves = [step(KEY, state, make_batch(slice(i, i + 4)))[2].gradients for i in (0, 4)]
    padded = step(KEY, state, make_batch(weights=np.array([1.0] * 5 + [0.0] * 3)))[2].gradients
    for name, norms in one_by_one.items():
        np.testing.assert_array_equal(np.isnan(norms), np.arange(T) >= LENGTHS[:, None])
        for statistics, rows in ((getattr(whole, name), norms), (getattr(padded, name), norms[:5])):
            np.testing.assert_array_equal(statistics.examples, (~np.isnan(rows)).sum(axis=0))
            np.testing.assert_allclose(statistics.mean, np.nanmean(rows, axis=0), rtol=1e-10)
            np.testing.assert_allclose(statistics.quantiles, np.nanquantile(rows, QUANTILES, axis=0), rtol=1e-10)
        counts, means = (np.array([getattr(getattr(half, name), f) for half in halves]) for f in ("examples", "mean"))
        weighted = (counts * means).sum(axis=0) / counts.sum(axis=0)
        np.testing.assert_allclose(getattr(whole, name).mean, weighted, rtol=1e-10)
        assert np.all(getattr(whole, name).mean > 0)


def test_logged_norms_are_those_of_the_examples_own_loss(one_by_one):
    """Compared with finite differences of one example's cross-entropy, in every direction of one state."""
    params, batch = make_state(LSTM).params, make_batch(slice(2, 3))

    @jax.jit
    def loss(taps):
        logit = LSTM.apply({"params": params}, batch.inputs, lengths=batch.lengths, taps=taps)[1][0, 0]
        return jnp.log1p(jnp.exp(jnp.where(batch.labels[0] == 1, -logit, logit)))

    zeros = LSTM.zero_taps(1, T)
    for lag in (0, 2):
        for name in ("h", "c"):
            nudges = 1e-5 * jnp.eye(4)[:, None, None, :] * (jnp.arange(T) == 3 - lag)[None, None, :, None]
            slopes = [(loss(zeros._replace(**{name: d})) - loss(zeros._replace(**{name: -d}))) / 2e-5 for d in nudges]
            np.testing.assert_allclose(one_by_one[name][2, lag], np.linalg.norm(slopes), rtol=1e-6)


def test_the_log_is_taken_before_clipping():
    model = make_model(rnnjax.GRU(4))
    state, batch = make_state(model), make_batch()
    free = make_step(model, log_gradients=True)(KEY, state, batch)
    clipped = make_step(model, log_gradients=True, clip=1e-6)(KEY, state, batch)
    assert 0.01 < free[1].gradient_norm < SETTINGS.clip
    assert_same((clipped[1], clipped[2].gradients), (free[1], free[2].gradients))
    moments = [result[0].opt_state for result in (free, clipped)]
    largest = [max(np.abs(a).max() for a in jax.tree.leaves(m) if a.ndim) for m in moments]
    assert largest[1] < 1e-6 < largest[0]


def test_traced_hparams_are_the_numbers_of_the_settings():
    settings = TrainingSettings(learning_rate=0.5, clip=2.0, omega=0.25, flossing=0.125)
    hparams = traced_hparams(settings, jax.random.key(7))
    assert tuple(hparams[1:]) == (0.5, 2.0, 0.25, 0.125)
    assert_same(hparams.key, jax.random.key_data(jax.random.key(7)))


def test_a_step_takes_learning_rate_and_clip_from_its_arguments():
    """Whatever the settings that it was made from."""
    model = make_model(rnnjax.SimpleRNN(4))
    state, batch = make_state(model), make_batch()
    settings = dataclasses.replace(SETTINGS, learning_rate=0.5, clip=3.0)
    step = jax.jit(make_train_step(model, make_optimizer(settings, steps=10), settings, log_gradients=False))
    for changes in ({}, {"learning_rate": 0.2, "clip": 1e-6}):
        other = dataclasses.replace(SETTINGS, **changes)
        expected = make_step(model, log_gradients=False, **changes)(KEY, state, batch)
        assert_close(step(traced_hparams(other, KEY), state, batch), expected, 1e-6)


@pytest.mark.parametrize("omega", [0.0, 0.3])
def test_a_step_of_plain_gradient_descent_is_minus_the_learning_rate_times_the_gradient(omega):
    """Of the mean loss, and of Ω where it is asked for."""
    model = make_model(rnnjax.SimpleRNN(4))
    settings = {"optimizer": "sgd", "clip": 0.0, "omega": omega, "learning_rate": 0.25}
    state, batch = make_state(model, **settings), make_batch()
    new, _, _ = make_step(model, log_gradients=False, **settings)(KEY, state, batch)
    loss, weights = make_loss(model), jnp.full(8, 1 / 8)

    def total(params):
        cost = gradient_penalty(
            loss, params, batch, weights=weights, flossed=weights, omega_weight=omega, flossing_weight=None
        )
        return loss(params, batch).mean() + cost

    expected = jax.tree.map(lambda w, g: w - 0.25 * g, state.params, jax.jit(jax.grad(total))(state.params))
    assert_close(new.params, expected, 1e-5)
    assert np.any(new.params["recurrent"]["cell"]["w_h"] != state.params["recurrent"]["cell"]["w_h"])


def test_logging_leaves_the_step_as_it_is_to_the_last_bit():
    model = make_model(rnnjax.GRU(4))
    state, batch = make_state(model), make_batch()
    plain, logging = (make_step(model, log_gradients=log)(KEY, state, batch) for log in (False, True))
    assert plain[2] is None
    assert_same(logging[:2], plain[:2])
    assert int(plain[0].step) == 1
    assert all(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (plain[0].params, state.params)), strict=True))


def test_the_logged_updates_are_those_of_the_step():
    model = make_model(rnnjax.GRU(4))
    state, batch = make_state(model), make_batch()
    new, _, log = make_step(model, log_gradients=True)(KEY, state, batch)
    before, after = (jax.tree_util.tree_leaves_with_path(s.params) for s in (state, new))
    assert len(log.updates) == len(before)
    for (path, a), (_, b) in zip(before, after, strict=True):
        ratio = np.linalg.norm(np.asarray(b, np.float64) - a) / np.linalg.norm(a)
        assert float(log.updates["/".join(key.key for key in path)]) == pytest.approx(ratio, rel=1e-3)


def test_a_gradient_whose_square_is_too_large_is_clipped(x64):
    """Sign and size of Adam's first step do not depend on the scale of the gradient, of which clipping leaves 1."""
    steps = {}
    for scale in (1.0, 1e25):
        model = make_model(rnnjax.GRU(4))
        state, batch = make_state(model), make_batch()
        params = state.params | {"recurrent": jax.tree.map(jnp.zeros_like, state.params["recurrent"])}
        params["Dense_0"] = params["Dense_0"] | {"kernel": jnp.full_like(params["Dense_0"]["kernel"], scale)}
        state = state._replace(params=params)
        new, metrics, _ = make_step(model, log_gradients=False)(KEY, state, batch)
        assert not new.halted
        unclipped, unclipped_metrics, _ = make_step(model, log_gradients=False, clip=0.0)(
            KEY, state._replace(opt_state=make_state(model, clip=0.0).opt_state), batch
        )
        assert bool(unclipped.halted) == (scale > 1)
        assert np.isfinite(unclipped_metrics.gradient_norm) == (scale == 1)
        steps[scale] = metrics.gradient_norm, jax.tree.map(jnp.subtract, new.params, params)["recurrent"]
    (norm, step), (large_norm, large_step) = steps.values()
    assert 1e24 < large_norm < 1e26
    assert norm < 1e3
    assert_close(large_step, step, 1e-3)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(where):
    """A loss of NaN, or a finite loss with a gradient whose norm is too large for float32."""
    model = make_model(rnnjax.GRU(4))
    state, batch = make_state(model), make_batch()
    dense = state.params["Dense_0"]
    changed = dense | ({"bias": dense["bias"] * np.nan} if where == "loss" else {"kernel": dense["kernel"] * 0 + 3e38})
    embedding = state.params["Embed_0"]["embedding"]
    params = state.params | {"Dense_0": changed}
    if where == "gradient":  # the memory is zero, so the logit is the bias, but its gradient is enormous
        params |= {"recurrent": jax.tree.map(jnp.zeros_like, params["recurrent"])}
        params |= {"Embed_0": {"embedding": 1e3 * embedding}}
    state = state._replace(params=params)
    new, metrics, _ = make_step(model, log_gradients=True)(KEY, state, batch)
    assert_same(new, state._replace(halted=True))
    sound = new._replace(params=make_state(model).params)
    later, again, _ = make_step(model, log_gradients=True)(KEY, sound, batch)
    assert np.isfinite(again.loss)
    assert_same(later, sound)  # permanently
    assert np.isfinite(metrics.loss) == (where == "gradient")
    assert not np.isfinite(metrics.gradient_norm)


def test_metrics_are_means_over_the_examples_that_count():
    model = make_model(rnnjax.SimpleRNN(4))
    state, batch = make_state(model), make_batch(weights=np.array([1.0] * 5 + [0.0] * 3))
    (losses, correct), _ = jax.jit(make_eval_step(model).score)(state.params, batch, ())
    logits = jax.jit(model.apply)({"params": state.params}, batch.inputs, lengths=batch.lengths)[1][:, 0]
    right = np.where(batch.labels == 1, logits, -logits)
    losses, correct = np.asarray(losses), np.asarray(correct)
    np.testing.assert_allclose(losses, np.log1p(np.exp(-right)), rtol=1e-5)
    np.testing.assert_array_equal(correct, right > 0)

    _, metrics, _ = make_step(model, log_gradients=False)(KEY, state, batch)
    np.testing.assert_allclose(metrics[:2], (losses[:5].mean(), correct[:5].mean()), rtol=1e-6)


def test_dropout_differs_from_step_to_step():
    model = make_model(rnnjax.SimpleRNN(4, input_dropout=0.5))
    state, batch = make_state(model), make_batch()
    step = make_step(model, log_gradients=False)

    def loss(key, number):
        return float(step(key, state._replace(step=jnp.int32(number)), batch)[1].loss)

    assert loss(KEY, 0) == loss(KEY, 0)
    assert len({loss(KEY, 0), loss(KEY, 1), loss(jax.random.key(1), 0)}) == 3


@pytest.mark.parametrize("log_gradients", [True, False])
def test_word_vectors_are_updated_in_place(optimized, log_gradients):
    model = rnnjax.SequenceClassifier(4096, 128, rnnjax.RNN(rnnjax.SimpleRNN(4)))
    optimizer, hparams, batch = make_optimizer(SETTINGS, steps=10), traced_hparams(SETTINGS, KEY), make_batch()
    step = make_train_step(model, optimizer, SETTINGS, log_gradients=log_gradients)

    def start(key):
        params = model.init(key, np.zeros((1, 1), np.int32))["params"]
        return TrainState(params, optimizer(0.0, 1.0).init(params), jnp.zeros((), jnp.int32), jnp.zeros((), bool))

    def steps(count, state):
        def take(_, carry):
            state, _ = carry
            state, _, log = step(hparams, state, batch)
            return state, log.updates if log_gradients else {}

        blocks = jax.eval_shape(step, hparams, state, batch)[2].updates if log_gradients else {}
        return jax.lax.fori_loop(0, count, take, (state, jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), blocks)))

    shapes = jax.eval_shape(start, KEY)
    text = jax.jit(steps, donate_argnums=1).lower(np.int32(0), shapes).compile().as_text()
    assert "f32[128,128]" in text  # a block of rows
    assert not re.findall(r"f32\[4096,128\]\S* copy\(", text)
