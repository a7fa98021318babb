"""The state of a run: its records, its outcome, and how it resumes from a checkpoint."""

import contextlib
import dataclasses
import json

import flax.serialization
import numpy as np
import pytest
from sequences import assert_same
from studies import SETTINGS, make_spec

import rnnjax
from rnnjax.errors import UserError
from rnnjax.runs.json_io import read_json, read_records, write_json
from rnnjax.runs.reader import read_outcome
from rnnjax.runs.schema import RECORDS
from rnnjax.training.evaluate import Scores
from rnnjax.training.run_state import RunState
from rnnjax.training.step.state import TrainMetrics

SPEC = make_spec(None, rnnjax.LSTM(4), seed=3)
FINITE = TrainMetrics(*[np.array([0.5, 0.25, 0.75, 1.0]) for _ in range(3)])


@contextlib.contextmanager
def run_state(folder, metadata=None, spec=SPEC):
    run = RunState(spec, folder, metadata)
    with contextlib.closing(run.writer):
        yield run


def scores(accuracy, loss):
    return Scores(loss, accuracy, np.empty(0))


def trained(folder, steps=3):
    """A run after some steps and one validation, and its checkpoint metadata."""
    with run_state(folder) as run:
        run.record(range(steps), 0, FINITE, 0)
        assert run.validate(steps, 0, scores(0.75, 0.5))
        run.keep({"w": np.arange(3.0)})
        return run, run.checkpoint_metadata(steps)


def test_metrics_are_written_with_step_and_epoch(tmp_path):
    with run_state(tmp_path) as run:
        assert run.record(range(7, 9), 1, FINITE, 2) is None
    assert read_records(tmp_path / "metrics.jsonl") == [
        {"kind": "train", "step": 7, "epoch": 1, "loss": 0.75, "accuracy": 0.75, "gradient_norm": 0.75},
        {"kind": "train", "step": 8, "epoch": 1, "loss": 1.0, "accuracy": 1.0, "gradient_norm": 1.0},
    ]


@pytest.mark.parametrize(("quantity", "value"), [("loss", np.nan), ("loss", np.inf), ("gradient", np.inf)])
def test_nothing_is_written_after_a_number_that_is_not_finite(tmp_path, quantity, value):
    field = {"loss": "loss", "gradient": "gradient_norm"}[quantity]
    metrics = FINITE._replace(**{field: np.array([0.5, value, 0.75, 1.0])})
    with run_state(tmp_path) as run:
        assert run.record(range(7, 11), 1, metrics, 0) == 8
        assert [r["step"] for r in read_records(tmp_path / "metrics.jsonl")] == [7, 8]
        assert run.failure == (
            f"Tiny (seed 3): the {quantity} became {value} at step 8; try a smaller --learning-rate, a smaller --clip "
            "above 0, or another initialisation."
        )
        assert run.checkpoint_metadata(11)["failure"] == run.failure
    assert read_json(tmp_path / "failure.json") == {"message": run.failure}
    assert read_outcome(tmp_path) == run.failure


def test_a_validation_that_is_not_finite_is_a_failure(tmp_path):
    with run_state(tmp_path) as run:
        assert not run.validate(5, 0, scores(0.9, float("nan")))
    assert "the loss became nan in the validation after step 4;" in run.failure
    assert run.best is None
    assert read_outcome(tmp_path) == run.failure


def test_the_best_validation_is_the_most_accurate_then_the_one_of_least_loss_then_the_first(tmp_path):
    shown = [(0.5, 0.7), (0.9, 0.4), (0.9, 0.3), (0.9, 0.3), (0.9, 0.35), (0.7, 0.1)]
    with run_state(tmp_path) as run:
        better = [run.validate(step, 0, scores(*pair)) for step, pair in enumerate(shown, 1)]
    assert better == [True, True, True, False, False, False]
    assert (run.best_step, run.best) == (3, (0.9, -0.3))
    validations = [(r["step"], r["accuracy"], r["loss"]) for r in read_records(tmp_path / "metrics.jsonl")]
    assert validations == [(step, *pair) for step, pair in enumerate(shown, 1)]


def test_the_kept_parameters_are_copies_in_memory_and_on_disk(tmp_path):
    params = {"w": np.arange(3.0)}
    with run_state(tmp_path) as run:
        run.keep(params)
    params["w"] += 1
    assert_same(run.params, {"w": np.arange(3.0)})
    stored = flax.serialization.msgpack_restore((tmp_path / "params.msgpack").read_bytes())
    assert_same(stored, {"w": np.arange(3.0)})


