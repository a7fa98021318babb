import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.diagnostics import half_life, linearise, loss_decay, reach
from tests.sequences import WIDE, normal_like, slow_unless

pytestmark = pytest.mark.slow

T, B, D, H = 12, 4, 3, 5
LENGTHS = np.array([12, 9, 3, 0])
FACTOR = 0.9
READS = ("last", "mean", "max", "attention", "every")


def memory_of(cell, state):
    return state[-1] if cell.has_separate_memory else state[0]


def measured(cell, params, xs, ct_states, lengths=None, **options):
    """The linearised steps, and norms and existence by ``loss_decay``."""

    @jax.jit
    def run(params, xs, ct_states):
        steps = linearise(cell, params, xs, lengths=None if lengths is None else jnp.array(lengths))
        return steps, *loss_decay(cell, params, steps, ct_states, **options)

    return jax.tree.map(np.asarray, run(params, xs, ct_states))


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


def norms_from_one_step(cell, params, xs, read, b, t):
    """‖∂⟨λ_t, state_t⟩/∂m_s‖ of example b for s = t, ..., 0, by autodiff of the plain steps; m_s feeds output s too."""

    @jax.jit
    @jax.grad
    def gradients(changes):
        state = cell.initial_state(())
        for x, change in zip(xs[: t + 1, b], changes, strict=True):
            before, (state, _) = state, cell.step(params, state, x)
            z_x, z_h = cell.project(x, params.w_x, params.b), cell.project(before[0], params.w_h, params.b_h)
            memory = memory_of(cell, state) + change
            shown = cell.readout(z_x, z_h, memory)
            state = cell.make_state(shown, memory) if cell.has_separate_memory else cell.State(memory)
        return sum(jnp.vdot(a[t, b], value) for a, value in zip(read, state, strict=True))

    return np.linalg.norm(gradients(jnp.zeros((t + 1, cell.features))), axis=-1)[::-1]


@pytest.mark.parametrize("cell", [rnnjax.LSTM, *(slow_unless(False, cell) for cell in (rnnjax.SimpleRNN, rnnjax.GRU))])
def test_norms_are_those_of_autodiff_from_each_step(x64, cell):
    cell = cell(H, **WIDE)
    params = cell.init(jax.random.key(0), D)
    xs = jax.random.normal(jax.random.key(1), (T, B, D))
    ct_states = normal_like(cell.initial_state((T, B)), 3)
    read = read_by_hand(cell, ct_states)
    steps, norms, exists = measured(cell, params, xs, ct_states, lengths=LENGTHS, sources=3)
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
            expected = norms_from_one_step(cell, params, xs, read, b, t)
            np.testing.assert_allclose(norms[: t + 1, number, b], expected / expected[0], rtol=1e-10)


def test_sources_split_what_the_loss_reads_into_equal_parts():
    cell = rnnjax.SimpleRNN(1)
    params = cell.init(jax.random.key(0), 1)
    read = jnp.zeros((10, 1, 1)).at[jnp.array([2, 5, 7])].set(jnp.array([6.0, 1.0, 1.0])[:, None, None])
    _, _, exists = measured(cell, params, jnp.ones((10, 1, 1)), cell.State(read), sources=4)
    assert list(exists.sum(axis=0)[:, 0] - 1) == [2, 2, 2, 7]


def test_a_loss_that_does_not_read_the_layer_has_no_decay():
    cell = rnnjax.GRU(H)
    params = cell.init(jax.random.key(0), D)
    _, norms, exists = measured(cell, params, jnp.ones((T, B, D)), cell.State(jnp.zeros((T, B, H))))
    assert not exists.any()
    assert not norms.any()


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


QUICK = [("last", False, "number"), ("mean", False, "binary"), ("every", True, "classes")]
OBJECTIVES = ("binary", "classes", "number")
# every pair of two choices, in every second of all thirty cases
PAIRS = [
    (reads, (i + j) % 2 == 1, objective) for i, reads in enumerate(READS) for j, objective in enumerate(OBJECTIVES)
]
OTHERS = [case for case in PAIRS if case not in QUICK]


@pytest.mark.parametrize(
    ("reads", "both_ways", "objective"), [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS)]
)
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
