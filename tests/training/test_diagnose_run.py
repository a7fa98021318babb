"""The diagnosis uses the first validation examples, and its words are those of the data."""

import json
import threading

import jax
import msgspec
import numpy as np
import pytest
from sequences import assert_same

from rnnjax.analysis.layer_diagnosis import layer_diagnosis
from rnnjax.analysis.nonfinite_outputs import show_nonfinite
from rnnjax.analysis.word_attribution import word_connectivity
from rnnjax.data.dataset import UNKNOWN
from rnnjax.runs.codec import encode
from rnnjax.training import diagnose_run
from rnnjax.training.diagnose_run import (
    _nearest_known,
    diagnose_member,
    diagnose_trained,
    diagnose_words,
    diagnosis_batch,
)
from rnnjax.training.step.state import Batch
from rnnjax.training.step.train_step import make_loss


@pytest.fixture(scope="module")
def params(tiny):
    (init,) = tiny.programs.init.values()
    return jax.tree.map(lambda a: 2 * a, init(jax.random.key(3)).params)


@pytest.fixture(scope="module")
def words(tiny, params):
    """(texts, swaps)."""
    return diagnose_words(tiny.model, tiny.dataset, params)


def logits(tiny, params, tokens, lengths):
    return np.asarray(jax.jit(tiny.model.apply)({"params": params}, tokens, lengths=lengths)[1][:, 0])


def test_the_first_validation_examples_are_diagnosed(tiny, params):
    """With all their words."""
    diagnosis = diagnose_member(tiny.programs, tiny.dataset, params, step=7)
    split = tiny.dataset.validation
    batch = Batch(split.inputs[:32], split.lengths[:32], split.labels[:32], np.ones(32, np.float32))
    assert (diagnosis.step, diagnosis.examples) == (7, 32)
    losses, (layer,) = show_nonfinite(tiny.programs.measure(params, batch))
    expected = jax.jit(make_loss(tiny.model))(params, batch)
    assert diagnosis.loss == pytest.approx(float(expected.mean()), rel=1e-4)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_array_equal(layer.count, [(split.lengths[:32] > lag).sum() for lag in range(len(layer.count))])
    assert json.dumps(encode(diagnosis.layers)) == json.dumps(encode([layer_diagnosis(layer)]))
    assert [layer.name for layer in diagnosis.layers] == ["recurrent"]


@pytest.mark.parametrize("explained", [True, False])
def test_a_trained_member_has_the_diagnosis_of_its_layers_and_of_its_words(tiny, params, words, explained):
    dataset = tiny.dataset._replace(explained=explained)
    diagnosis = diagnose_trained(tiny.programs, tiny.model, dataset, params, step=7)
    layers = diagnose_member(tiny.programs, dataset, params, step=7)
    texts, swaps = words if explained else (layers.texts, layers.swaps)
    expected = msgspec.structs.replace(layers, texts=texts, swaps=swaps)
    assert json.dumps(encode(diagnosis)) == json.dumps(encode(expected))


def test_ctrl_c_does_not_wait_for_the_words(tiny, params, monkeypatch):
    released, waited = threading.Event(), []

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(diagnose_run, "diagnose_words", lambda *_: waited.append(released.wait(60)))
    monkeypatch.setattr(diagnose_run, "diagnose_member", interrupted)
    with pytest.raises(KeyboardInterrupt):
        diagnose_trained(tiny.programs, tiny.model, tiny.dataset, params, step=7)
    assert not waited
    released.set()


def test_a_small_validation_split_is_diagnosed_as_a_whole(tiny):
    split = tiny.dataset.validation
    few = split._replace(**{name: getattr(split, name)[:5] for name in ("inputs", "lengths", "labels", "distances")})
    batch = diagnosis_batch(tiny.dataset._replace(validation=few))
    assert_same(batch, Batch(split.inputs[:5], split.lengths[:5], split.labels[:5], np.ones(5, np.float32)))
    whole = diagnosis_batch(tiny.dataset)
    assert whole.inputs.shape == (32, split.inputs.shape[1])
    assert_same(whole.labels, split.labels[:32])