def test_resuming_removes_what_was_written_after_the_checkpoint(tmp_path):
    run, metadata = trained(tmp_path)
    assert json.loads(json.dumps(metadata)) == metadata
    assert (metadata["step"], metadata["best"], metadata["best_step"], metadata["failure"]) == (
        3,
        [0.75, -0.5],
        3,
        None,
    )
    before = {name: (tmp_path / name).read_bytes() for name in RECORDS}
    assert metadata["bytes"] == {name: len(content) for name, content in before.items()}
    params = (tmp_path / "params.msgpack").read_bytes()

    with run_state(tmp_path, metadata) as later:
        later.record(range(3, 5), 0, FINITE, 0)
        later.fail("loss", float("nan"), "at step 5")
    for name in ("diverged.json", "result.json"):
        write_json(tmp_path / name, {})
    with (tmp_path / "gradients.jsonl").open("a") as file:
        file.write('{"step": 4, "torn')

    with run_state(tmp_path, metadata) as again:
        assert {name: (tmp_path / name).read_bytes() for name in RECORDS} == before
        assert {path.name for path in tmp_path.iterdir()} == {*RECORDS, "params.msgpack"}
        assert (again.failure, again.best, again.best_step) == (None, run.best, run.best_step)
        again.record(range(3, 4), 0, FINITE, 3)
    assert (tmp_path / "params.msgpack").read_bytes() == params
    assert [r["step"] for r in read_records(tmp_path / "metrics.jsonl") if r["kind"] == "train"] == [0, 1, 2, 3]
    assert read_outcome(tmp_path) is None


def test_the_best_validation_survives_resuming(tmp_path):
    _, metadata = trained(tmp_path)
    with run_state(tmp_path, metadata) as again:
        assert not again.validate(8, 0, scores(0.75, 0.5))
        assert again.validate(9, 0, scores(0.75, 0.4))


def test_parameters_written_after_the_checkpoint_are_removed(tmp_path):
    with run_state(tmp_path) as run:
        metadata = run.checkpoint_metadata(0)
    trained(tmp_path)
    assert (tmp_path / "params.msgpack").exists()
    with run_state(tmp_path, metadata) as again:
        assert again.best is None
    assert {path.name for path in tmp_path.iterdir()} == set(RECORDS)
    assert all((tmp_path / name).stat().st_size == 0 for name in RECORDS)


def test_a_run_that_starts_anew_removes_all_earlier_files(tmp_path):
    run, _ = trained(tmp_path)
    run.fail("loss", float("nan"), "at step 5")
    for name in ("diverged.json", "result.json"):
        write_json(tmp_path / name, {})
    with run_state(tmp_path) as anew:
        assert (anew.failure, anew.best, anew.best_step, anew.params) == (None, None, 0, None)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(RECORDS, b"")


def test_a_failed_run_stays_failed(tmp_path):
    with run_state(tmp_path) as run:
        run.fail("gradient", float("inf"), "at step 2")
        write_json(tmp_path / "diverged.json", {"step": 2})
        metadata = run.checkpoint_metadata(4)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with run_state(tmp_path, metadata) as again:
        assert again.failure == run.failure
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert set(before) == {*RECORDS, "failure.json", "diverged.json"}


@pytest.mark.parametrize("harm", ["cut", "removed"])
@pytest.mark.parametrize("name", RECORDS)
def test_records_that_are_shorter_than_at_the_checkpoint_are_refused(name, harm, tmp_path):
    with run_state(tmp_path) as run:
        run.record(range(3), 0, FINITE, 0)
        (tmp_path / "gradients.jsonl").write_text('{"step": 0}\n')
        metadata = run.checkpoint_metadata(3)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if harm == "cut":
        (tmp_path / name).write_bytes(content[:-1])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    message = rf"{name}' is shorter than it was at the last checkpoint; restore it, or remove the run folder and run "
    message += r"again\.$"
    with pytest.raises(UserError, match=message), run_state(tmp_path, metadata):
        pass
    assert (tmp_path / name).exists() == (harm == "cut")
    assert all((tmp_path / other).read_bytes() == kept for other, kept in before.items())


def test_outcomes(tmp_path):
    assert read_outcome(tmp_path / "never begun") is None
    assert read_outcome(tmp_path) is None
    write_json(tmp_path / "failure.json", {"message": "broken"})
    assert read_outcome(tmp_path) == "broken"
    write_json(tmp_path / "result.json", {})
    assert read_outcome(tmp_path) == ""


def test_tensorboard_events_are_written_on_request(tmp_path):
    settings = dataclasses.replace(SETTINGS, tensorboard=True)
    with run_state(tmp_path, spec=dataclasses.replace(SPEC, settings=settings)):
        pass
    assert list((tmp_path / "tensorboard").iterdir())
