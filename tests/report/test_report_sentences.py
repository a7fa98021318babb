import numpy as np
import pytest
from synthetic_run import write_member, write_run

from rnnjax.report import sentences
from rnnjax.report.run import load_run
from rnnjax.report.summary import groups

LAGS = np.arange(51)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def labels_of(run):
    return groups(load_run(run))


def says(run, what):
    (said,) = what(labels_of(run))
    return said.text


# 0.8^l: ln 2 / -ln 0.8 = 3.106; 0.8^20 = 0.0115, 0.8^21 = 0.0092.
def test_half_life_and_reach_of_known_curves(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS, 3 * 0.8**LAGS]})
    assert says(run, sentences.by_lag) == (
        "At the end of training the gradient halves every 3.1 words and falls below 1% of its strength after "
        "20 words. At the start it halves every 1.0 words and falls below 1% of its strength after 6 words."
    )


def test_the_lstm_is_judged_by_what_it_remembers(run):
    write_member(run, "LSTM", curves={"h": [0.5**LAGS] * 2, "c": [0.99**LAGS] * 2})
    assert "halves every 69 words and still has 60.5% of its strength 50 words back" in says(run, sentences.by_lag)


@pytest.mark.parametrize(
    ("norms", "text"),
    [
        (np.ones(51), "does not fade with distance and still has 100% of its strength 50 words back"),
        (1.2**LAGS, "does not fade with distance and has grown to 9,100 times its strength 50 words back"),
        (4.0**LAGS, "does not fade with distance and has grown to over a million times its strength 50 words back"),
        (np.full(51, np.nan), "is not a finite number"),
        (np.where(LAGS == 30, np.inf, 1.0), "is not a finite number"),
        (np.zeros(51), "is exactly zero at the last word"),
        (np.where(LAGS == 0, 0.3, 0.0), "is gone one word back"),
        (np.full(51, 1e-42), "is too weak to have a half-life and still has 100% of its strength 50 words back"),
        (np.ones(1), "was measured at the last word only"),
        (np.maximum(0.1**LAGS, 0) * (LAGS < 40), "halves every 0.3 words and falls below 1% of its strength after 2 w"),
    ],
)
def test_it_is_true_of_any_numbers(run, norms, text):
    write_member(run, "GRU", curves={"h": [norms, norms]})
    assert f"At the end of training the gradient {text}" in says(run, sentences.by_lag)


def test_seeds_without_usable_numbers_are_left_out_and_counted(run):
    for seed, norms in enumerate([0.5**LAGS, 0.8**LAGS, 0.9**LAGS, np.full(51, np.nan)]):
        write_member(run, "GRU", seed, curves={"h": [norms] * 2})
    text = says(run, sentences.by_lag)
    assert "halves every 3.1 words and falls below 1% of its strength after 20 words (1 of 4 seeds left out" in text


def test_an_unfinished_cell_has_no_end_of_training(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS] * 2}, test=None)
    assert says(run, sentences.by_lag).startswith("At the last logged step the gradient halves every 1.0 words")


def test_only_the_start_is_logged(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS]}, test=None)
    assert says(run, sentences.by_lag).startswith("At the start of training the gradient halves every 1.0 words and")
    assert says(run, sentences.by_lag).endswith("nothing later is logged yet.")


@pytest.mark.parametrize(
    ("rates", "text"),
    [
        (
            [0.5, 0.99, 0.99],
            "first has 1% of its strength 50 words back at step 100, and has it at every logged step from there on.",
        ),
        (
            [0.5, 0.99, 0.5],
            "first has 1% of its strength 50 words back at step 100, and has it at 1 of the 2 logged steps from",
        ),
        ([0.99, 0.99, 0.99], "has at least 1% of its strength 50 words back at every logged step"),
        ([0.5, 0.6, 0.5], "never has 1% of its strength 50 words back: it comes 9 words far at best, at step 100"),
        ([np.nan, 0, 0.99], "has at least 1% of its strength 50 words back at every logged step"),
        ([np.nan] * 3, "holds no usable number"),
    ],
)
def test_when_the_gradient_reached_back(run, rates, text):
    curves = [np.zeros(51) if rate == 0 else rate ** (LAGS + 1.0) for rate in rates]
    write_member(run, "GRU", curves={"h": curves})
    assert f"The gradient {text}" in says(run, sentences.over_training)


