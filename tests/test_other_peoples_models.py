"""Whole models as other people write them, unchanged: what is found in them, and their page."""

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.linen.initializers import orthogonal

import rnnjax

pytestmark = pytest.mark.slow


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class ScannedGRU(nn.Module):
    """A GRU that starts anew where an episode does, scanned over time, as recurrent PPO in JAX has it."""

    features: int

    @nn.compact
    def __call__(self, carry, inputs):
        def step(cell, carry, inputs):
            x, reset = inputs
            carry = jnp.where(reset[:, None], jnp.zeros_like(carry), carry)
            return cell(carry, x)

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False}, in_axes=0, out_axes=0)
        return scan(nn.GRUCell(self.features), carry, inputs)


class ActorCritic(nn.Module):
    actions: int = 4

    @nn.compact
    def __call__(self, observations, resets):
        embedded = nn.relu(nn.Dense(16, kernel_init=orthogonal(2**0.5))(observations))
        carry = jnp.zeros((observations.shape[1], 16))
        _, hidden = ScannedGRU(16)(carry, (embedded, resets))
        logits = nn.Dense(self.actions)(nn.relu(nn.Dense(16)(hidden)))
        value = nn.Dense(1)(nn.relu(nn.Dense(16)(hidden)))[..., 0]
        return logits, value


def actor_critic():
    steps, actors = 32, 6
    observations, actions = normal(0, steps, actors, 5), np.random.default_rng(1).integers(0, 4, (steps, actors))
    resets = np.random.default_rng(2).random((steps, actors)) < 0.1
    model = ActorCritic()
    params = model.init(jax.random.key(0), observations, resets)

    def loss(params, batch):
        observations, resets, actions, advantage, targets = batch
        logits, value = model.apply(params, observations, resets)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), actions[..., None], axis=-1)[..., 0]
        return (0.5 * (value - targets) ** 2 - advantage * chosen).mean(axis=0)

    batch = observations, resets, actions, normal(3, steps, actors), normal(4, steps, actors)
    return model, params, batch, loss, {"resets": resets}


def equinox_classifier():
    class Classifier(eqx.Module):
        cell: eqx.nn.GRUCell
        linear: eqx.nn.Linear

        def __init__(self, key):
            k1, k2 = jax.random.split(key)
            self.cell = eqx.nn.GRUCell(3, 12, key=k1)
            self.linear = eqx.nn.Linear(12, 1, key=k2)

        def __call__(self, xs):
            final, _ = jax.lax.scan(lambda h, x: (self.cell(x, h), None), jnp.zeros(12), xs)
            return self.linear(final)[0]

    model = Classifier(jax.random.key(0))
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)

    def loss(arrays, batch):
        xs, labels = batch
        logits = jax.vmap(eqx.combine(arrays, rest))(xs)
        return jnp.logaddexp(0, logits) - labels * logits

    return model, arrays, (normal(0, 8, 40, 3), np.arange(8) % 2), loss, {}


def haiku_language_model():
    @hk.without_apply_rng
    @hk.transform
    def model(tokens):
        embedded = hk.Embed(20, 12)(tokens.T)  # (T, B, 12)
        core = hk.DeepRNN([hk.LSTM(12), jax.nn.relu, hk.LSTM(12)])
        ys, _ = hk.dynamic_unroll(core, embedded, core.initial_state(tokens.shape[0]))
        return hk.BatchApply(hk.Linear(20))(ys)

    tokens = np.random.default_rng(0).integers(0, 20, (5, 30))
    params = model.init(jax.random.key(0), tokens)

    def loss(params, tokens):
        logits = jax.nn.log_softmax(model.apply(params, tokens[:, :-1]))
        return -jnp.take_along_axis(logits, tokens[:, 1:].T[..., None], axis=-1)[..., 0].mean(axis=0)

    return model, params, tokens, loss, {}


def nnx_seq2seq():
    """An encoder, and a decoder that attends to its outputs at each step and feeds its answer back."""

    class Seq2Seq(nnx.Module):
        def __init__(self, rngs):
            self.encoder = nnx.RNN(nnx.GRUCell(4, 12, rngs=rngs))
            self.cell = nnx.GRUCell(12 + 4, 12, rngs=rngs)
            self.query, self.out = nnx.Linear(12, 12, rngs=rngs), nnx.Linear(24, 4, rngs=rngs)

        def __call__(self, xs, steps):
            memory = self.encoder(xs)  # (B, T, 12)

            def step(carry, _):
                h, y = carry
                weights = jax.nn.softmax(jnp.einsum("bh,bth->bt", self.query(h), memory))
                context = jnp.einsum("bt,bth->bh", weights, memory)
                h, _ = self.cell(h, jnp.concatenate([context, y], axis=-1))
                y = self.out(jnp.concatenate([h, context], axis=-1))
                return (h, y), y

            start = memory[:, -1], jnp.zeros((len(xs), 4))
            return jnp.swapaxes(jax.lax.scan(step, start, None, length=steps)[1], 0, 1)

    model = Seq2Seq(nnx.Rngs(0))
    graph, state = nnx.split(model)

    def loss(state, batch):
        xs, targets = batch
        return ((nnx.merge(graph, state)(xs, targets.shape[1]) - targets) ** 2).mean(axis=(1, 2))

    return model, state, (normal(0, 6, 20, 4), normal(1, 6, 10, 4)), loss, {}


def physics_rollout():
    """A damped pendulum under a controller, integrated by leapfrog; the loss is where it is at the end."""

    def loss(params, start):
        def step(carry, t):
            angle, speed = carry
            torque = jnp.tanh(jnp.stack([angle, speed], axis=-1) @ params["w"] + params["b"][None]) @ params["out"]
            speed = speed + 0.05 * (-jnp.sin(angle) - 0.1 * speed + torque + 0.01 * jnp.cos(t))
            return (angle + 0.05 * speed, speed), angle

        (angle, speed), _ = jax.lax.scan(step, (start[:, 0], start[:, 1]), jnp.arange(100.0))
        return angle**2 + speed**2

    params = {"w": normal(0, 2, 8), "b": normal(1, 8), "out": 0.3 * normal(2, 8)}
    return loss, params, normal(3, 5, 2), loss, {}


MODELS = {  # name -> the model, and the states that are to be found in it
    "actor-critic": (actor_critic, ["ActorCritic/ScannedGRU_0"]),
    "equinox": (equinox_classifier, None),
    "haiku": (haiku_language_model, None),
    "nnx": (nnx_seq2seq, None),
    "physics": (physics_rollout, None),
}
COUNT = {"actor-critic": 1, "equinox": 1, "haiku": 4, "nnx": 3, "physics": 2}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_somebody_else(name, tmp_path):
    make, states = MODELS[name]
    model, params, batch, loss, options = make()
    result = rnnjax.diagnose(model, params, batch, loss, **options)
    found = [layer.name for layer in result.diagnosis.layers]
    assert len(found) == COUNT[name]
    if states is not None:
        assert found == states
    assert result.notes == ()
    for layer in result.diagnosis.layers:
        total, belt, detour = (layer.by_lag[part].q50 for part in ("m", "belt", "detour"))
        assert np.isfinite(total).all()
        assert (total[1:] <= 1.0001 * (layer.by_lag["m"].q90[1:] + belt[1:] + detour[1:])).all()
        assert np.isfinite(layer.lyapunov.exponents).all()
    page = result.save(tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert all(state in page for state in found)
    flow = rnnjax.gradient_flow(loss, params, batch, **options)
    assert list(flow.norms) == found
    if options:
        assert flow.crossings == {found[0]: 0.0}
