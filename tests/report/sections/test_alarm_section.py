import io
import json

import numpy as np
import pytest
from rich.console import Console
from synthetic_diagnosis import LAGS, layer_record, write_diagnosis
from synthetic_run import lines, write_member, write_run, write_task

from rnnjax.report.sections import alarms
from rnnjax.report.summary.alarm_evidence import group_alarms, member_clip, member_evidence
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", flags={"cells": [], "training": {"clip": 2.5}})


def member_of(run):
    (member,) = load_run(run).members
    return member


FAILS = [(100, 0.7, 0.5), (200, 0.69, 0.52)]  # validations of a network that learns nothing


def html_of(run):
    loaded = load_run(run)
    return alarms.alarm_box(alarms.alarm_texts(loaded, seed_groups(loaded)))


def terminal_of(run):
    console = Console(width=500, file=io.StringIO())
    if (alarm := alarms.rich_alarms(load_run(run))) is not None:
        console.print(alarm)
    return console.file.getvalue()


def test_the_evidence_holds_what_was_measured(run):
    counts = [32] * 20 + [1] * 21
    folder = write_member(run, "LSTM", curves={"h": [0.5**LAGS] * 2, "c": [0.9**LAGS, 0.8**LAGS]}, counts=counts)
    write_diagnosis(folder, "start", layer_record("LSTM", 1.0, 3.0 + 0 * LAGS, keep=0.73, padding_read=0.5))
    stuck = {"i": 0.25, "f": float("nan"), "g": 0.0, "o": 1.0}
    write_diagnosis(folder, "end", layer_record("LSTM", 3.0, 1.0 + 0 * LAGS, keep=0.9, saturation=stuck))
    steps = [{"kind": "train", "step": s, "loss": 0.7, "accuracy": 0.5, "gradient_norm": 2.0**s} for s in range(4)]
    lines(folder / "metrics.jsonl", [*steps, {"kind": "validation", "step": 4, "loss": 0.6, "accuracy": 0.6}])
    evidence = member_evidence(member_of(run), 2.5)
    assert (evidence.label, evidence.clip, evidence.accuracy) == ("LSTM", 2.5, 0.6)
    np.testing.assert_array_equal(evidence.curves, np.where(LAGS < 20, [0.9**LAGS, 0.8**LAGS], np.nan))
    assert (evidence.keep_at_bias, evidence.has_belt, evidence.padding_read) == (0.73, True, 0.0)
    assert dict(evidence.saturation) == {"i": 0.25, "g": 0.0, "o": 1.0}
    np.testing.assert_array_equal(evidence.belt_share, np.where(LAGS > 0, 0.75, np.nan))
    np.testing.assert_array_equal(evidence.gradient_norms, [1, 2, 4, 8])
    np.testing.assert_array_equal(evidence.losses, [0.7] * 4)
    assert evidence.chance_loss == pytest.approx(np.log(2))
    assert (evidence.keep, evidence.best_skill) == (pytest.approx(0.9), None)
    assert evidence.skill == pytest.approx(0.2)  # 60% are right, half of them by chance


def test_what_was_not_measured_is_none(run):
    lines(write_member(run, "GRU", validation=[], test=None) / "metrics.jsonl", [])
    evidence = member_evidence(member_of(run), 0.0)
    names = (
        "curves",
        "accuracy",
        "skill",
        "keep_at_bias",
        "keep",
        "saturation",
        "belt_share",
        "padding_read",
        "gradient_norms",
        "losses",
    )
    assert [getattr(evidence, name) for name in (*names, "origin")] == [None] * 11
    assert not evidence.has_belt


@pytest.mark.parametrize(
    ("flags", "clip"),
    [({"training": {"clip": 2.5}}, 2.5), ({"training": {}}, 0.0), ({"training": 3}, 0.0), ({"hidden": 1}, 0.0)],
)
def test_the_clip_of_a_run(tmp_path, flags, clip):
    run = write_run(tmp_path / "run", flags=flags)
    write_member(run, "GRU")
    assert member_clip(load_run(run), member_of(run)) == clip


def test_the_clip_that_a_sweep_sets_wins_over_that_of_the_run(run):
    write_member(run, "GRU clip=0.5", varied={"clip": 0.5})
    write_member(run, "GRU learning_rate=0.1", varied={"learning_rate": 0.1})
    loaded = load_run(run)
    assert {alarm.label: member_clip(loaded, alarm) for alarm in loaded.members} == {
        "GRU clip=0.5": 0.5,
        "GRU learning_rate=0.1": 2.5,
    }


