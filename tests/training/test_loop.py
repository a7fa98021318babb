"""The loop: the same every time, the best kept, a broken loss said."""

import json

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import assert_close, assert_same

from rnnjax.training import loop
from rnnjax.training.evaluation import Scores
from rnnjax.training.examination import examination
from rnnjax.training.records import read_records
from rnnjax.training.schedule import schedule, total_steps


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
    logged = sorted({*range(0, 2 * steps, 4), 2 * steps - 1})
    assert [record["step"] for record in gradients] == logged
    updates = [record for record in metrics if record["kind"] == "updates"]
    assert [(record["step"], record["epoch"]) for record in updates] == [(i, i // steps) for i in logged]
    blocks = {"Embed_0/embedding", "recurrent/cell/w_x", "recurrent/cell/w_h", "recurrent/cell/b", "Dense_0/kernel"}
    for record in updates:
        assert set(record["ratios"]) == blocks | {"Dense_0/bias"}
        assert all(0 < record["ratios"][block] < 1 for block in blocks - {"recurrent/cell/b"})
    assert told[-1] == (2 * steps, train[-1]["loss"])
    assert trained.train_seconds > 0


def test_a_run_is_a_function_of_settings_and_seed(tiny, tmp_path):
    def files(name, **changes):
        (tmp_path / name).mkdir()
        tiny.train(tmp_path / name, **changes)
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    once = files("once")
    assert set(once) == {"metrics.jsonl", "gradients.jsonl", "params.msgpack", "diagnosis-start.json"}
    assert files("again") == once
    other = files("other seed", seed=1)
    assert all(other[name] != once[name] for name in once)


def test_looking_on_changes_nothing(tiny, tmp_path):
    """But the last bits: on some processors the program of a step that is logged rounds differently."""

    def run(every):
        (tmp_path / str(every)).mkdir()
        trained = tiny.train(tmp_path / str(every), log_gradients_every=every)
        metrics = read_records(tmp_path / str(every) / "metrics.jsonl")
        losses = [(r["kind"], r["step"], r["loss"]) for r in metrics if r["kind"] != "updates"]
        return losses, trained.params, read_records(tmp_path / str(every) / "gradients.jsonl")

    losses, params, gradients = run(0)
    assert not gradients
    for every in (1, 4):
        watched, watched_params, gradients = run(every)
        assert gradients
        assert [row[:2] for row in watched] == [row[:2] for row in losses]
        np.testing.assert_allclose([row[2] for row in watched], [row[2] for row in losses], rtol=1e-4)
        assert_close(watched_params, params, 1e-4)


def test_a_member_is_examined_before_its_first_step(tiny, tmp_path):
    tiny.train(tmp_path, seed=5, epochs=1)
    key, _ = jax.random.split(jax.random.key(5))
    expected = examination(tiny.programs, tiny.dataset, tiny.examples, tiny.programs.init(key).params, step=0)
    assert (tmp_path / "diagnosis-start.json").read_text() == json.dumps(expected, indent=2) + "\n"


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


def with_nan(params):
    return jax.tree.map(lambda a: a * np.float32("nan"), params)


def with_an_enormous_slope(params):
    """A state and a logit of 0; the gradient is near the end of float32 at the last step, and past it one step back."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    w_h = 10 * jnp.eye(len(zeros["recurrent"]["cell"]["w_h"]))
    recurrent = {"cell": zeros["recurrent"]["cell"] | {"w_h": w_h}}
    return zeros | {"recurrent": recurrent, "Dense_0": zeros["Dense_0"] | {"kernel": zeros["Dense_0"]["kernel"] + 3e38}}


def poisoned(programs, step, spoilt=with_nan):
    """``programs`` in which the parameters are spoilt before number ``step``; one step at a time."""

    def spoil(program):
        def run(key, examples, state, *rest):
            if int(state.step) == step:
                state = state._replace(params=spoilt(state.params))
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
    origin = {"phase": "forward", "layer": "recurrent", "gate": "h", "timestep": 0, "step": step}
    assert json.loads((tmp_path / "diverged.json").read_text()) == origin


def test_a_gradient_that_is_not_finite_under_a_loss_that_is_stops_training(tiny, tmp_path):
    with pytest.raises(loop.TrainingDivergedError, match=r"Tiny \(seed 3\): the gradient became \w+ at step 2;"):
        tiny.train(tmp_path, seed=3, programs=poisoned(tiny.programs, 2, with_an_enormous_slope), log_gradients_every=1)
    *_, last = [r for r in read_records(tmp_path / "metrics.jsonl") if r["kind"] == "train"]
    assert last["step"] == 2
    assert last["loss"] == pytest.approx(np.log(2))
    assert not np.isfinite(last["gradient_norm"])
    lengths = tiny.dataset.train.lengths
    segments = schedule(lengths, tiny.settings, edges=tiny.edges, seed=3)
    segment = next(s for s in segments if s.step <= 2 < s.end)
    rows = segment.chunk.indices[segment.start + 2 - segment.step]
    origin = {
        "phase": "backward",
        "layer": "recurrent",
        "gate": "h",
        "timestep": int(lengths[rows].max()) - 2,
        "step": 2,
    }
    assert json.loads((tmp_path / "diverged.json").read_text()) == origin


def test_a_validation_that_is_not_finite_stops_training(tiny, tmp_path, monkeypatch):
    """The last update of a run is seen by no training loss."""
    monkeypatch.setattr(loop, "evaluate", lambda *_: Scores(float("nan"), 0.5, np.empty(0)))
    with pytest.raises(loop.TrainingDivergedError, match=r"the loss became nan in the validation after step 4;"):
        tiny.train(tmp_path)
    assert not (tmp_path / "params.msgpack").exists()
