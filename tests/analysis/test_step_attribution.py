"""Explaining the steps of a series, or of ids read as one-hot vectors, by finite differences and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import normal_like

import rnnjax
from rnnjax.analysis.decision import answer, decision, last_logits
from rnnjax.analysis.step_attribution import explain_steps
from rnnjax.analysis.word_attribution import explain_text

pytestmark = pytest.mark.slow

T, D, C = 5, 2, 3
CELL = rnnjax.GRU(4, param_dtype=jnp.float64)
CASES = {
    "numbers": rnnjax.SequenceClassifier(0, 0, rnnjax.RNN(CELL), classes=C),
    "one number out": rnnjax.SequenceClassifier(0, 0, rnnjax.RNN(CELL)),
    "every step": rnnjax.SequenceClassifier(0, 0, rnnjax.RNN(CELL), classes=C, pooling="every"),
    "mean": rnnjax.SequenceClassifier(0, 0, rnnjax.RNN(CELL), classes=C, pooling="mean"),
    "symbols": rnnjax.SequenceClassifier(D, 0, rnnjax.RNN(CELL), classes=C, pooling="every"),
}


def params_of(model):
    inputs = np.zeros((1, T), np.int32) if model.vocabulary else np.zeros((1, T, D), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]
    return normal_like(jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float64), shapes), 3, 0.7)


def test_the_decision_is_the_margin_of_the_target():
    logits = jnp.array([[3.0, 1.0, 2.5], [0.0, -1.0, 4.0]])
    np.testing.assert_array_equal(decision(logits, None), [3.0, 0.0])
    np.testing.assert_array_equal(decision(logits, 0), [0.5, -4.0])
    np.testing.assert_array_equal(decision(logits, 2), [-0.5, 4.0])
    np.testing.assert_array_equal(decision(logits[:, :1], 0), [3.0, 0.0])
    np.testing.assert_array_equal(
        last_logits(jnp.stack([logits, -logits], axis=1), np.array([2, 1])), [-logits[0], logits[1]]
    )


@pytest.mark.parametrize(
    ("name", "target"),
    [("numbers", 0), ("numbers", 2), ("one number out", 0), ("every step", 2), ("mean", 0), ("symbols", 2)],
)
def test_every_number_is_that_of_the_model_run_again(x64, name, target):
    """Beginnings run alone, a step set to zero, and the slope by finite differences."""
    model = CASES[name]
    params = params_of(model)
    inputs = np.array([0, 1, 1, 0, 1]) if model.vocabulary else np.random.default_rng(0).normal(size=(T, D))
    vectors = np.eye(D)[inputs] if model.vocabulary else inputs
    plain = model.clone(vocabulary=0)

    @jax.jit
    def run(xs):
        lengths = jnp.full(len(xs), xs.shape[1])
        return plain.apply({"params": params}, xs, lengths=lengths)[1]

    def margin(xs):
        logits = np.asarray(run(jnp.asarray(xs)[None]))[0]
        logits = logits[-1] if model.pooling == "every" else logits
        return logits[0] if len(logits) == 1 else logits[target] - max(np.delete(logits, target))

    explanation = explain_steps(model, params, inputs, target)
    np.testing.assert_allclose(explanation.logits, [margin(vectors[:n]) for n in range(1, T + 1)], rtol=1e-6)
    whole, step = margin(vectors), 1e-6
    slopes = np.zeros((T, D))
    for place in np.ndindex(T, D):
        moved = vectors.copy()
        moved[place] += step
        slopes[place] = (margin(moved) - whole) / step
    without = [margin(vectors * (np.arange(T) != t)[:, None]) - whole for t in range(T)]
    np.testing.assert_allclose(explanation.measured, without, atol=1e-6)
    np.testing.assert_allclose(explanation.connectivity, np.linalg.norm(slopes, axis=1), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(explanation.predicted, -(slopes * vectors).sum(axis=1), atol=1e-4)


def test_a_reset_stays_where_it_is_while_its_symbol_is_taken_out(x64):
    """Nothing before a reset counts; the step of the reset and those after it do, as if the sequence began there."""
    model = CASES["symbols"].clone(vocabulary=3, reset_words=(2,))
    params = params_of(model)
    inputs = np.array([0, 1, 2, 1, 0])
    explanation = explain_steps(model, params, inputs, 1)
    after = explain_steps(model.clone(reset_words=()), params, inputs[2:], 1)
    for whole, begun in zip(explanation, after, strict=True):
        np.testing.assert_allclose(whole[2:], begun, rtol=1e-12, atol=1e-15)
    for name in ("connectivity", "measured", "predicted"):
        np.testing.assert_array_equal(getattr(explanation, name)[:2], 0)


def test_a_gradient_whose_square_is_zero_is_not_nothing(x64):
    model = CASES["one number out"].clone(recurrent=rnnjax.RNN(rnnjax.SimpleRNN(2)))
    params = jax.tree.map(lambda a: a.astype(jnp.float32), params_of(model))
    params["Dense_0"]["kernel"] *= 1e-25
    gradients = explain_steps(model, params, np.full((T, D), 0.1, np.float32)).connectivity
    assert 0 < gradients[-1] < 1e-24


def test_the_answer_is_the_largest_logit_with_its_probability(x64):
    stacked = rnnjax.SequenceClassifier(0, 0, rnnjax.Stack([rnnjax.RNN(CELL)]), classes=C)  # a list has no hash
    for name, model in {"every step": CASES["every step"], "stacked": stacked}.items():
        params = params_of(model)
        inputs = np.array([0, 1]) if model.vocabulary else np.ones((2, D))
        logits = model.apply({"params": params}, jnp.asarray(inputs)[None])[1][0]
        logits = np.asarray(logits[-1] if model.pooling == "every" else logits, np.float64)
        target, probability = answer(model, params, inputs)
        assert target == logits.argmax(), name
        np.testing.assert_allclose(probability, np.exp(logits.max()) / np.exp(logits).sum(), rtol=1e-6)


@pytest.mark.parametrize("target", [None, 1])
def test_a_text_is_explained_for_a_target(x64, target):
    """Words are vectors that the embedding gives: as steps they are explained alike, but for what takes their place."""
    model = rnnjax.SequenceClassifier(6, D, rnnjax.RNN(CELL), classes=C)
    params = params_of(model)
    params = {**params, "Embed_0": {"embedding": params["Embed_0"]["embedding"].at[1].set(0)}}  # the unknown word
    tokens = np.array([3, 5, 2, 4])
    found = explain_text(model, params, tokens, 1, target)
    vectors = np.asarray(params["Embed_0"]["embedding"])[tokens]
    rest = {name: value for name, value in params.items() if name != "Embed_0"}
    for one, other in zip(found, explain_steps(model.clone(vocabulary=0), rest, vectors, target), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (
            rnnjax.SequenceClassifier(6, D, rnnjax.RNN(CELL)),
            np.zeros(3, int),
            "SequenceClassifier without an embedding",
        ),
        (rnnjax.RNN(CELL), np.zeros((3, D)), "SequenceClassifier without an embedding, got RNN"),
        (CASES["numbers"], np.zeros(3), r"inputs must be \(T, D\), got float64 of shape \(3,\)"),
        (CASES["symbols"], np.array([0, 2]), "inputs must be from 0 to 1, got 2"),
    ],
)
def test_what_cannot_be_explained_is_named(model, inputs, message):
    with pytest.raises(ValueError, match=message):
        explain_steps(model, {}, inputs)


@pytest.mark.parametrize("target", [-1, C])
def test_a_target_is_one_of_the_classes(target):
    with pytest.raises(ValueError, match=f"target must be a whole number from 0 to {C - 1}, got {target}"):
        explain_steps(CASES["numbers"], {}, np.zeros((3, D), np.float32), target)
