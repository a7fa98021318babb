"""The claims of the README, each tested by a training run. Slow: minutes, not seconds."""

import json
import os

import jax
import pytest

import launch
from rnnjax.report.summary.alarm_evidence import group_alarms
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run

pytestmark = pytest.mark.slow
OFF = ("--compilation-cache", "off")


@pytest.fixture(autouse=True)
def devices(optimized):
    """Use the devices of the tests, before a run configures their number."""
    assert jax.local_device_count() == 8


def members(folder):
    """(label, folder) of each finished run; there is one seed."""
    paths = [path.parent for path in folder.glob("members/*/result.json")]
    return [(json.loads((path / "member.json").read_text())["label"], path) for path in paths]


def results(folder):
    """Label -> scores."""
    return {label: json.loads((path / "result.json").read_text()) for label, path in members(folder)}


def read_diagnoses(path):
    """The diagnoses before and after training."""
    return [json.loads((path / f"diagnosis-{when}.json").read_text()) for when in ("start", "end")]


def at_200_words(result):
    by_distance = result["accuracy_by_distance"]
    assert by_distance["distance"][-1] == 200
    return by_distance["accuracy"][-1]


def test_the_lstm_still_knows_a_word_after_200_others_and_the_simple_rnn_does_not(tmp_path):
    """Both remedies: another cell, and for the GRU another initialisation."""
    assert launch.main(["recall", "--seeds", "1", "--seed", "7", *OFF, "--out", str(tmp_path / "run")]) == 0
    scores = results(tmp_path / "run")
    assert at_200_words(scores["LSTM"]) >= 0.99
    assert at_200_words(scores["GRU chrono=200"]) >= 0.99
    assert at_200_words(scores["SimpleRNN"]) <= 0.6
    assert scores["SimpleRNN"]["test_accuracy"] <= 0.55

    run = load_run(tmp_path / "run")
    alarms = {one.alarm.label for one in group_alarms(run, seed_groups(run))}
    assert {"LSTM", "GRU chrono=200"}.isdisjoint(alarms)
    assert {"SimpleRNN", "GRU"} <= alarms

    diagnoses = {label: read_diagnoses(path) for label, path in members(tmp_path / "run")}
    belt = {label: [diagnosis["layers"][0]["belt_share"] for diagnosis in pair] for label, pair in diagnoses.items()}
    assert belt["LSTM"][0] < 0.1 < 0.4 < belt["LSTM"][1]  # training builds the belt
    assert belt["SimpleRNN"] == [0, 0]

    def swap_effects(label):
        swaps = diagnoses[label][1]["swaps"]
        return [abs(effect) for lag, effect in zip(swaps["lag"], swaps["measured"], strict=True) if lag >= 150]

    assert min(swap_effects("LSTM")) > 5
    assert max(swap_effects("SimpleRNN")) < 1e-3


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="needs IMDB: set TFDS_DATA_DIR to a folder of TFDS")
def test_an_lstm_learns_the_real_reviews_in_one_epoch(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    flags = ["imdb", "--cells", "lstm", "--epochs", "1", "--log-gradients-every", "0", *OFF]
    assert launch.main([*flags, "--out", str(tmp_path / "run")]) == 0
    assert results(tmp_path / "run")["LSTM"]["validation_accuracy"] >= 0.85
