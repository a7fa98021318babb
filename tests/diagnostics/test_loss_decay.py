import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.diagnostics import half_life, linearise, loss_decay, reach
from tests.sequences import WIDE, normal_like

T, B, D, H = 12, 4, 3, 5
LENGTHS = np.array([12, 9, 3, 0])
FACTOR = 0.9
READS = ("last", "mean", "max", "attention", "every")


def memory_of(cell, state):
    return state[-1] if cell.has_separate_memory else state[0]


def read_by_hand(cell, ct_states):
    """λ with what stands past the end added to the last valid step."""
    read = jax.tree.map(lambda a: np.array(a), ct_states)
    for b, length in enumerate(LENGTHS):
        for a in read:
            tail = a[max(length - 1, 0) :, b].sum(axis=0)
            a[max(length - 1, 0) :, b] = 0
            if length:
                a[length - 1, b] = tail
    return read


def gradient_of_one_step(cell, params, xs, read, b, t, s):
    """∂⟨λ_t, state_t⟩/∂m_s of example b, by autodiff of the plain steps; m_s feeds the output of step s too."""

    def loss(change):
        state = cell.initial_state(())
        for step in range(t + 1):
            before, (state, _) = state, cell.step(params, state, xs[step, b])
            if step == s:
                z_x = cell.project(xs[step, b], params.w_x, params.b)
                z_h = cell.project(before[0], params.w_h, params.b_h)
                memory = memory_of(cell, state) + change
                shown = cell.readout(z_x, z_h, memory)
                state = cell.make_state(shown, memory) if cell.has_separate_memory else cell.State(memory)
        return sum(jnp.vdot(a[t, b], value) for a, value in zip(read, state, strict=True))

    return np.linalg.norm(jax.grad(loss)(jnp.zeros(cell.features)))


@pytest.mark.parametrize("cell", [rnnjax.SimpleRNN, rnnjax.LSTM, rnnjax.GRU])
def test_norms_are_those_of_autodiff_from_each_step(x64, cell):
    cell = cell(H, **WIDE)
    params = cell.init(jax.random.key(0), D)
    xs = jax.random.normal(jax.random.key(1), (T, B, D))
    steps = linearise(cell, params, xs, lengths=jnp.array(LENGTHS))
    ct_states = normal_like(jax.eval_shape(lambda: steps.states), 3)
    read = read_by_hand(cell, ct_states)
    norms, exists = map(np.asarray, loss_decay(cell, params, steps, ct_states, sources=3))
    assert norms.shape == exists.shape == (T, 3, B)
    assert not exists[:, :, 3].any()  # of length 0
    for b in range(3):
        r = np.asarray(steps.r)
        whole = read[-1][:, b] + r[:, b] * read[0][:, b] if cell.has_separate_memory else read[0][:, b]
        strength = np.linalg.norm(whole, axis=-1)
        running = np.cumsum(strength)
        sources = [int(np.argmax(running >= part * running[-1])) for part in (1 / 3, 2 / 3)] + [LENGTHS[b] - 1]
        for number, t in enumerate(sources):
            assert list(exists[:, number, b]) == [lag <= t for lag in range(T)]
            expected = [gradient_of_one_step(cell, params, xs, read, b, t, t - lag) for lag in range(t + 1)]
            np.testing.assert_allclose(norms[: t + 1, number, b], np.array(expected) / expected[0], rtol=1e-10)


def test_sources_split_what_the_loss_reads_into_equal_parts():
    cell = rnnjax.SimpleRNN(1)
    steps = linearise(cell, cell.init(jax.random.key(0), 1), jnp.ones((10, 1, 1)))
    read = jnp.zeros((10, 1, 1)).at[jnp.array([2, 5, 7])].set(jnp.array([6.0, 1.0, 1.0])[:, None, None])
    _, exists = loss_decay(cell, cell.init(jax.random.key(0), 1), steps, cell.State(read), sources=4)
    assert list(np.asarray(exists).sum(axis=0)[:, 0] - 1) == [2, 2, 2, 7]


def test_a_loss_that_does_not_read_the_layer_has_no_decay():
    cell = rnnjax.GRU(H)
    params = cell.init(jax.random.key(0), D)
    steps = linearise(cell, params, jnp.ones((T, B, D)))
    norms, exists = loss_decay(cell, params, steps, cell.State(jnp.zeros((T, B, H))))
    assert not np.asarray(exists).any()
    assert not np.asarray(norms).any()


@functools.cache
def linear_model(reads, both_ways, objective):
    """A recurrence h_t = 0.9 h_{t-1} + W_x x_t, and a loss that reads it."""
    cell = rnnjax.SimpleRNN(H, activation="relu")  # on positive numbers it is linear
    layer = rnnjax.RNN(cell)
    recurrent = rnnjax.Bidirectional(layer, rnnjax.RNN(cell, reverse=True)) if both_ways else layer
    model = rnnjax.SequenceClassifier(0, 0, recurrent, classes=3 if objective == "classes" else 1, pooling=reads)
    xs = jnp.abs(jax.random.normal(jax.random.key(0), (6, 80, D))) + 0.1
    lengths = jnp.array([80, 80, 79, 60, 80, 70])

    def linear(path, a):
        name = jax.tree_util.keystr(path)
        return FACTOR * jnp.eye(H) if "w_h" in name else jnp.abs(a) if "w_x" in name else a

    params = jax.tree_util.tree_map_with_path(linear, model.init(jax.random.key(1), xs)["params"])

    def loss(params, xs):
        outputs = model.apply({"params": params}, xs, lengths=lengths)[1]
        if objective == "classes":
            losses = -jax.nn.log_softmax(outputs)[..., 0]
        else:
            losses = (outputs[..., 0] - 1) ** 2 if objective == "number" else jax.nn.softplus(outputs[..., 0])
        if losses.ndim == 1:
            return losses
        return jnp.where(jnp.arange(80)[None] < lengths[:, None], losses, 0).sum(axis=1)

    return rnnjax.diagnose(model, params, xs, loss)


@pytest.mark.parametrize(
    "objective", ["binary", *(pytest.param(o, marks=pytest.mark.slow) for o in ("classes", "number"))]
)
@pytest.mark.parametrize("both_ways", [False, True], ids=["forward", "both ways"])
@pytest.mark.parametrize("reads", READS)
def test_half_life_and_reach_of_a_linear_recurrence_are_those_of_its_factor(reads, both_ways, objective):
    result = linear_model(reads, both_ways, objective)
    assert len(result.diagnosis.layers) == 1 + both_ways
    for layer in result.diagnosis.layers:
        decay = layer.by_lag["decay"].q50
        assert half_life(decay) == pytest.approx(np.log(2) / -np.log(FACTOR), rel=1e-4)
        assert reach(decay) == int(np.log(0.01) / np.log(FACTOR)) == 43
        assert layer.last_step_only == (reads == "last")
    assert not [alarm.name for alarm in result.alarms if alarm.name == "exploding"]
    assert "6.6" in str([column._cells for column in result.summary().columns])


def test_the_whole_gradient_is_no_decay_where_the_loss_reads_every_step():
    (layer,) = linear_model("mean", False, "binary").diagnosis.layers
    assert np.isinf(half_life(layer.by_lag["m"].q50))