def test_the_texts_are_examples_of_the_data_word_by_word(tiny, params, words):
    split, vocabulary = tiny.dataset.validation, tiny.dataset.vocabulary
    known = {
        (" ".join(vocabulary[word] for word in tokens[:n]), int(label)): row
        for row, (tokens, n, label) in enumerate(zip(split.inputs, split.lengths, split.labels, strict=True))
    }
    texts, _ = words
    assert 1 <= len(texts) <= 4
    sizes = [len(text.words) for text in texts]
    assert sizes == sorted(sizes)
    for text in texts:
        row = known[" ".join(text.words), text.label]
        tokens, length = split.inputs[row : row + 1], split.lengths[row : row + 1]
        assert len(text.logits) == len(text.connectivity) == length[0]
        assert text.logits[-1] == pytest.approx(logits(tiny, params, tokens, length)[0], rel=1e-3, abs=1e-5)
        expected = word_connectivity(tiny.model, params, tokens, length).norms[0, : length[0]]
        np.testing.assert_allclose(text.connectivity, expected, rtol=1e-3)
    json.dumps(encode(words))


def measured(tiny, params, rows, positions, new):
    """The change of the logit, by running the texts before and after."""
    split = tiny.dataset.validation
    tokens, lengths = split.inputs[rows], split.lengths[rows]
    changed = tokens.copy()
    changed[np.arange(len(rows)), positions] = new
    return logits(tiny, params, changed, lengths) - logits(tiny, params, tokens, lengths)


def test_the_planted_word_is_swapped_for_its_opposite_by_ascending_lag(tiny, params, words):
    split, (_, swaps) = tiny.dataset.validation, words
    order = np.argsort(split.distances, kind="stable")
    rows = order[np.linspace(0, len(order) - 1, 32).round().astype(int)]
    assert swaps.what == "the opinion word for one of the other polarity"
    assert swaps.lag.tolist() == split.distances[rows].tolist() == sorted(swaps.lag)
    assert (swaps.lag[0], swaps.lag[-1]) == (1, 6)
    positions = split.lengths[rows] - 1 - split.distances[rows]
    old = split.inputs[rows, positions]
    assert set(old.tolist()) <= set(tiny.dataset.opposites)  # the lag is that of the planted word
    new = [tiny.dataset.opposites[word] for word in old.tolist()]
    expected = measured(tiny, params, rows, positions, new)
    np.testing.assert_allclose(swaps.measured, expected, rtol=1e-3, atol=1e-5)
    gradients = word_connectivity(tiny.model, params, split.inputs[rows], split.lengths[rows]).gradients
    vectors = np.asarray(params["Embed_0"]["embedding"])
    predicted = np.sum(np.asarray(gradients)[np.arange(32), positions] * (vectors[new] - vectors[old]), axis=-1)
    np.testing.assert_allclose(swaps.predicted, predicted, rtol=1e-3, atol=1e-5)


def test_opposites_have_the_opposite_label(tiny):
    """A planted word occurs in texts of one label only, and its opposite in texts of the other."""
    split, opposites = tiny.dataset.train, tiny.dataset.opposites
    planted = split.inputs[np.arange(len(split.inputs)), split.lengths - 1 - split.distances]
    label = dict(zip(planted.tolist(), split.labels.tolist(), strict=True))
    assert all(label[word] == y for word, y in zip(planted.tolist(), split.labels.tolist(), strict=True))
    both = [word for word in label if opposites[word] in label]
    assert both
    assert all(label[opposites[word]] != label[word] for word in both)


def test_without_planted_words_a_word_at_a_growing_lag_becomes_the_unknown_one(tiny, params):
    plain = tiny.dataset._replace(opposites=None, validation=tiny.dataset.validation._replace(distances=None))
    _, swaps = diagnose_words(tiny.model, plain, params)
    split = plain.validation
    rows = np.argsort(split.lengths[:32], kind="stable")
    lags = swaps.lag
    assert swaps.what == "a word for the unknown word"
    assert np.all((lags >= 0) & (lags < split.lengths[rows]))
    assert lags.max() >= split.lengths.max() - 2
    expected = measured(tiny, params, rows, split.lengths[rows] - 1 - lags, UNKNOWN)
    np.testing.assert_allclose(swaps.measured, expected, rtol=1e-3, atol=1e-5)
    assert swaps.predicted.dtype == np.float64


def test_the_word_that_is_exchanged_is_known_where_there_is_one():
    tokens = np.array([[5, 1, 1, 7, 0], [1, 1, 1, 0, 0], [4, 1, 6, 8, 9]])  # 1 is the unknown word, 0 padding
    lags = _nearest_known(tokens, np.array([4, 3, 5]), np.array([1, 1, 1]))
    np.testing.assert_array_equal(lags, [0, 1, 1])  # the 7; none is known; the 8 as wanted
    np.testing.assert_array_equal(_nearest_known(tokens[:1], np.array([4]), np.array([2])), [3])  # the 5 is nearest
