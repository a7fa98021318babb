"""The claims of the README, each by the run that makes them. Slow: minutes, not seconds."""

import json
import os

import pytest

import launch

pytestmark = pytest.mark.slow


def results(folder):
    """Label -> what came of the one seed."""
    members = [path.parent for path in folder.glob("members/*/result.json")]
    return {
        json.loads((m / "member.json").read_text())["label"]: json.loads((m / "result.json").read_text())
        for m in members
    }


def at_200_words(result):
    by_distance = result["accuracy_by_distance"]
    assert by_distance["distance"][-1] == 200
    return by_distance["accuracy"][-1]


def test_the_lstm_still_knows_a_word_after_200_others_and_the_simple_rnn_does_not(tmp_path):
    """Both remedies: another cell, and for the GRU another initialisation."""
    assert launch.main(["recall", "--seeds", "1", "--seed", "7", "--out", str(tmp_path / "run")]) == 0
    found = results(tmp_path / "run")
    assert at_200_words(found["LSTM"]) >= 0.99
    assert at_200_words(found["GRU chrono=200"]) >= 0.99
    assert at_200_words(found["SimpleRNN"]) <= 0.6
    assert found["SimpleRNN"]["test_accuracy"] <= 0.55


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="the real reviews: set TFDS_DATA_DIR to a folder of TFDS")
def test_an_lstm_learns_the_real_reviews_in_one_epoch(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    flags = ["imdb", "--cells", "lstm", "--epochs", "1", "--log-gradients-every", "0"]
    assert launch.main([*flags, "--out", str(tmp_path / "run")]) == 0
    assert results(tmp_path / "run")["LSTM"]["validation_accuracy"] >= 0.85
