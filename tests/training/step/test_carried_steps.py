"""A training step whose first state is carried from the window before: its gradient, restart, shapes and dtypes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from carried import DATASET, LSTM, SETTINGS, STREAMS, make_model
from sequences import assert_close, assert_same

import rnnjax
from rnnjax.data.dataset import Objective
from rnnjax.training.step import train_step
from rnnjax.training.step.losses import score
from rnnjax.training.step.optimizer import make_optimizer
from rnnjax.training.step.state import Batch, TrainState, traced_hparams
from rnnjax.training.step.train_step import make_train_step

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_random_restarts(monkeypatch):
    """These are tested in ``tests/training/test_carried.py``."""
    monkeypatch.setattr(train_step, "RESTART_SHARE", 0.0)


def make_step(cell, restart_every, log_gradients=False):
    settings = dataclasses.replace(SETTINGS, clip=0.0)
    model = make_model(DATASET.sizes, cell)
    step = make_train_step(
        model, make_optimizer(settings, steps=10), settings,
        log_gradients=log_gradients, objective=Objective.SYMBOLS, restart_every=restart_every,
    )  # fmt: skip
    return model, jax.jit(lambda state, batch: step(traced_hparams(settings, jax.random.key(1)), state, batch))


def make_state(model, rng, carry):
    params = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 1), np.int32))["params"]
    optimizer = make_optimizer(dataclasses.replace(SETTINGS, clip=0.0), steps=10)(0.0, 1.0)
    carry = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype), carry)
    return TrainState(params, optimizer.init(params), jnp.int32(3), jnp.zeros((), bool), carry)


def make_batch(rows=slice(0, STREAMS)):
    inputs, lengths, labels = (array[rows] for array in DATASET.train[:3])
    return Batch(inputs, lengths, labels, np.ones(len(lengths), np.float32))


def test_the_gradient_of_a_window_stops_at_its_first_state():
    """Compared with a loss whose first state depends on the parameters too, with and without its gradient stopped."""
    model, step = make_step(LSTM, restart_every=10)
    before = make_batch(slice(6, 6 + STREAMS))
    batch, state = make_batch(), make_state(model, np.random.default_rng(0), model.initial_state(STREAMS))

    def loss(params, hold):
        first, _ = model.apply({"params": params}, before.inputs)
        first = jax.lax.stop_gradient(first) if hold else first
        outputs = model.apply({"params": params}, batch.inputs, state=first)[1]
        return score(Objective.SYMBOLS, outputs, batch.labels, batch.lengths)[0].mean()

    (value, held), (_, through) = (
        jax.jit(jax.value_and_grad(lambda p, hold=hold: loss(p, hold)))(state.params) for hold in (True, False)
    )
    apply = jax.jit(model.apply)
    first = apply({"params": state.params}, before.inputs)[0]
    new, metrics, _ = step(state._replace(carry=first), batch)
    moments = jax.tree.map(lambda a: a / 0.1, new.opt_state[0][0].mu)  # Adam's after one step: 0.1 of the gradient
    assert_close(moments, held, 1e-5)
    assert any(np.max(np.abs(a - b)) > 1e-3 for a, b in zip(*map(jax.tree.leaves, (held, through)), strict=True))
    assert metrics.loss == pytest.approx(float(value), rel=1e-5)
    assert_close(new.carry, apply({"params": state.params}, batch.inputs, state=first)[0], 1e-5)


def test_a_state_restarts_with_the_epoch_and_a_halted_step_keeps_it():
    model, step = make_step(LSTM, restart_every=4, log_gradients=True)
    state, batch = make_state(model, np.random.default_rng(0), model.initial_state(STREAMS)), make_batch()
    losses = {}
    for number in (3, 4, 5, 8):
        new, metrics, _ = step(state._replace(step=jnp.int32(number)), batch)
        losses[number] = float(metrics.loss)
    assert losses[3] == losses[5] != losses[4] == losses[8]
    zeros = state._replace(carry=jax.tree.map(jnp.zeros_like, state.carry))
    assert float(step(zeros, batch)[1].loss) == losses[4]
    spoilt = state._replace(params=jax.tree.map(lambda a: a * np.nan, state.params))
    new, *_ = step(spoilt, batch)
    assert_same(new.carry, state.carry)
    assert bool(new.halted)


@pytest.mark.parametrize("cell", [rnnjax.SimpleRNN(4), rnnjax.GRU(4, dtype=jnp.bfloat16)], ids=["simple", "bfloat16"])
def test_the_carried_state_keeps_shapes_and_dtypes(cell):
    model, step = make_step(cell, restart_every=4)
    stacked_model = rnnjax.SequenceClassifier(
        9, 3, rnnjax.Stack((rnnjax.RNN(cell), rnnjax.RNN(cell))), classes=9, pooling="every"
    )
    state = make_state(model, np.random.default_rng(0), model.initial_state(STREAMS))
    new = jax.eval_shape(step, state, make_batch())[0]
    signatures = [jax.tree.map(lambda a: (a.shape, a.dtype), tree.carry) for tree in (new, state)]
    assert signatures[0] == signatures[1]
    carry = stacked_model.initial_state(2)
    variables = jax.eval_shape(stacked_model.init, jax.random.key(0), np.zeros((1, 1), np.int32))
    final, _ = jax.eval_shape(lambda v: stacked_model.apply(v, np.zeros((2, 5), np.int32), state=carry), variables)
    assert jax.tree.structure(final) == jax.tree.structure(carry)
