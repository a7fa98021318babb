"""The reach of models that are known to read certain steps, in every kind of task."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.analysis.input_reach import input_reach
from rnnjax.data.dataset import Examples, Objective

T = 30
DRAW = np.random.default_rng(0)
BITS = DRAW.integers(2, size=(400, T)).astype(np.int32)
FULL = np.full(400, T, np.int32)
RAGGED = DRAW.integers(5, T, size=400, endpoint=True).astype(np.int32)


def lags_of(inputs, lengths):
    return lengths[:, None] - 1 - jnp.arange(inputs.shape[1])[None]


def window_sum(params, inputs, lengths):
    """The sum of the signs at the lags from params[0] to params[1] - 1, (B, 1): large logits."""
    lags = lags_of(inputs, lengths)
    read = (lags >= params[0]) & (lags < params[1])
    return 50.0 * jnp.where(read, 2 * inputs - 1, 0).sum(axis=1, keepdims=True).astype(jnp.float32)


def labels_of(params, lengths):
    return (np.asarray(window_sum(np.array(params), BITS, lengths))[:, 0] > 0).astype(np.int32)


@pytest.mark.parametrize(
    ("window", "lengths"),
    [
        *((window, FULL) for window in ((0, 1), (0, 4), (0, 13), (0, 30), (3, 4), (7, 12))),
        *((window, RAGGED) for window in ((0, 1), (0, 4), (3, 4))),  # the shortest example has five steps
    ],
)
def test_a_model_that_reads_a_window_has_its_far_end_as_reach(window, lengths):
    examples = Examples(BITS, lengths, labels_of(window, lengths))
    result = input_reach(window_sum, np.array(window), Objective.BINARY, examples)
    assert result.reach == window[1]
    assert result.furthest == window[1] - 1
    assert result.score[-1] == 1.0
    assert np.array_equal(np.flatnonzero(result.moves > 1e-6), np.arange(*window))
    before = result.kept <= window[0]
    assert (result.left.share[before] < 0.2).all()  # chance, which is below the best constant answer
    assert (result.left.share[result.kept >= window[1]] == 1.0).all()
    assert result.examples == 399  # all but the one that is the last one's partner


def first_step(params, inputs, lengths):
    return jnp.where(inputs[:, :1] == 1, 9.0, -9.0)


@pytest.mark.parametrize("lengths", [FULL, RAGGED], ids=["equal", "ragged"])
def test_a_model_that_reads_the_first_step_alone(lengths):
    result = input_reach(first_step, (), Objective.BINARY, Examples(BITS, lengths, BITS[:, 0]))
    if lengths is FULL:
        assert (result.reach, result.furthest) == (T, T - 1)
        assert (np.abs(result.left.share[:-1]) < 0.2).all()
        assert np.array_equal(np.flatnonzero(result.moves), [T - 1])
    else:
        assert result.furthest == max(RAGGED) - 1
        # with k inputs left the examples of at most k steps are intact, half of the others right by chance
        own = np.sort(RAGGED)[:399]
        expected = [(own <= k).mean() for k in result.kept]
        assert np.allclose(result.left.share, expected, atol=0.12)
        assert result.reach == pytest.approx(np.quantile(own, 0.95), abs=2)


def test_a_model_at_chance_has_no_reach():
    labels = np.random.default_rng(1).integers(2, size=400).astype(np.int32)
    result = input_reach(window_sum, np.array([0, 5]), Objective.BINARY, Examples(BITS, FULL, labels))
    assert result.left.at_chance
    assert result.reach is result.reach_bounds is None
    assert result.furthest == 4  # what moves the answer is known all the same


def test_a_model_that_reads_nothing():
    def constant(params, inputs, lengths):
        return jnp.ones((len(inputs), 1))

    result = input_reach(constant, (), Objective.BINARY, Examples(BITS, FULL, BITS[:, 0]))
    assert result.reach is result.furthest is None
    assert (result.moves == 0).all()


def add(params, inputs, lengths):
    """The sum of the marked numbers: the adding problem, solved."""
    return (inputs[..., 0] * inputs[..., 1]).sum(axis=1, keepdims=True)


def test_adding_numbers_keeps_the_label_of_the_swapped_example():
    draw = np.random.default_rng(2)
    marks = np.zeros((300, T), np.float32)
    marks[np.arange(300), 20] = 1  # lag 9
    inputs = np.stack([draw.random((300, T), np.float32), marks], axis=-1)
    labels = inputs[:, 20, 0]
    result = input_reach(add, (), Objective.NUMBER, Examples(inputs, np.full(300, T), labels))
    assert (result.reach, result.furthest) == (10, 9)
    assert result.score[-1] < 1e-12
    assert result.constant == pytest.approx(1 / 12, rel=0.2)
    assert result.score[0] == pytest.approx(1 / 6, rel=0.2)  # another's number: twice the variance
    assert result.left.share[0] == pytest.approx(-1, abs=0.3)
    assert result.moves[9] == pytest.approx(1 / 3, rel=0.2)  # E|u - v|
    assert result.reach_bounds == (10, 10)


def echo(params, inputs, lengths):
    """Symbols (B, T, 5): at every step those of five steps before."""
    return 20.0 * jax.nn.one_hot(jnp.roll(inputs, 5, axis=1), 5)


@pytest.mark.parametrize("lengths", [FULL, np.maximum(RAGGED, 6)], ids=["equal", "ragged"])
def test_symbols_are_measured_at_the_last_answer(lengths):
    inputs = np.random.default_rng(3).integers(5, size=(400, T)).astype(np.int32)
    labels = np.roll(inputs, 5, axis=1)
    result = input_reach(echo, (), Objective.SYMBOLS, Examples(inputs, lengths, labels))
    assert (result.reach, result.furthest) == (6, 5)
    assert result.score[-1] < 1e-6
    assert result.constant == pytest.approx(np.log(5), rel=0.02)
    assert np.array_equal(np.flatnonzero(result.moves > 1e-6), [5])


def last_signs(params, inputs, lengths):
    return jnp.sign(inputs + jnp.roll(inputs, 2, axis=1))


def test_signals_are_measured_at_the_last_answer():
    inputs = np.random.default_rng(4).normal(size=(300, T, 3)).astype(np.float32)
    labels = np.asarray(last_signs((), inputs, None))
    result = input_reach(last_signs, (), Objective.SIGNALS, Examples(inputs, np.full(300, T), labels))
    assert (result.reach, result.furthest) == (3, 2)
    assert result.constant == pytest.approx(1.0, rel=0.05)


def test_a_trained_kind_of_model_in_batches_and_with_padding():
    """A classifier of rnnjax: the same as a loop over single examples, one exchange at a time."""
    model = rnnjax.SequenceClassifier(2, 3, rnnjax.RNN(rnnjax.LSTM(4)), classes=3, embedding_scale=1.0)
    params = model.init(jax.random.key(0), BITS[:1])["params"]
    draw = np.random.default_rng(5)
    labels = draw.integers(3, size=400).astype(np.int32)

    def apply(params, inputs, lengths):
        return model.apply({"params": params}, inputs, lengths=lengths)[1]

    seen = []
    result = input_reach(
        apply, params, Objective.CLASSES, Examples(BITS, RAGGED, labels),
        count=150, also=(7, 99), progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert result.examples == 150
    assert {0, 1, 7, max(RAGGED)} <= {*result.kept.tolist()}
    assert result.score_with(7) == result.score[np.flatnonzero(result.kept == 7)[0]]
    chosen = rnnjax.diagnostics.swap_partners(BITS, RAGGED, 150)
    one, wanted = jax.jit(apply), []
    for row, other in zip(chosen.rows, chosen.others, strict=True):
        given = np.where(np.arange(BITS.shape[1]) < RAGGED[row] - 7, other, BITS[row])
        wanted.append(np.argmax(one(params, given[None], RAGGED[row : row + 1])) == labels[row])
    assert result.score_with(7) == pytest.approx(np.mean(wanted), abs=1e-6)
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert len({*totals}) == 1
    assert done[-1] <= totals[0]


def test_one_example_is_not_enough():
    with pytest.raises(ValueError, match="at least two examples"):
        input_reach(first_step, (), Objective.BINARY, Examples(BITS[:1], FULL[:1], BITS[:1, 0]))
