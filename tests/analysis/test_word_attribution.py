"""Explaining a text: gradients against finite differences, forecasts against the fact, prefixes run on their own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import normal_like

import rnnjax
from rnnjax.analysis import decision
from rnnjax.analysis import word_attribution as explain

B, T, E, H = 2, 4, 3, 4
LENGTHS = np.array([4, 2])
TOKENS = np.arange(B * T).reshape(B, T)  # no word twice, so a row of the embedding is one x_t
VOCABULARY = B * T + 2
WIDE = {"param_dtype": jnp.float64}


def make_model():
    """Two directions of unlike cells, in double precision where x64 is on."""
    two = rnnjax.Bidirectional(
        rnnjax.RNN(rnnjax.LSTM(H, **WIDE)), rnnjax.RNN(rnnjax.SimpleRNN(H - 1, **WIDE), reverse=True)
    )
    return rnnjax.SequenceClassifier(VOCABULARY, E, rnnjax.Stack([two]), classes=2)


MODEL = make_model()


@pytest.fixture
def params(x64):
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), TOKENS)["params"]
    wide = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float64), shapes)
    return normal_like(wide, 2, 0.7)


@jax.jit
def logits_of(params, tokens, lengths):
    return MODEL.apply({"params": params}, tokens, lengths=lengths)[1][:, 0]


def with_vectors(params, vectors):
    return {**params, "Embed_0": {"embedding": vectors}}


def test_connectivity_is_the_gradient_that_finite_differences_find(params):
    norms, gradients = explain.word_connectivity(MODEL, params, TOKENS, LENGTHS)
    table, step = params["Embed_0"]["embedding"], 1e-5
    slopes = np.zeros((B, T, E))
    for place in np.ndindex(B, T, E):
        entry = (TOKENS[place[:2]], place[2])
        up, down = (logits_of(with_vectors(params, table.at[entry].add(by)), TOKENS, LENGTHS) for by in (step, -step))
        slopes[place] = (up - down)[place[0]] / (2 * step)
    np.testing.assert_allclose(gradients, slopes, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(norms, np.sqrt((slopes**2).sum(axis=-1)), rtol=1e-6)
    past_the_end = np.arange(T) >= LENGTHS[:, None]
    assert np.array_equal(norms == 0, past_the_end)
    assert np.all(gradients[past_the_end] == 0)


def test_a_prediction_becomes_exact_as_the_swapped_words_draw_together(params):
    positions, old = np.array([1, 0]), TOKENS[[0, 1], [1, 0]]
    new = np.array([VOCABULARY - 2, VOCABULARY - 1])
    table = params["Embed_0"]["embedding"]
    errors = []
    for apart in (1e-2, 1e-3, 1e-4):
        near = with_vectors(params, table.at[new].set(table[old] + apart * np.array([[1.0, -2.0, 0.5]])))
        measured, predicted = explain.swap_words(MODEL, near, TOKENS, LENGTHS, positions, new)
        errors.append(np.abs(predicted / measured - 1))
        swapped = TOKENS.copy()
        swapped[[0, 1], positions] = new
        before, after = (logits_of(near, tokens, LENGTHS) for tokens in (TOKENS, swapped))
        np.testing.assert_allclose(measured, after - before, atol=1e-14)
    assert np.all(np.array(errors) > 0)
    np.testing.assert_allclose(np.array(errors)[:-1] / np.array(errors)[1:], 10, rtol=0.2)  # second order is left out


def test_a_word_past_the_end_changes_nothing(params):
    swaps = explain.swap_words(MODEL, params, TOKENS, LENGTHS, np.array([0, 2]), np.array([9, 9]))
    assert swaps.measured[0] != 0
    assert swaps.predicted[0] != 0
    assert (swaps.measured[1], swaps.predicted[1]) == (0, 0)


@pytest.mark.parametrize(("words", "batch", "batch_words"), [(6, 4, 2**16), (7, 128, 14), (5, 128, 1)])
def test_logits_along_are_those_of_each_beginning_alone(words, batch, batch_words, params, monkeypatch):
    monkeypatch.setattr(decision, "BATCH", batch)
    monkeypatch.setattr(decision, "BATCH_STEPS", batch_words)
    text = np.arange(words)[::-1] + 1
    along = explain.logits_along(MODEL, params, text)
    alone = [float(logits_of(params, text[None, :n], np.array([n]))[0]) for n in (2, words)]
    np.testing.assert_allclose(along[np.array([1, words - 1])], alone, rtol=1e-12)
    padded = [float(logits_of(params, text[None], np.array([n]))[0]) for n in range(1, words + 1)]
    np.testing.assert_allclose(along, padded, rtol=1e-12)
    assert len(set(padded)) == words


def test_an_explained_text_takes_out_every_word(params, monkeypatch):
    monkeypatch.setattr(decision, "BATCH", 2)
    text, unknown = np.array([4, 1, 6], np.int32), 1
    explanation = explain.explain_text(MODEL, params, text, unknown)
    lengths, places = np.full(3, 3), np.arange(3)
    swaps = explain.swap_words(MODEL, params, np.tile(text, (3, 1)), lengths, places, np.full(3, unknown))
    np.testing.assert_allclose(explanation.measured, swaps.measured, atol=1e-14)
    np.testing.assert_allclose(explanation.predicted, swaps.predicted, atol=1e-14)
    assert (explanation.measured[1], explanation.predicted[1]) == (0, 0)  # it was unknown before
    np.testing.assert_allclose(
        explanation.connectivity, explain.word_connectivity(MODEL, params, text[None], lengths[:1])[0][0]
    )
    np.testing.assert_allclose(explanation.logits, explain.logits_along(MODEL, params, text))
    assert {type(array) for array in explanation} == {np.ndarray}


def test_equal_models_are_compiled_once(params, monkeypatch):
    traced = []
    apply = nn.Module.apply
    monkeypatch.setattr(nn.Module, "apply", lambda *args, **kwargs: traced.append(1) or apply(*args, **kwargs))
    tokens = TOKENS[:, :3]  # a shape that no other test uses
    explain.word_connectivity(MODEL, params, tokens, np.array([3, 1]))
    once = len(traced)
    explain.word_connectivity(make_model(), jax.tree.map(jnp.negative, params), tokens, np.array([2, 2]))
    assert once > 0
    assert len(traced) == once


@pytest.mark.parametrize("tables", [0, 2])
def test_a_model_without_one_embedding_is_refused(tables):
    class Odd(nn.Module):
        @nn.compact
        def __call__(self, tokens, *, lengths):
            xs = sum((nn.Embed(9, 1)(tokens) for _ in range(tables)), jnp.ones((*tokens.shape, 1)))
            return None, xs.sum(axis=1)

    tokens, lengths = np.zeros((1, 2), np.int32), np.array([2])
    params = Odd().init(jax.random.key(0), tokens, lengths=lengths).get("params", {})
    with pytest.raises(ValueError, match=f"Odd looks words up in {tables} nn.Embed layers"):
        explain.word_connectivity(Odd(), params, tokens, lengths)
