"""A member's folder: what it says of itself, and how it goes on where that was true."""

import contextlib
import dataclasses
import json

import flax.serialization
import numpy as np
import pytest
from sequences import assert_same
from studies import SETTINGS, make_trial

import rnnjax
from rnnjax.errors import UserError
from rnnjax.runs.json_io import read_json, read_records, write_json
from rnnjax.runs.reader import read_outcome
from rnnjax.runs.schema import RECORDS
from rnnjax.training.evaluate import Scores
from rnnjax.training.run_state import RunState
from rnnjax.training.step.train_step import TrainMetrics

TRIAL = make_trial(None, rnnjax.LSTM(4), seed=3)
FINITE = TrainMetrics(*[np.array([0.5, 0.25, 0.75, 1.0]) for _ in range(3)])


@contextlib.contextmanager
def member(folder, told=None, trial=TRIAL):
    one = RunState(trial, folder, told)
    with contextlib.closing(one.writer):
        yield one


def scores(accuracy, loss):
    return Scores(loss, accuracy, np.empty(0))


def trained(folder, steps=3):
    """A member after some steps and one validation, and what it said."""
    with member(folder) as one:
        one.record(range(steps), 0, FINITE, 0)
        assert one.validate(steps, 0, scores(0.75, 0.5))
        one.keep({"w": np.arange(3.0)})
        return one, one.told(steps)


def test_metrics_are_written_at_their_places(tmp_path):
    with member(tmp_path) as one:
        assert one.record(range(7, 9), 1, FINITE, 2) is None
    assert read_records(tmp_path / "metrics.jsonl") == [
        {"kind": "train", "step": 7, "epoch": 1, "loss": 0.75, "accuracy": 0.75, "gradient_norm": 0.75},
        {"kind": "train", "step": 8, "epoch": 1, "loss": 1.0, "accuracy": 1.0, "gradient_norm": 1.0},
    ]


@pytest.mark.parametrize(("what", "value"), [("loss", np.nan), ("loss", np.inf), ("gradient", np.inf)])
def test_a_number_that_is_not_finite_is_the_last(tmp_path, what, value):
    field = {"loss": "loss", "gradient": "gradient_norm"}[what]
    metrics = FINITE._replace(**{field: np.array([0.5, value, 0.75, 1.0])})
    with member(tmp_path) as one:
        assert one.record(range(7, 11), 1, metrics, 0) == 8
        assert [r["step"] for r in read_records(tmp_path / "metrics.jsonl")] == [7, 8]
        assert one.failure == (
            f"Tiny (seed 3): the {what} became {value} at step 8; try a smaller --learning-rate, a smaller --clip "
            "above 0, or another initialisation."
        )
        assert one.told(11)["failure"] == one.failure
    assert read_json(tmp_path / "failure.json") == {"message": one.failure}
    assert read_outcome(tmp_path) == one.failure


def test_a_validation_that_is_not_finite_is_a_failure(tmp_path):
    with member(tmp_path) as one:
        assert not one.validate(5, 0, scores(0.9, float("nan")))
    assert "the loss became nan in the validation after step 4;" in one.failure
    assert one.best is None
    assert read_outcome(tmp_path) == one.failure


def test_the_best_is_the_most_accurate_and_of_equals_the_one_of_least_loss_and_first(tmp_path):
    shown = [(0.5, 0.7), (0.9, 0.4), (0.9, 0.3), (0.9, 0.3), (0.9, 0.35), (0.7, 0.1)]
    with member(tmp_path) as one:
        better = [one.validate(step, 0, scores(*pair)) for step, pair in enumerate(shown, 1)]
    assert better == [True, True, True, False, False, False]
    assert (one.best_step, one.best) == (3, (0.9, -0.3))
    validations = [(r["step"], r["accuracy"], r["loss"]) for r in read_records(tmp_path / "metrics.jsonl")]
    assert validations == [(step, *pair) for step, pair in enumerate(shown, 1)]


def test_the_parameters_that_are_kept_are_copies_here_and_on_disk(tmp_path):
    params = {"w": np.arange(3.0)}
    with member(tmp_path) as one:
        one.keep(params)
    params["w"] += 1
    assert_same(one.params, {"w": np.arange(3.0)})
    stored = flax.serialization.msgpack_restore((tmp_path / "params.msgpack").read_bytes())
    assert_same(stored, {"w": np.arange(3.0)})


