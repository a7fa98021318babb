"""What the dense layer reads: the same as NumPy makes of the valid steps, whatever stands past the end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import assert_close, assert_same, normal_like, slow_unless

import rnnjax
from rnnjax.cells import Params
from rnnjax.nn.pooling import Attention, pooled

pytestmark = pytest.mark.slow

B, T, D, H, VOCABULARY = 3, 6, 2, 4, 9
LENGTHS = np.array([6, 1, 4])
WIDE = {"param_dtype": jnp.float64}
RNG = np.random.default_rng(0)
YS = RNG.normal(size=(B, T, H))
PAST = np.arange(T) >= LENGTHS[:, None]
GARBLED = np.where(PAST[..., None], 1e3 * RNG.normal(size=YS.shape), YS)
TOKENS = RNG.integers(VOCABULARY, size=(B, T))
POOLINGS = ("last", "mean", "max", "attention")


def make_params(model, inputs=TOKENS):
    return normal_like(jax.eval_shape(model.init, jax.random.key(0), inputs), 2, 0.5)


def make_model(recurrent, **options):
    return rnnjax.SequenceClassifier(VOCABULARY, 3, recurrent, classes=2, **options)


def both_ways(cell):
    return rnnjax.Bidirectional(rnnjax.RNN(cell), rnnjax.RNN(cell, reverse=True))


def dense(params, read):
    return read @ np.asarray(params["Dense_0"]["kernel"]) + np.asarray(params["Dense_0"]["bias"])


def attended(params, ys):
    """By hand of (T, F), all valid."""
    outer, inner = params["Dense_0"], params["Dense_1"]
    scores = np.tanh(ys @ np.asarray(inner["kernel"]) + np.asarray(inner["bias"])) @ np.asarray(outer["kernel"])[:, 0]
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ ys


@pytest.mark.parametrize("ys", [YS, GARBLED], ids=["plain", "garbled"])
def test_mean_and_maximum_are_over_the_valid_steps(x64, ys):
    valid = [YS[i, :length] for i, length in enumerate(LENGTHS)]
    lengths = jnp.asarray(LENGTHS)
    assert_close(pooled("mean", None, jnp.asarray(ys), lengths), np.array([one.mean(axis=0) for one in valid]), 1e-14)
    assert_same(pooled("max", None, jnp.asarray(ys), lengths), np.array([one.max(axis=0) for one in valid]))


def test_without_lengths_all_steps_are_valid(x64):
    assert_close(pooled("mean", None, jnp.asarray(YS), None), YS.mean(axis=1), 1e-14)
    assert_same(pooled("max", None, jnp.asarray(YS), None), YS.max(axis=1))


@pytest.mark.parametrize("ys", [YS, GARBLED], ids=["plain", "garbled"])
def test_attention_is_a_mean_over_the_valid_steps(x64, ys):
    valid = jnp.asarray(~PAST)
    variables = make_params_of_attention()
    found = Attention().apply(variables, jnp.asarray(ys), valid)
    expected = [attended(variables["params"], YS[i, :length]) for i, length in enumerate(LENGTHS)]
    assert_close(found, np.array(expected), 1e-12)
    assert_close(found[1], YS[1, 0], 1e-14)  # of one step there is no choice


def make_params_of_attention():
    shapes = jax.eval_shape(Attention().init, jax.random.key(0), jnp.asarray(YS), jnp.asarray(~PAST))
    return normal_like(shapes, 3)


@pytest.mark.parametrize(
    ("directions", "pooling"),
    [slow_unless(pooling in ("mean", "attention", "every"), 2, pooling) for pooling in (*POOLINGS, "every")]
    + [slow_unless(pooling == "last", 1, pooling) for pooling in (*POOLINGS, "every")],
)
def test_the_classifier_reads_what_its_pooling_says(x64, pooling, directions):
    cell = rnnjax.GRU(H, **WIDE)
    model = make_model(rnnjax.RNN(cell) if directions == 1 else both_ways(cell), pooling=pooling)
    variables = jax.tree.map(lambda a: a.astype(jnp.float64), make_params(model))
    params = variables["params"]
    xs = jnp.swapaxes(params["Embed_0"]["embedding"][TOKENS], 0, 1)
    parts = [(params["recurrent"], False)]
    if directions == 2:
        parts = [(params["recurrent"]["forward_rnn"], False), (params["recurrent"]["backward_rnn"], True)]
    unrolled = [
        rnnjax.unroll(cell, Params(**part["cell"]), xs, lengths=LENGTHS, reverse=reverse) for part, reverse in parts
    ]
    last = np.concatenate([final.h for final, _ in unrolled], axis=-1)
    ys = np.swapaxes(np.concatenate([states.h for _, states in unrolled], axis=-1), 0, 1)
    valid = [ys[i, :length] for i, length in enumerate(LENGTHS)]
    read = {
        "last": lambda: last,
        "mean": lambda: np.array([one.mean(axis=0) for one in valid]),
        "max": lambda: np.array([one.max(axis=0) for one in valid]),
        "attention": lambda: np.array([attended(params["attention"], one) for one in valid]),
        "every": lambda: ys,
    }
    outputs = model.apply(variables, TOKENS, lengths=LENGTHS)[1]
    assert outputs.shape == ((B, T, 2) if pooling == "every" else (B, 2))
    assert_close(outputs, dense(params, read[pooling]()), 1e-12)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention", "every"])
def test_padding_does_not_matter_to_any_pooling(x64, pooling):
    model = make_model(both_ways(rnnjax.SimpleRNN(H, **WIDE)), pooling=pooling, layer_norm=True)
    variables = make_params(model)
    classify = jax.jit(lambda tokens: model.apply(variables, tokens, lengths=LENGTHS)[1])
    valid = ~PAST if pooling == "every" else slice(None)
    expected = classify(TOKENS)[valid]
    assert_same(classify(np.where(PAST, (TOKENS + 1) % VOCABULARY, TOKENS))[valid], expected)
    longer = classify(np.pad(TOKENS, [(0, 0), (0, 2)]))
    assert_close((longer[:, :T] if pooling == "every" else longer)[valid], expected, 1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_are_finite_where_sequences_have_one_step(pooling):
    model = make_model(both_ways(rnnjax.SimpleRNN(H)), pooling=pooling, layer_norm=True)
    variables = make_params(model)

    @jax.jit
    def gradient(lengths):
        return jax.grad(lambda v: jnp.sum(model.apply(v, TOKENS, lengths=lengths)[1] ** 2))(variables)

    for lengths in (np.ones(B, np.int32), LENGTHS):
        leaves = jax.tree.leaves(gradient(lengths))
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        assert any(np.any(leaf != 0) for leaf in leaves)


def test_ids_without_vectors_are_one_hot():
    cell = rnnjax.LSTM(H)
    model = rnnjax.SequenceClassifier(VOCABULARY, 0, rnnjax.RNN(cell))
    numbers = rnnjax.SequenceClassifier(0, 0, rnnjax.RNN(cell))
    variables = make_params(model)
    assert set(variables["params"]) == {"recurrent", "Dense_0"}
    assert variables["params"]["recurrent"]["cell"]["w_x"].shape == (VOCABULARY, 4 * H)
    one_hot = np.eye(VOCABULARY, dtype=np.float32)[TOKENS]
    expected = numbers.apply(variables, one_hot, lengths=LENGTHS)
    assert_same(model.apply(variables, TOKENS, lengths=LENGTHS), expected)


def test_numbers_go_to_the_recurrent_part_as_they_are(x64):
    cell = rnnjax.LSTM(H, **WIDE)
    model = rnnjax.SequenceClassifier(0, 0, rnnjax.RNN(cell), classes=3)
    xs = RNG.normal(size=(B, T, D))
    variables = make_params(model, xs)
    params = variables["params"]
    last, _ = rnnjax.unroll(cell, Params(**params["recurrent"]["cell"]), jnp.swapaxes(xs, 0, 1), lengths=LENGTHS)
    assert_close(model.apply(variables, xs, lengths=LENGTHS), (last, dense(params, np.asarray(last.h))), 1e-12)


def test_layer_norm_stands_between_layers_and_before_the_dense_layer(x64):
    cell = rnnjax.SimpleRNN(H, **WIDE)
    stack = rnnjax.Stack([rnnjax.RNN(cell), rnnjax.RNN(cell)], layer_norm=True)
    model = rnnjax.SequenceClassifier(0, 0, stack, layer_norm=True)
    xs = RNG.normal(size=(B, T, D))
    variables = jax.tree.map(lambda a: a.astype(jnp.float64), make_params(model, xs))
    params = variables["params"]

    def normed(given, scale):
        mean, variance = given.mean(axis=-1, keepdims=True), given.var(axis=-1, keepdims=True)
        return (given - mean) / np.sqrt(variance + 1e-6) * np.asarray(scale["scale"]) + np.asarray(scale["bias"])

    def layer(given, name):
        final, states = rnnjax.unroll(cell, Params(**params["recurrent"][name]["cell"]), jnp.swapaxes(given, 0, 1))
        return np.asarray(final.h), np.swapaxes(np.asarray(states.h), 0, 1)

    between = normed(layer(xs, "layers_0")[1], params["recurrent"]["LayerNorm_0"])
    read = normed(layer(between, "layers_1")[0], params["LayerNorm_0"])
    assert_close(model.apply(variables, xs)[1], dense(params, read), 1e-10)


@pytest.mark.parametrize("pooling", ["attention", "every"])
def test_dropout_and_layer_norm_of_a_part_of_a_batch_are_those_of_its_rows(pooling):
    stack = rnnjax.Stack([rnnjax.RNN(rnnjax.SimpleRNN(H)), both_ways(rnnjax.SimpleRNN(H))], 0.4, True)
    model = make_model(stack, pooling=pooling, layer_norm=True, dropout=0.4)
    tokens, lengths = np.random.default_rng(1).integers(VOCABULARY, size=(8, T)), np.array([6, 1, 4, 2, 3, 6, 5, 6])
    variables = make_params(model, tokens)

    @jax.jit
    def logits(tokens, lengths, rows=None):
        options = {"lengths": lengths, "train": True, "rows": rows, "rngs": {"dropout": jax.random.key(1)}}
        return model.apply(variables, tokens, **options)[1]

    whole = logits(tokens, lengths)
    first, second = (slice(0, 4), slice(4, 8))
    halves = [logits(tokens[half], lengths[half], np.arange(8)[half]) for half in (first, second)]
    assert_close(np.concatenate(halves), np.asarray(whole), 1e-6)
    elsewhere = logits(tokens[second], lengths[second])
    assert np.any(np.abs(elsewhere - halves[1]) > 1e-3)  # other rows, other masks


def test_dropout_before_the_dense_layer_acts_in_training_only_and_keeps_the_mean():
    rate, size = 0.2, 400
    model = rnnjax.SequenceClassifier(0, 0, rnnjax.RNN(rnnjax.SimpleRNN(size)), dropout=rate)
    zeros = {"w_x": np.zeros((1, size)), "w_h": np.zeros((size, size)), "b": np.full(size, np.arctanh(0.5))}
    dense = {"kernel": np.full((size, 1), 2 / size), "bias": np.zeros(1)}  # the mean of states of 0.5, doubled
    params = {"recurrent": {"cell": zeros}, "Dense_0": dense}
    variables = {"params": jax.tree.map(lambda a: a.astype(np.float32), params)}
    xs = np.zeros((20, 2, 1), np.float32)
    assert_close(model.apply(variables, xs)[1], np.ones((20, 1), np.float32), 1e-5)
    logits = np.asarray(model.apply(variables, xs, train=True, rngs={"dropout": jax.random.key(5)})[1])
    kept = logits * (1 - rate) * size
    np.testing.assert_allclose(kept, np.round(kept), atol=0.01)
    assert np.mean(logits) == pytest.approx(1, abs=5 * np.sqrt(rate / (1 - rate) / (20 * size)))
    assert len(np.unique(logits.round(4))) > 5
