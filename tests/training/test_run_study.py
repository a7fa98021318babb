"""A study trains every run into a folder; a run that diverges is reported at the end and does not stop the others."""

import dataclasses
import io
import json
import os
import signal

import jax
import pytest
from rich.console import Console
from sequences import slow_unless
from studies import SETTINGS, make_spec

import rnnjax
from rnnjax.config.execution import Execution
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import TrainingDivergedError, UserError
from rnnjax.runs.codec import encode, round_floats
from rnnjax.runs.json_io import read_json, read_records
from rnnjax.runtime.progress import ProgressView
from rnnjax.runtime.signals import StoppedError
from rnnjax.training import study as study_module
from rnnjax.training.diagnose_run import diagnose_member
from rnnjax.training.setup import select_member

NO_CHECKPOINTS = Execution(checkpoint_minutes=0)
TIMES = {"seconds", "steps_per_second", "compile_seconds"}


def study(folder, specs, execution=NO_CHECKPOINTS, update=None):
    """Run a study, and return what was printed."""
    output = io.StringIO()
    with ProgressView(Console(file=output, width=300)) as view:
        if update is not None:
            view.update = update
        study_module.run_study(folder, specs, execution, view)
    return output.getvalue()


def content(folder):
    """All files by path, without times."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in files:
        if name.endswith("result.json"):
            files[name] = {key: value for key, value in json.loads(files[name]).items() if key not in TIMES}
    return files


@pytest.fixture
def compiled(tiny, monkeypatch):
    """Ensembles of one run reuse the programs of ``tiny``; the list of all ensembles that were set up, in order."""
    made = []

    def set_up(ensemble, layout):
        made.append(ensemble)
        (spec,) = ensemble.specs
        setup = tiny.changed(seed=spec.seed)
        return setup._replace(ensemble=setup.ensemble._replace(specs=(spec,)))

    monkeypatch.setattr(study_module, "set_up_ensemble", set_up)
    return made


@pytest.fixture
def specs(tiny):
    """Two runs that share no program."""
    (first,) = tiny.setup.ensemble.specs
    longer = dataclasses.replace(SETTINGS, validate_every=7)
    return first, make_spec(tiny.dataset, first.cell, longer, seed=5, label="Other clip=1")


def test_the_files_that_a_study_writes(tiny, specs, compiled, tmp_path):
    (tmp_path / "members").mkdir()
    lines = study(tmp_path, [dataclasses.replace(specs[1], varied={"clip": 1.0})]).splitlines()
    folder = tmp_path / "members" / "other-clip-1-seed5"
    assert {path.name for path in folder.iterdir()} == {
        "member.json", "model.json", "metrics.jsonl", "gradients.jsonl", "params.msgpack", "result.json",
        "diagnosis-start.json", "diagnosis-end.json",
    }  # fmt: skip
    setup = tiny.changed(seed=5)
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
        "last_step_only": True,
        "chance": None,
        "label_scale": None,
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
    params = select_member(setup.initial_state.params, 0)
    start = round_floats(encode(diagnose_member(tiny.programs, tiny.dataset, params, step=0)))
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


def test_runs_that_have_ended_are_skipped(specs, compiled, tmp_path):
    study(tmp_path, specs)
    assert [ensemble.specs for ensemble in compiled] == [(spec,) for spec in specs]
    before = content(tmp_path)
    assert study(tmp_path, specs) == ""
    assert len(compiled) == 2
    (tmp_path / "members" / specs[1].name / "result.json").unlink()
    study(tmp_path, specs)
    assert [ensemble.specs for ensemble in compiled[2:]] == [(specs[1],)]
    assert content(tmp_path) == before


def test_flags_that_cannot_work_are_refused_before_any_run_is_trained(specs, compiled, tmp_path):
    def too_few():
        raise UserError("2 examples are too few.")

    last = dataclasses.replace(specs[1], task="validation=0.95", make_dataset=too_few)
    with pytest.raises(UserError, match=r"^2 examples are too few\.$"):
        study(tmp_path, [specs[0], last])
    assert (compiled, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize("step", [slow_unless(False, 1), 8, slow_unless(False, 20)])
def test_a_stopped_study_resumes_to_the_same_files(specs, compiled, tmp_path, step):
    study(tmp_path / "whole", specs)

    sent = []

    def update(done, loss):
        if done >= step and not sent:
            sent.append(done)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError):
        study(tmp_path / "stopped", specs, update=update)
    assert list((tmp_path / "stopped" / "checkpoints" / specs[0].name).iterdir())
    assert not (tmp_path / "stopped" / "members" / specs[1].name).exists()
    lines = study(tmp_path / "stopped", specs).splitlines()
    first_step = int(lines[0].removeprefix("Tiny, seed 0: going on from step "))
    assert step <= first_step <= step + 6
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_the_checkpoints_of_finished_ensembles_are_removed(specs, compiled, tmp_path):
    def update(done, loss):
        if len(compiled) == 2 and done == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StoppedError):
        study(tmp_path, specs, Execution(checkpoint_every=5), update)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [specs[1].name]
    assert (tmp_path / "members" / specs[0].name / "result.json").exists()


def test_a_diverged_run_is_reported_at_the_end_and_not_trained_again(tiny, tmp_path, monkeypatch):
    """Another run of the same ensemble is not affected."""
    settings = TrainingSettings(batch_size=20, learning_rate=0.01, log_gradients_every=0)
    broken = dataclasses.replace(settings, learning_rate=1e30)
    relu = rnnjax.SimpleRNN(2, activation="relu")
    specs = [
        make_spec(tiny.dataset, relu, broken, seed=4, label="Broken"),
        make_spec(tiny.dataset, relu, settings, seed=4, label="Sound"),
    ]
    message = (
        r"^Broken \(seed 4\): the (loss|gradient) became \S+ (at step|in the validation after step) \d+; try a smaller"
    )
    output = io.StringIO()
    with ProgressView(Console(file=output, width=300)) as view:
        with pytest.raises(TrainingDivergedError, match=message) as first:
            study_module.run_study(tmp_path, specs, NO_CHECKPOINTS, view)
        monkeypatch.setattr(study_module, "set_up_ensemble", None)
        before = content(tmp_path)
        with pytest.raises(TrainingDivergedError) as again:
            study_module.run_study(tmp_path, specs, NO_CHECKPOINTS, view)
    assert str(again.value) == str(first.value)
    assert content(tmp_path) == before
    assert [line.split(" ")[0] for line in output.getvalue().splitlines()] == ["Broken", "Sound"]
    folders = [tmp_path / "members" / spec.name for spec in specs]
    assert read_json(folders[0] / "failure.json") == {"message": str(first.value)}
    assert not (folders[0] / "result.json").exists()
    assert not (folders[0] / "diagnosis-end.json").exists()
    assert read_json(folders[1] / "result.json")["test_accuracy"] > 0
    assert not (folders[1] / "failure.json").exists()


@pytest.mark.parametrize(("message", "error"), [("RESOURCE_EXHAUSTED: 9 GiB", UserError), ("INTERNAL", RuntimeError)])
def test_too_little_memory_is_one_sentence(message, error, specs, tmp_path, monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(study_module, "set_up_ensemble", fail)
    sentence = r"^Tiny, seed 0: the device has too little memory; give fewer" if error is UserError else message
    with pytest.raises(error, match=sentence):
        study(tmp_path, specs)
