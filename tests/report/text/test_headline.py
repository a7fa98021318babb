import numpy as np
import pytest
from synthetic_run import write_member, write_run

from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.text.headline import distance_captions, headline, learning_captions, missing_parts
from rnnjax.runs.reader import load_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def groups_of(run):
    return seed_groups(load_run(run))


def caption_text(run, what):
    (caption,) = what(groups_of(run))
    return caption.text


@pytest.mark.parametrize(
    ("accuracies", "text"),
    [
        ((1.0, 1.0), "Is right in all cases at every distance tested, up to 20 words."),
        ((1.0, 0.9987), "Is right in at least 99.8% of cases at every distance tested, up to 20 words."),
        ((0.5401, 0.49), "Is hardly better than guessing at every distance tested (at most 54.1%)."),
        (
            (0.99, 0.7),
            "Is right in at least 95% of cases at every distance tested up to 10 words, and in 70.0% at 20 words.",
        ),
        ((0.8, 0.7), "Is right in 70.0% to 80.0% of cases at every distance tested, and in 70.0% at 20 words."),
        ((0.8333, 0.8334), "Is right in 83.3% of cases at every distance tested."),
        ((np.nan, np.nan), "Its accuracy is not a number."),
    ],
)
def test_accuracy_against_distance(run, accuracies, text):
    write_member(run, "GRU", by_distance=dict(zip((10, 20), accuracies, strict=True)))
    assert caption_text(run, distance_captions) == text


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ((0.8, 0.5), (0.8, 0.9), "Is right in 70.0% to 80.0% of cases at every distance tested, and in 50.0–90.0%"),
        ((0.7, 0.5), (0.7, 0.9), "Is right in 70.0% of cases at every distance tested, and in 50.0–90.0%"),
        ((1.0, 0.91), (1.0, 0.99), "Is right in 95.0% to 100% of cases at every distance tested, and in 91.0–99.0%"),
        ((0.5, 0.5), (0.5, 0.7), "Is right in 50.0% to 60.0% of cases at every distance tested, and in 50.0–70.0%"),
        (
            (1.0, 0.5),
            (1.0, 0.9),
            "Is right in at least 95% of cases at every distance tested up to 10 words, and in 50.",
        ),
    ],
)
def test_seeds_that_disagree_are_told_apart_at_the_farthest_distance(run, first, second, text):
    for seed, accuracies in enumerate((first, second)):
        write_member(run, "GRU", seed, by_distance=dict(zip((10, 20), accuracies, strict=True)))
    assert caption_text(run, distance_captions).startswith(text)
    assert caption_text(run, distance_captions).endswith("% at 20 words, depending on the seed.")


def test_the_headline_sorts_cells_by_what_they_know_at_the_farthest_word(run):
    for label, seeds in {"SimpleRNN": (0.5, 0.52), "LSTM": (1.0, 0.99), "GRU": (0.5, 1.0)}.items():
        for seed, accuracy in enumerate(seeds):
            write_member(run, label, seed, by_distance={10: 1.0, 200: accuracy})
    assert headline(groups_of(run)) == (
        "Recalling a word 200 words back: the LSTM (99.5% right) succeeds; the GRU (50.0–100% right) succeeds only "
        "partly or only with some seeds; the SimpleRNN (51.0% right) is hardly better than guessing."
    )


def test_the_headline_without_distances_is_the_test_accuracy(run):
    write_member(run, "SimpleRNN", test=0.81)
    write_member(run, "LSTM", test=0.87)
    write_member(run, "GRU", test=0.86)
    text = "The LSTM judges 87.0% of the test reviews right, the GRU 86.0% and the SimpleRNN 81.0%."
    assert headline(groups_of(run)) == text


def test_the_headline_on_nothing(run):
    assert "No cell has finished" in headline(groups_of(run))
    write_member(run, "LSTM", test=None)
    assert "No cell has finished" in headline(groups_of(run))


def test_a_run_whose_cells_all_failed_does_not_wait_for_their_training(run):
    write_member(run, "LSTM", failure="LSTM diverged.")
    assert headline(groups_of(run)) == ("The training of every cell failed, so there is no test accuracy to compare.")


def test_a_log_that_was_switched_off_is_not_missing(tmp_path):
    run = write_run(tmp_path / "run", flags={"training": {"log_gradients_every": 0}})
    write_member(run, "GRU", 0)
    write_member(run, "GRU", 1, varied={"log_gradients_every": 10})
    assert missing_parts(load_run(run), groups_of(run)) == ["GRU, seed 1, has no gradient log."]


def test_learning_names_the_best_and_its_steps(run):
    write_member(run, "GRU", 0, validation=[(100, 0.5, 0.9), (200, 0.6, 0.8)])
    write_member(run, "GRU", 1, validation=[(100, 0.5, 0.5), (200, 0.6, 0.7)])
    assert caption_text(run, learning_captions) == (
        "Best validation accuracy 80.0% (mean of 2 seeds), between steps 100 and 200."
    )


def test_what_is_missing_is_said(run):
    write_member(run, "GRU", 0, curves={"h": [np.ones(3)]})
    write_member(run, "LSTM", 1, test=None, validation=[(50, float("nan"), 0.5)], steps=400)
    (run / "members" / "lstm-seed2").mkdir()
    notes = missing_parts(load_run(run), groups_of(run))
    assert notes == [
        "lstm-seed2 has not begun.",
        "LSTM, seed 1, diverged: its loss was not a finite number at step 50.",
        "LSTM, seed 1, has not finished: its last record is of step 50 of 400.",
        "LSTM, seed 1, has no gradient log.",
    ]