def test_steps_whose_reviews_are_all_short_say_nothing_about_far_words(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS, 0.99**LAGS, 0.99 ** LAGS[:20]]})
    text = "step 100, and has it at every logged step from there on (of those with so long a review)."
    assert says(run, sentences.over_training).endswith(text)
    assert "still has 82.6% of its strength 19 words back" in says(run, sentences.by_lag)


@pytest.mark.parametrize(
    ("accuracies", "text"),
    [
        ((1.0, 0.9987), "Is right in at least 99.8% of cases at every distance up to 20 words."),
        ((0.5401, 0.49), "Does hardly better than guessing at every distance (at most 54.1%)."),
        ((0.99, 0.7), "Is right in at least 95% of cases up to 10 words, and in 70.0% at 20 words."),
        ((0.8, 0.7), "Is right in 70.0% to 80.0% of cases, and in 70.0% at 20 words."),
        ((np.nan, np.nan), "Has no accuracy that is a number."),
    ],
)
def test_accuracy_against_distance(run, accuracies, text):
    write_member(run, "GRU", by_distance=dict(zip((10, 20), accuracies, strict=True)))
    assert says(run, sentences.distances) == text


def test_the_verdict_sorts_cells_by_what_they_know_at_the_farthest_word(run):
    for label, seeds in {"SimpleRNN": (0.5, 0.52), "LSTM": (1.0, 0.99), "GRU": (0.5, 1.0)}.items():
        for seed, accuracy in enumerate(seeds):
            write_member(run, label, seed, by_distance={10: 1.0, 200: accuracy})
    assert sentences.verdict(labels_of(run)) == (
        "Asked about a word 200 words back, the LSTM (99.5% right) still knows it; the GRU (50.0–100% right) knows "
        "it only partly, or only from some seeds; the SimpleRNN (51.0% right) does hardly better than guessing."
    )


def test_the_verdict_without_distances_is_the_test_accuracy(run):
    write_member(run, "SimpleRNN", test=0.81)
    write_member(run, "LSTM", test=0.87)
    write_member(run, "GRU", test=0.86)
    text = "The LSTM judges 87.0% of the test reviews right, the GRU 86.0% and the SimpleRNN 81.0%."
    assert sentences.verdict(labels_of(run)) == text


def test_the_verdict_on_nothing(run):
    assert "No cell has finished" in sentences.verdict(labels_of(run))
    write_member(run, "LSTM", test=None)
    assert "No cell has finished" in sentences.verdict(labels_of(run))


def test_learning_names_the_best_and_its_steps(run):
    write_member(run, "GRU", 0, validation=[(100, 0.5, 0.9), (200, 0.6, 0.8)])
    write_member(run, "GRU", 1, validation=[(100, 0.5, 0.5), (200, 0.6, 0.7)])
    assert says(run, sentences.learning) == (
        "Best validation accuracy 80.0% (mean of 2 seeds), between steps 100 and 200."
    )


def test_what_is_missing_is_said(run):
    write_member(run, "GRU", 0, curves={"h": [np.ones(3)]})
    write_member(run, "LSTM", 1, test=None, validation=[(50, float("nan"), 0.5)], steps=400)
    (run / "members" / "lstm-seed2").mkdir()
    notes = sentences.missing(load_run(run), labels_of(run))
    assert notes == [
        "lstm-seed2 has not begun.",
        "LSTM, seed 1, diverged: its loss was not a finite number at step 50.",
        "LSTM, seed 1, has not finished: its last record is of step 50 of 400.",
        "LSTM, seed 1, has no gradient log.",
    ]
