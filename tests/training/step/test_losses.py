"""Loss and correctness for every kind of label, compared with NumPy."""

import jax
import numpy as np
import pytest

from rnnjax.data.dataset import BLANK, TOLERANCE, Objective
from rnnjax.training.step.losses import BY_LOSS, LOSSES, score

RNG = np.random.default_rng(0)
B, T, V = 5, 6, 4
LENGTHS = np.array([6, 1, 4, 3, 6])
jitted = jax.jit(score, static_argnums=0)


def scored(objective, outputs, labels, lengths=LENGTHS):
    losses, correct = jitted(objective, outputs.astype(np.float32), labels, lengths)
    assert losses.shape == correct.shape == (len(labels),)
    assert losses.dtype == correct.dtype == np.float32
    return np.asarray(losses), np.asarray(correct)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def test_a_binary_label_is_the_sign_of_a_logit():
    logits, labels = np.array([[3.0], [-2.0], [0.5], [-0.1], [0.0]]), np.array([1, 1, 0, 0, 1], np.int32)
    losses, correct = scored(Objective.BINARY, logits, labels)
    chances = 1 / (1 + np.exp(-logits[:, 0]))
    np.testing.assert_allclose(losses, -np.log(np.where(labels == 1, chances, 1 - chances)), rtol=1e-5)
    assert correct.tolist() == [1, 0, 0, 1, 0]


def test_a_class_is_the_largest_logit():
    logits, labels = RNG.normal(size=(B, V)), np.array([0, 3, 2, 1, 3], np.int32)
    logits[2, 2], logits[3, 1] = 9, -9
    losses, correct = scored(Objective.CLASSES, logits, labels)
    np.testing.assert_allclose(losses, -log_softmax(logits)[np.arange(B), labels], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(correct, logits.argmax(axis=1) == labels)
    assert correct[2:4].tolist() == [1, 0]


def test_a_number_is_right_within_the_tolerance():
    errors = np.array([0.0, TOLERANCE, -TOLERANCE, 1.01 * TOLERANCE, -2.0], np.float32)
    losses, correct = scored(Objective.NUMBER, errors[:, None], np.zeros(5, np.float32))
    np.testing.assert_allclose(losses, errors.astype(np.float64) ** 2, rtol=1e-6)
    assert correct.tolist() == [1, 1, 1, 0, 0]
    shifted, _ = scored(Objective.NUMBER, np.full((5, 1), 1.5), np.array([1.5, 0.5, 2.5, 1.0, 0.0], np.float32))
    np.testing.assert_allclose(shifted, [0, 1, 1, 0.25, 2.25])


def test_symbols_are_means_over_valid_steps_and_blanks_count_in_the_loss_alone():
    logits, labels = RNG.normal(size=(B, T, V)), RNG.integers(1, V, size=(B, T)).astype(np.int32)
    labels[0, :3], labels[2] = BLANK, BLANK
    logits[3, 0, labels[3, 0]] += 9
    losses, correct = scored(Objective.SYMBOLS, logits, labels)
    for i, length in enumerate(LENGTHS):
        steps = np.arange(length)
        nats = -log_softmax(logits[i])[steps, labels[i, :length]]
        assert losses[i] == pytest.approx(nats.mean(), rel=1e-5)
        symbols = steps[labels[i, :length] != BLANK]
        fraction = np.mean(logits[i, symbols].argmax(axis=1) == labels[i, symbols]) if len(symbols) else 1
        assert correct[i] == pytest.approx(fraction)
    assert correct[2] == 1
    assert correct[3] >= 1 / 3


def test_signals_are_means_over_valid_steps_and_numbers_and_right_where_their_sign_is():
    outputs, labels = RNG.normal(size=(B, T, 3)), np.sign(RNG.normal(size=(B, T, 3))).astype(np.float32)
    losses, correct = scored(Objective.SIGNALS, outputs, labels)
    for i, length in enumerate(LENGTHS):
        assert losses[i] == pytest.approx(np.mean((outputs[i, :length] - labels[i, :length]) ** 2), rel=1e-5)
        assert correct[i] == pytest.approx(np.mean(np.sign(outputs[i, :length]) == labels[i, :length]))
    garbled, other = np.where((np.arange(T) >= LENGTHS[:, None])[..., None], 1e4, outputs), labels.copy()
    other[0, LENGTHS[0] :] = 7
    for a, b in zip(scored(Objective.SIGNALS, garbled, other), (losses, correct), strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_past_the_end_do_not_count():
    logits, labels = RNG.normal(size=(B, T, V)), RNG.integers(V, size=(B, T)).astype(np.int32)
    past = np.arange(T) >= LENGTHS[:, None]
    garbled = np.where(past[..., None], 1e4 * RNG.normal(size=logits.shape), logits)
    other = np.where(past, (labels + 1) % V, labels)
    expected, actual = scored(Objective.SYMBOLS, logits, labels), scored(Objective.SYMBOLS, garbled, other)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_gradient_of_symbols_is_finite_and_zero_past_the_end():
    logits, labels = RNG.normal(size=(B, T, V)).astype(np.float32), np.zeros((B, T), np.int32)
    gradient = jax.jit(jax.grad(lambda outputs: score(Objective.SYMBOLS, outputs, labels, LENGTHS)[0].sum()))(logits)
    past = np.arange(T) >= LENGTHS[:, None]
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(np.any(gradient != 0, axis=2), ~past)


def test_every_kind_of_label_has_a_name_for_its_loss():
    assert set(LOSSES) == set(Objective)
    assert set(Objective) > BY_LOSS
