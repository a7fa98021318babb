"""The classifier: what it computes, what padding may not change, its taps and its dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import assert_close, assert_same, normal_like

import rnnjax
from rnnjax.cells import Params
from rnnjax.nn.classifier import drop_words
from rnnjax.nn.recurrent import BidirectionalState

B, T, H, VOCABULARY = 3, 6, 4, 9
LENGTHS = np.array([6, 2, 4])
WIDE = {"param_dtype": jnp.float64}
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(VOCABULARY, size=(B, T))


def make_params(model):
    shapes = jax.eval_shape(model.init, jax.random.key(0), TOKENS)
    return normal_like(shapes, 2, 0.5)


def test_the_classifier_is_embedding_then_unroll_then_dense(x64):
    cell = rnnjax.GRU(H, **WIDE)
    model = rnnjax.SequenceClassifier(VOCABULARY, 3, rnnjax.RNN(cell), classes=2)
    variables = make_params(model)
    params = variables["params"]
    xs = params["Embed_0"]["embedding"][TOKENS]
    last, _ = rnnjax.unroll(cell, Params(**params["recurrent"]["cell"]), jnp.swapaxes(xs, 0, 1), lengths=LENGTHS)
    logits = last.h @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]
    assert_close(model.apply(variables, TOKENS, lengths=LENGTHS), (last, logits), 1e-14)


@pytest.fixture(scope="module")
def deep():
    """LSTM below two directions of unlike cells, in double precision wherever x64 is on."""
    two = rnnjax.Bidirectional(
        rnnjax.RNN(rnnjax.GRU(H, **WIDE)), rnnjax.RNN(rnnjax.SimpleRNN(H - 1, **WIDE), reverse=True)
    )
    layers = [rnnjax.RNN(rnnjax.LSTM(H, **WIDE)), two]
    return rnnjax.SequenceClassifier(VOCABULARY, 3, rnnjax.Stack(layers, dropout=0.5))


def test_padding_does_not_matter(x64, deep):
    variables = make_params(deep)
    classify = jax.jit(lambda tokens: deep.apply(variables, tokens, lengths=LENGTHS))
    past_the_end = np.arange(T) >= LENGTHS[:, None]
    final, logits = classify(TOKENS)
    assert_same(classify(np.where(past_the_end, (TOKENS + 1) % VOCABULARY, TOKENS)), (final, logits))
    assert_close(classify(np.pad(TOKENS, [(0, 0), (0, 2)]))[1], logits, 1e-14)
    assert np.all(classify(np.where(past_the_end, TOKENS, (TOKENS + 1) % VOCABULARY))[1] != logits)


def test_the_gradient_of_the_taps_is_that_of_the_states_in_every_layer(x64, deep):
    variables, taps = make_params(deep), deep.zero_taps(B, T)

    @jax.jit
    def loss(taps):
        return jnp.sum(deep.apply(variables, TOKENS, lengths=LENGTHS, taps=taps)[1] ** 2)

    gradient = jax.grad(loss)(taps)
    lstm, (gru, simple) = gradient
    assert isinstance(gradient[1], BidirectionalState)
    assert [(type(g).__name__, g.h.shape) for g in (lstm, gru, simple)] == [
        ("LSTMState", (B, T, H)),
        ("GRUState", (B, T, H)),
        ("SimpleRNNState", (B, T, H - 1)),
    ]
    leaves, treedef = jax.tree.flatten(taps)
    for i, g in enumerate(jax.tree.leaves(gradient)):
        assert np.all(g[np.arange(T) >= LENGTHS[:, None]] == 0)
        for b, t, unit in ((0, 1, 2), (2, 3, 0)):

            def nudged(by, at=(i, b, t, unit)):
                moved = leaves[at[0]].at[at[1:]].add(by)
                return treedef.unflatten([*leaves[: at[0]], moved, *leaves[at[0] + 1 :]])

            slope = (loss(nudged(1e-5)) - loss(nudged(-1e-5))) / 2e-5
            assert g[b, t, unit] != 0
            np.testing.assert_allclose(g[b, t, unit], slope, rtol=1e-6)


def test_word_vectors_begin_at_the_scale_asked_for():
    model = rnnjax.SequenceClassifier(200, 100, rnnjax.RNN(rnnjax.SimpleRNN(1)), embedding_scale=0.5)
    embedding = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 1), np.int32))["params"]["Embed_0"]["embedding"]
    assert abs(np.std(embedding) / 0.5 - 1) < 0.03  # 20,000 numbers: six standard errors


@pytest.mark.parametrize("where", ["in the cell", "between layers"])
def test_dropout_acts_in_training_only_and_follows_its_key(where):
    rates = {"input_dropout": 0.5, "recurrent_dropout": 0.5} if where == "in the cell" else {}
    layers = [rnnjax.RNN(rnnjax.SimpleRNN(H, **rates)), rnnjax.RNN(rnnjax.SimpleRNN(H))]
    module = rnnjax.Stack(layers, dropout=0.5 if where == "between layers" else 0.0)
    undropped = rnnjax.Stack([rnnjax.RNN(rnnjax.SimpleRNN(H)), rnnjax.RNN(rnnjax.SimpleRNN(H))])
    xs = RNG.normal(size=(B, T, 3)).astype(np.float32)
    variables = normal_like(jax.eval_shape(module.init, jax.random.key(0), xs), 2, 0.5)

    @jax.jit
    def run(key):
        training = module.apply(variables, xs, train=True, rngs={"dropout": key})[1]
        return training, module.apply(variables, xs)[1], undropped.apply(variables, xs)[1]

    first, calm, expected = run(jax.random.key(1))
    assert_same(calm, expected)
    assert np.any(first != calm)
    assert_same(run(jax.random.key(1))[0], first)
    assert np.any(run(jax.random.key(2))[0] != first)


def test_dropout_between_layers_silences_its_share_of_every_step_and_keeps_the_mean():
    """A lower layer that shows 1 all the time, an upper one that adds up what reaches it."""
    size, rate = 50, 0.2
    cell = rnnjax.SimpleRNN(size, activation="relu")
    module = rnnjax.Stack([rnnjax.RNN(cell), rnnjax.RNN(cell)], dropout=rate)
    xs, zeros = np.zeros((20, T, 1), np.float32), np.zeros((size, size), np.float32)
    lower = {"w_x": np.zeros((1, size), np.float32), "w_h": zeros, "b": np.ones(size, np.float32)}
    upper = {"w_x": np.eye(size, dtype=np.float32), "w_h": zeros, "b": np.zeros(size, np.float32)}
    variables = {"params": {"layers_0": {"cell": lower}, "layers_1": {"cell": upper}}}
    ys = module.apply(variables, xs, train=True, rngs={"dropout": jax.random.key(5)})[1]
    assert set(np.unique(ys)) == {np.float32(0), np.float32(1 / (1 - rate))}
    np.testing.assert_allclose(np.mean(ys == 0), rate, atol=4 * np.sqrt(rate * (1 - rate) / ys.size))
    assert len(np.unique(ys.reshape(20 * T, size), axis=0)) == 20 * T  # each example and step has a draw of its own


def test_the_halves_of_a_batch_drop_what_the_whole_does():
    cell = rnnjax.SimpleRNN(H, input_dropout=0.5, recurrent_dropout=0.5)
    model = rnnjax.SequenceClassifier(VOCABULARY, 3, rnnjax.RNN(cell))
    variables, tokens = make_params(model), np.random.default_rng(1).integers(VOCABULARY, size=(8, T))

    @jax.jit
    def logits(tokens, rows=None):
        return model.apply(variables, tokens, train=True, rows=rows, rngs={"dropout": jax.random.key(1)})[1]

    halves = logits(tokens[:4], np.arange(4)), logits(tokens[4:], np.arange(4, 8))
    assert_close(np.concatenate(halves), np.asarray(logits(tokens)), 1e-6)
    assert np.all(np.abs(logits(tokens[4:]) - halves[1]) > 1e-3)  # other rows, other masks


def test_a_stack_drops_nothing_before_its_first_layer_or_after_its_last():
    module = rnnjax.Stack([rnnjax.RNN(rnnjax.SimpleRNN(H))], dropout=0.5)
    xs = RNG.normal(size=(B, T, 3)).astype(np.float32)
    variables = normal_like(jax.eval_shape(module.init, jax.random.key(0), xs), 2, 0.5)
    assert_same(module.apply(variables, xs, train=True), module.apply(variables, xs))


def test_a_mask_is_held_over_the_sequence_and_differs_between_examples():
    # With W_h = 1 every unit stands alone, so a silenced component shows as a gradient of zero at every step.
    cell = rnnjax.SimpleRNN(8, recurrent_init=rnnjax.Identity(), input_dropout=0.5, recurrent_dropout=0.5)
    module = rnnjax.RNN(cell)
    xs = 0.1 * RNG.normal(size=(B, T, 8)).astype(np.float32)
    variables = jax.jit(module.init)(jax.random.key(0), xs)

    def last_output(xs, taps):
        rngs = {"dropout": jax.random.key(5)}
        return jnp.sum(module.apply(variables, xs, taps=taps, train=True, rngs=rngs)[0].h)

    of_xs, of_taps = jax.jit(jax.grad(last_output, (0, 1)))(xs, module.zero_taps(B, T))
    for kept in (of_xs != 0, of_taps.h[:, :-1] != 0):
        assert np.all(kept == kept[:, :1])
        assert 0.2 < np.mean(kept[:, 0]) < 0.8
        assert np.any(kept[0, 0] != kept[1, 0])


def test_a_silenced_word_is_silent_wherever_it_stands_in_its_example():
    words, rate = np.random.default_rng(1).integers(100, size=(20, 300)), 0.2
    xs = np.ones((*words.shape, 2), np.float32)
    dropped = np.asarray(drop_words(jax.random.key(3), rate, words, xs))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / (1 - rate))}
    silent = {}
    for example, word, vector in zip(np.repeat(np.arange(20), 300), words.ravel(), dropped.reshape(-1, 2), strict=True):
        silent.setdefault((example, word), set()).update((vector == 0).tolist())
    assert all(len(found) == 1 for found in silent.values())
    assert abs(np.mean([True in found for found in silent.values()]) - rate) < 4 * np.sqrt(rate * (1 - rate) / 1900)
    assert {one for (_, word), (one,) in silent.items() if word == 7} == {True, False}  # each example draws anew
    half = drop_words(jax.random.key(3), rate, words[10:], xs[10:], np.arange(10, 20))
    assert_same(half, dropped[10:])


def test_word_dropout_acts_in_training_only():
    def classifier(vocabulary, embedding, rate):
        return rnnjax.SequenceClassifier(vocabulary, embedding, rnnjax.RNN(rnnjax.GRU(H)), word_dropout=rate)

    model = classifier(VOCABULARY, 3, 0.5)
    variables = make_params(model)
    calm = model.apply(variables, TOKENS)
    assert_same(calm, classifier(VOCABULARY, 3, 0.0).apply(variables, TOKENS))
    trained = model.apply(variables, TOKENS, train=True, rngs={"dropout": jax.random.key(1)})
    assert np.any(trained[1] != calm[1])
    with pytest.raises(ValueError, match="but it needs a vocabulary"):
        classifier(0, 0, 0.1)


@pytest.mark.parametrize("nest", [lambda rnn: rnn, lambda rnn: rnnjax.Stack((rnn, rnn))])
def test_a_time_major_layer_inside_is_refused(nest):
    recurrent = nest(rnnjax.RNN(rnnjax.GRU(3), time_major=True))
    with pytest.raises(ValueError, match="batch-major"):
        rnnjax.SequenceClassifier(10, 4, recurrent)