def test_a_member_that_goes_on_forgets_what_came_after(tmp_path):
    one, told = trained(tmp_path)
    assert json.loads(json.dumps(told)) == told
    assert (told["step"], told["best"], told["best_step"], told["failure"]) == (3, [0.75, -0.5], 3, None)
    before = {name: (tmp_path / name).read_bytes() for name in RECORDS}
    assert told["bytes"] == {name: len(content) for name, content in before.items()}
    params = (tmp_path / "params.msgpack").read_bytes()

    with member(tmp_path, told) as later:
        later.record(range(3, 5), 0, FINITE, 0)
        later.fail("loss", float("nan"), "at step 5")
    for name in ("diverged.json", "result.json"):
        write_json(tmp_path / name, {})
    with (tmp_path / "gradients.jsonl").open("a") as file:
        file.write('{"step": 4, "torn')

    with member(tmp_path, told) as again:
        assert {name: (tmp_path / name).read_bytes() for name in RECORDS} == before
        assert {path.name for path in tmp_path.iterdir()} == {*RECORDS, "params.msgpack"}
        assert (again.failure, again.best, again.best_step) == (None, one.best, one.best_step)
        again.record(range(3, 4), 0, FINITE, 3)
    assert (tmp_path / "params.msgpack").read_bytes() == params
    assert [r["step"] for r in read_records(tmp_path / "metrics.jsonl") if r["kind"] == "train"] == [0, 1, 2, 3]
    assert read_outcome(tmp_path) is None


def test_what_was_not_better_than_the_checkpoint_before_a_kill_is_not_afterwards(tmp_path):
    _, told = trained(tmp_path)
    with member(tmp_path, told) as again:
        assert not again.validate(8, 0, scores(0.75, 0.5))
        assert again.validate(9, 0, scores(0.75, 0.4))


def test_parameters_from_after_the_checkpoint_are_dropped(tmp_path):
    with member(tmp_path) as one:
        told = one.told(0)
    trained(tmp_path)
    assert (tmp_path / "params.msgpack").exists()
    with member(tmp_path, told) as again:
        assert again.best is None
    assert {path.name for path in tmp_path.iterdir()} == set(RECORDS)
    assert all((tmp_path / name).stat().st_size == 0 for name in RECORDS)


def test_a_member_that_begins_anew_leaves_nothing_of_before(tmp_path):
    one, _ = trained(tmp_path)
    one.fail("loss", float("nan"), "at step 5")
    for name in ("diverged.json", "result.json"):
        write_json(tmp_path / name, {})
    with member(tmp_path) as fresh:
        assert (fresh.failure, fresh.best, fresh.best_step, fresh.params) == (None, None, 0, None)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(RECORDS, b"")


def test_a_failed_member_stays_failed(tmp_path):
    with member(tmp_path) as one:
        one.fail("gradient", float("inf"), "at step 2")
        write_json(tmp_path / "diverged.json", {"step": 2})
        told = one.told(4)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with member(tmp_path, told) as again:
        assert again.failure == one.failure
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert set(before) == {*RECORDS, "failure.json", "diverged.json"}


@pytest.mark.parametrize("harm", ["cut", "removed"])
@pytest.mark.parametrize("name", RECORDS)
def test_records_that_are_shorter_than_they_were_are_refused(name, harm, tmp_path):
    with member(tmp_path) as one:
        one.record(range(3), 0, FINITE, 0)
        (tmp_path / "gradients.jsonl").write_text('{"step": 0}\n')
        told = one.told(3)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if harm == "cut":
        (tmp_path / name).write_bytes(content[:-1])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    said = rf"{name}' is shorter than it was at the last checkpoint; restore it, or run without --resume\.$"
    with pytest.raises(UserError, match=said), member(tmp_path, told):
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


def test_events_are_written_where_they_are_asked_for(tmp_path):
    settings = dataclasses.replace(SETTINGS, tensorboard=True)
    with member(tmp_path, trial=dataclasses.replace(TRIAL, settings=settings)):
        pass
    assert list((tmp_path / "tensorboard").iterdir())
