"""A study trains every run into a folder; one that breaks is said at the end and does not stop the others."""

import dataclasses
import io
import json
import os
import signal

import jax
import pytest
from rich.console import Console
from studies import SETTINGS, make_trial

import rnnjax
from rnnjax.config.execution import Execution
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError
from rnnjax.runs.codec import encode, round_floats
from rnnjax.runs.json_io import read_json, read_records
from rnnjax.runtime.progress import ProgressView
from rnnjax.runtime.signals import StoppedError
from rnnjax.training import study as job
from rnnjax.training.diagnose_run import diagnose_member
from rnnjax.training.setup import select_member

NO_CHECKPOINTS = Execution(checkpoint_minutes=0)
TIMES = {"seconds", "steps_per_second", "compile_seconds"}


def study(folder, trials, execution=NO_CHECKPOINTS, update=None):
    """Run a study: what was printed."""
    output = io.StringIO()
    with ProgressView(Console(file=output, width=300)) as view:
        if update is not None:
            view.update = update
        job.run_study(folder, trials, execution, view)
    return output.getvalue()


def content(folder):
    """Of all files, but for times."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in found:
        if name.endswith("result.json"):
            found[name] = {key: value for key, value in json.loads(found[name]).items() if key not in TIMES}
    return found


@pytest.fixture
def compiled(tiny, monkeypatch):
    """Groups of one run take the programs that are there; the group of each that is made ready, in order."""
    made = []

    def prepare(group, layout):
        made.append(group)
        (trial,) = group.trials
        prepared = tiny.changed(seed=trial.seed)
        return prepared._replace(group=prepared.group._replace(trials=(trial,)))

    monkeypatch.setattr(job, "set_up_ensemble", prepare)
    return made


@pytest.fixture
def trials(tiny):
    """Two that share no program."""
    (first,) = tiny.prepared.group.trials
    longer = dataclasses.replace(SETTINGS, validate_every=7)
    return first, make_trial(tiny.dataset, first.cell, longer, seed=5, label="Other clip=1")


def test_what_a_study_leaves_of_each_run(tiny, trials, compiled, tmp_path):
    (tmp_path / "members").mkdir()
    lines = study(tmp_path, [dataclasses.replace(trials[1], varied={"clip": 1.0})]).splitlines()
    folder = tmp_path / "members" / "other-clip-1-seed5"
    assert {path.name for path in folder.iterdir()} == {
        "member.json", "metrics.jsonl", "gradients.jsonl", "params.msgpack", "result.json",
        "diagnosis-start.json", "diagnosis-end.json",
    }  # fmt: skip
    prepared = tiny.changed(seed=5)
    words = len(tiny.dataset.vocabulary)
    assert read_json(folder / "member.json") == {
        "label": "Other clip=1",
        "cell": "simplernn",
        "seed": 5,
        "varied": {"clip": 1.0},
        "parameters": words * 3 + (3 * 4 + 4 * 4 + 4) + (4 + 1),
        "steps": 20,
        "baseline": None,
        "clip": 1.0,
    }
    assert read_json(tmp_path / "task.json") == {
        "step": "word",
        "example": "review",
        "published": [],
        "objective": "binary",
        "classes": [],
        "chance": None,
        "loss": "cross-entropy, nats",
    }
    assert json.loads((tmp_path / "vocabulary.json").read_text()) == list(tiny.dataset.vocabulary)
    fresh = select_member(prepared.fresh.params, 0)
    start = round_floats(encode(diagnose_member(tiny.programs, tiny.dataset, fresh, step=0)))
    assert read_json(folder / "diagnosis-start.json") == json.loads(json.dumps(start))

    result, end = read_json(folder / "result.json"), read_json(folder / "diagnosis-end.json")
    validations = [r for r in read_records(folder / "metrics.jsonl") if r["kind"] == "validation"]
    best = max(validations, key=lambda r: (r["accuracy"], -r["loss"]))
    assert (result["best_step"], result["validation_accuracy"]) == (best["step"], best["accuracy"])
    assert result["validation_loss"] == best["loss"]
    assert end["step"] == best["step"]
    assert set(end) == set(start) | {"texts", "swaps"}
    assert result["accuracy_by_distance"]["count"] == [3] * 6
    assert result["steps_per_second"] == pytest.approx(20 / result["seconds"])
    assert not (tmp_path / "checkpoints").exists()
    assert [line.split("  ")[0] for line in lines] == ["Other clip=1"]
    assert f"test {result['test_accuracy']:.3f}" in lines[0]


def test_what_has_ended_is_passed_over(trials, compiled, tmp_path):
    study(tmp_path, trials)
    assert [group.trials for group in compiled] == [(trial,) for trial in trials]
    before = content(tmp_path)
    assert study(tmp_path, trials) == ""
    assert len(compiled) == 2
    (tmp_path / "members" / trials[1].name / "result.json").unlink()
    study(tmp_path, trials)
    assert [group.trials for group in compiled[2:]] == [(trials[1],)]
    assert content(tmp_path) == before


@pytest.mark.parametrize("step", [1, 8, 20])
def test_a_study_that_is_stopped_goes_on_as_if_nothing_had_happened(trials, compiled, tmp_path, step):
    study(tmp_path / "whole", trials)

    sent = []

    def update(done, loss):
        if done >= step and not sent:
            sent.append(done)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError):
        study(tmp_path / "stopped", trials, update=update)
    assert list((tmp_path / "stopped" / "checkpoints" / trials[0].name).iterdir())
    assert not (tmp_path / "stopped" / "members" / trials[1].name).exists()
    lines = study(tmp_path / "stopped", trials).splitlines()
    at = int(lines[0].removeprefix("Tiny, seed 0: going on from step "))
    assert step <= at <= step + 6
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_the_checkpoints_of_what_has_finished_are_gone(trials, compiled, tmp_path):
    def update(done, loss):
        if len(compiled) == 2 and done == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StoppedError):
        study(tmp_path, trials, Execution(checkpoint_every=5), update)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [trials[1].name]
    assert (tmp_path / "members" / trials[0].name / "result.json").exists()


def test_a_broken_run_is_said_at_the_end_and_not_trained_again(tiny, tmp_path, monkeypatch):
    """Beside it another from the same program, after it one from another."""
    settings = TrainingSettings(batch_size=20, learning_rate=0.01, log_gradients_every=0)
    broken = dataclasses.replace(settings, learning_rate=1e30)
    relu = rnnjax.SimpleRNN(2, activation="relu")
    trials = [
        make_trial(tiny.dataset, relu, broken, seed=4, label="Broken"),
        make_trial(tiny.dataset, relu, settings, seed=4, label="Sound"),
    ]
    said = (
        r"^Broken \(seed 4\): the (loss|gradient) became \S+ (at step|in the validation after step) \d+; try a smaller"
    )
    output = io.StringIO()
    with ProgressView(Console(file=output, width=300)) as view:
        with pytest.raises(job.TrainingDivergedError, match=said) as first:
            job.run_study(tmp_path, trials, NO_CHECKPOINTS, view)
        monkeypatch.setattr(job, "set_up_ensemble", None)
        before = content(tmp_path)
        with pytest.raises(job.TrainingDivergedError) as again:
            job.run_study(tmp_path, trials, NO_CHECKPOINTS, view)
    assert str(again.value) == str(first.value)
    assert content(tmp_path) == before
    assert [line.split(" ")[0] for line in output.getvalue().splitlines()] == ["Broken", "Sound"]
    folders = [tmp_path / "members" / trial.name for trial in trials]
    assert read_json(folders[0] / "failure.json") == {"message": str(first.value)}
    assert not (folders[0] / "result.json").exists()
    assert not (folders[0] / "diagnosis-end.json").exists()
    assert read_json(folders[1] / "result.json")["test_accuracy"] > 0
    assert not (folders[1] / "failure.json").exists()


@pytest.mark.parametrize(("message", "raised"), [("RESOURCE_EXHAUSTED: 9 GiB", UserError), ("INTERNAL", RuntimeError)])
def test_too_little_memory_is_one_sentence(message, raised, trials, tmp_path, monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(job, "set_up_ensemble", fail)
    said = r"^Tiny, seed 0: the device has too little memory; give fewer" if raised is UserError else message
    with pytest.raises(raised, match=said):
        study(tmp_path, trials)
