"""The loop: the same every time, the best kept, a broken loss said."""

import json

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import assert_same

from rnnjax.training import loop
from rnnjax.training.evaluation import Scores
from rnnjax.training.records import read_records
from rnnjax.training.schedule import total_steps


def test_records_tell_every_step_in_order(tiny, tmp_path):
    told = []
    trained = tiny.train(tmp_path, progress=lambda done, loss: told.append((done, loss)))
    metrics = read_records(tmp_path / "metrics.jsonl")
    train = [record for record in metrics if record["kind"] == "train"]
    steps = total_steps(tiny.dataset.train.lengths, tiny.settings, tiny.edges) // 2
    assert [(record["step"], record["epoch"]) for record in train] == [(i, i // steps) for i in range(2 * steps)]
    assert np.isfinite([[r["loss"], r["accuracy"], r["gradient_norm"]] for r in train]).all()
    assert len({record["loss"] for record in train}) == 2 * steps

    validation = [record["step"] for record in metrics if record["kind"] == "validation"]
    assert validation == [*range(5, 2 * steps, 5), 2 * steps]
    for step in validation:  # it stands right behind the last step that it has seen
        place = next(i for i, r in enumerate(metrics) if (r["kind"], r["step"]) == ("validation", step))
        assert max(r["step"] for r in metrics[:place] if r["kind"] == "train") == step - 1

    gradients = read_records(tmp_path / "gradients.jsonl")
    assert [record["step"] for record in gradients] == sorted({*range(0, 2 * steps, 4), 2 * steps - 1})
    assert told[-1] == (2 * steps, train[-1]["loss"])
    assert trained.train_seconds > 0


def test_a_run_is_a_function_of_settings_and_seed(tiny, tmp_path):
    def files(name, **changes):
        (tmp_path / name).mkdir()
        tiny.train(tmp_path / name, **changes)
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    once = files("once")
    assert set(once) == {"metrics.jsonl", "gradients.jsonl", "params.msgpack"}
    assert files("again") == once
    other = files("other seed", seed=1)
    assert all(other[name] != once[name] for name in once)
    # Looking on changes nothing: what is logged, and how steps are cut into programs for it, leaves no trace.
    for every in (0, 1):
        watched = files(f"logged every {every}", log_gradients_every=every)
        assert {**watched, "gradients.jsonl": None} == {**once, "gradients.jsonl": None}
        assert (watched["gradients.jsonl"] == b"") == (every == 0)


def test_the_parameters_of_the_best_validation_are_kept(tiny, tmp_path, monkeypatch):
    scripted = iter([(0.5, 0.7), (0.9, 0.4), (0.9, 0.3), (0.9, 0.35), (0.7, 0.1)])
    shown = []

    def evaluate(programs, dataset, examples, split, params, settings, edges):
        assert split == "validation"
        shown.append(jax.tree.map(jnp.copy, params))
        accuracy, loss = next(scripted)
        return Scores(loss, accuracy, np.empty(0))

    monkeypatch.setattr(loop, "evaluate", evaluate)
    steps = total_steps(tiny.dataset.train.lengths, tiny.settings, tiny.edges)
    trained = tiny.train(tmp_path, validate_every=-(-steps // 5))
    assert next(scripted, None) is None
    assert (trained.best_step, trained.validation_accuracy) == (3 * -(-steps // 5), 0.9)
    assert_same(trained.params, shown[2])
    stored = flax.serialization.from_bytes(shown[0], (tmp_path / "params.msgpack").read_bytes())
    assert_same(stored, shown[2])
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(shown[2]), jax.tree.leaves(shown[4]), strict=True))


def poisoned(programs, step):
    """``programs`` in which the parameters turn to NaN before number ``step``; one step at a time."""

    def spoil(program):
        def run(key, examples, state, *rest):
            if int(state.step) == step:
                state = state._replace(params=jax.tree.map(lambda a: a * np.float32("nan"), state.params))
            return program(key, examples, state, *rest)

        return run

    return programs._replace(log={T: spoil(program) for T, program in programs.log.items()})


@pytest.mark.parametrize("step", [0, 6])
def test_a_loss_that_is_not_finite_stops_training(tiny, tmp_path, step):
    with pytest.raises(loop.TrainingDivergedError, match=rf"Tiny \(seed 3\): the loss became nan at step {step};"):
        tiny.train(tmp_path, seed=3, programs=poisoned(tiny.programs, step), log_gradients_every=1)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    train = [record for record in map(json.loads, lines) if record["kind"] == "train"]
    assert [record["step"] for record in train] == list(range(step + 1))
    assert [np.isfinite(record["loss"]) for record in train] == [True] * step + [False]
    assert [record["step"] for record in read_records(tmp_path / "gradients.jsonl")] == list(range(step))


def test_a_validation_that_is_not_finite_stops_training(tiny, tmp_path, monkeypatch):
    """The last update of a run is seen by no training loss."""
    monkeypatch.setattr(loop, "evaluate", lambda *_: Scores(float("nan"), 0.5, np.empty(0)))
    with pytest.raises(loop.TrainingDivergedError, match=r"the loss became nan in the validation after step 4;"):
        tiny.train(tmp_path)
    assert not (tmp_path / "params.msgpack").exists()