def test_a_clip_of_its_own_decides_about_the_alarm(run):
    """Every norm is 1: it is cut by a clip of 0.5 in all steps, by that of 2.5 of the run in none."""
    steps = [{"kind": "train", "step": s, "loss": 0.7, "accuracy": 0.5, "gradient_norm": 1.0} for s in range(100)]
    for label, varied in (("GRU clip=0.5", {"clip": 0.5}), ("GRU clip=2.5", {"clip": 2.5})):
        lines(write_member(run, label, varied=varied) / "metrics.jsonl", steps)
    loaded = load_run(run)
    assert [alarm.alarm.label for alarm in group_alarms(loaded, seed_groups(loaded)) if "clip" in alarm.alarm.name] == [
        "GRU clip=0.5"
    ]


def test_seeds_that_raise_the_same_alarm_are_one_entry(run):
    for seed, keep in enumerate([0.2, 0.9, 0.5]):
        folder = write_member(run, "GRU chrono=9", seed, validation=FAILS)
        write_diagnosis(folder, "start", layer_record("GRU", 1.0, keep=keep))
    loaded = load_run(run)
    (alarm,) = group_alarms(loaded, seed_groups(loaded))
    assert (alarm.alarm.name, alarm.seeds, alarm.total) == ("forget bias", (0, 2), 3)
    for text in (html_of(run), terminal_of(run)):
        assert "GRU chrono=9, 2 of 3 seeds: forget bias." in text
        assert "Seed 0: " in text
        assert "20.0%" in text  # the first seed's numbers
        assert alarm.alarm.remedy in text
        assert "--cells lstm:forget_bias=1 or gru:forget_bias=1; --cells lstm:chrono=200 or gru:chrono=200" in text
    assert "keep at bias 0.2, 0.5 (seeds 0, 2)" in html_of(run)


def alarms_of(run):
    """(label, name) of each alarm."""
    loaded = load_run(run)
    return [(alarm.alarm.label, alarm.alarm.name) for alarm in group_alarms(loaded, seed_groups(loaded))]


def test_a_network_is_judged_beside_the_best_one_of_its_own_task(run):
    """Its skill of 0.3 is enough alone, and where nobody learns more, but not where another network comes to 0.9."""
    half = [(100, 0.5, 0.65)]
    for label, validation, varied in (
        ("GRU distance=9", half, {"distance": 9, "learning_rate": 0.1}),
        ("LSTM distance=9", half, {"distance": 9, "learning_rate": 0.2}),
        ("GRU distance=5", half, {"distance": 5, "cell.chrono": 7}),
        ("LSTM distance=5", [(100, 0.05, 0.95)], {"distance": 5}),
    ):
        folder = write_member(run, label, validation=validation, varied=varied)
        write_diagnosis(folder, "start", layer_record("GRU", 1.0, keep=0.5))
    assert alarms_of(run) == [("GRU distance=5", "forget bias")]


def test_classes_of_unequal_size_are_judged_by_the_loss_too(run):
    """All answers are the largest class, but with half of its loss."""
    write_task(run, "classes", "word", "text", classes=["a", "b", "c"], chance=0.9)
    folder = write_member(run, "GRU", validation=[(100, 0.2, 0.9)], baseline=0.4)
    write_diagnosis(folder, "start", layer_record("GRU", 1.0, keep=0.5))
    assert member_evidence(member_of(run), 0.0).skill == pytest.approx(0.5)
    assert alarms_of(run) == []


def test_a_single_seed_is_not_counted(run):
    write_diagnosis(write_member(run, "GRU", validation=FAILS), "start", layer_record("GRU", 1.0, keep=0.5))
    loaded = load_run(run)
    (alarm,) = group_alarms(loaded, seed_groups(loaded))
    bare = alarm.alarm.sentence.removeprefix("GRU: ")
    assert f"<b>GRU: forget bias.</b> {bare[0].upper()}{bare[1:]}" in html_of(run)


def test_a_member_that_diverged_raises_its_alarm_beside_finished_ones(run):
    write_member(run, "LSTM", 0)
    record = {"step": 7, "phase": "backward", "layer": "recurrent", "gate": "g", "timestep": 17, "what": "gradient"}
    (write_member(run, "LSTM", 1, test=None) / "diverged.json").write_text(json.dumps(record))
    assert "LSTM, 1 of 2 seeds: not finite." in html_of(run)
    assert "in gate g of recurrent at timestep 17" in terminal_of(run)


def test_healthy_or_old_runs_have_no_alarm(run):
    write_member(run, "LSTM", curves={"h": [0.99**LAGS] * 2})
    assert html_of(run) == ""
    assert alarms.rich_alarms(load_run(run)) is None


def test_everything_is_escaped_and_no_label_is_markup(run):
    write_diagnosis(write_member(run, "GRU <b>[red]", validation=FAILS), "start", layer_record("GRU", 1.0, keep=0.5))
    assert "GRU &lt;b&gt;[red]: forget bias." in html_of(run)
    assert "GRU <b>[red]: forget bias." in terminal_of(run)
