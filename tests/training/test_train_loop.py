"""The training loop: it is reproducible, keeps the best parameters, and reports numbers that are not finite."""

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import assert_close, assert_same
from studies import SETTINGS

from rnnjax.runs.json_io import read_json, read_records
from rnnjax.runs.reader import read_outcome
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training import train_loop
from rnnjax.training.evaluate import Scores
from rnnjax.training.schedule import schedule
from rnnjax.training.setup import select_member, stack_trees


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def records_of_kind(kind, folder):
    return [record for record in read_records(folder / "metrics.jsonl") if record["kind"] == kind]


def test_records_have_every_step_in_order(tiny, tmp_path):
    reported = []
    member, done = tiny.train(tmp_path, progress=lambda done, loss: reported.append((done, loss)))
    metrics = read_records(member.folder / "metrics.jsonl")
    train = [record for record in metrics if record["kind"] == "train"]
    total = tiny.setup.steps
    assert total == 20
    assert [(record["step"], record["epoch"]) for record in train] == [(i, i // (total // 2)) for i in range(total)]
    assert np.isfinite([[r["loss"], r["accuracy"], r["gradient_norm"]] for r in train]).all()
    assert len({record["loss"] for record in train}) == total

    validation = [record["step"] for record in metrics if record["kind"] == "validation"]
    assert validation == sorted({*range(5, total, 5), total})
    for step in validation:  # its record follows that of the last step before it
        position = next(i for i, r in enumerate(metrics) if (r["kind"], r["step"]) == ("validation", step))
        assert max(r["step"] for r in metrics[:position] if r["kind"] == "train") == step - 1

    gradients = read_records(member.folder / "gradients.jsonl")
    logged = sorted({*range(0, total, 4), total - 1})
    assert [record["step"] for record in gradients] == logged
    updates = [record for record in metrics if record["kind"] == "updates"]
    assert [(record["step"], record["epoch"]) for record in updates] == [(i, i // (total // 2)) for i in logged]
    blocks = {"Embed_0/embedding", "recurrent/cell/w_x", "recurrent/cell/w_h", "recurrent/cell/b", "Dense_0/kernel"}
    for record in updates:
        assert set(record["ratios"]) == blocks | {"Dense_0/bias"}
        assert all(0 < record["ratios"][block] < 1 for block in blocks - {"recurrent/cell/b"})
    assert reported[-1] == (total, train[-1]["loss"])
    assert (done.step, int(done.state.step[0])) == (total, total)
    assert done.seconds > 0


def test_a_run_is_a_function_of_settings_and_seed(tiny, tmp_path):
    def trained(name, **changes):
        member, _ = tiny.train(tmp_path / name, **changes)
        return files(member.folder)

    once = trained("once")
    assert set(once) == {"metrics.jsonl", "gradients.jsonl", "params.msgpack"}
    assert trained("again") == once
    for changes in ({"seed": 1}, {"learning_rate": 0.03}, {"clip": 0.01}):
        other = trained(str(changes), **changes)
        assert all(other[name] != once[name] for name in once)


def test_logging_does_not_change_training(tiny, tmp_path):
    """Up to the last bits: on some processors the program of a logged step rounds differently."""

    def trained(every):
        member, _ = tiny.train(tmp_path / str(every), log_gradients_every=every)
        metrics = read_records(member.folder / "metrics.jsonl")
        losses = [(r["kind"], r["step"], r["loss"]) for r in metrics if r["kind"] != "updates"]
        return losses, member.params, read_records(member.folder / "gradients.jsonl")

    losses, params, gradients = trained(0)
    assert not gradients
    for every in (1, 4):
        logged, logged_params, gradients = trained(every)
        assert gradients
        assert [row[:2] for row in logged] == [row[:2] for row in losses]
        np.testing.assert_allclose([row[2] for row in logged], [row[2] for row in losses], rtol=1e-4)
        assert_close(logged_params, params, 1e-4)


def test_the_parameters_of_the_best_validation_are_kept(tiny, tmp_path, monkeypatch):
    scripted = iter([(0.5, 0.7), (0.9, 0.4), (0.9, 0.3), (0.9, 0.35), (0.7, 0.1)])
    shown = []

    def evaluate(setup, split, params):
        assert split == "validation"
        shown.append(jax.tree.map(np.array, select_member(setup.layout.fetch(params), 0)))
        accuracy, loss = next(scripted)
        return [Scores(loss, accuracy, np.empty(0))]

    monkeypatch.setattr(train_loop, "evaluate", evaluate)
    every = -(-tiny.setup.steps // 5)
    member, _ = tiny.train(tmp_path, validate_every=every)
    assert next(scripted, None) is None
    assert (member.best_step, member.best) == (3 * every, (0.9, -0.3))
    assert_same(member.params, shown[2])
    stored = flax.serialization.from_bytes(shown[0], (member.folder / "params.msgpack").read_bytes())
    assert_same(stored, shown[2])
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(shown[2]), jax.tree.leaves(shown[4]), strict=True))


def with_nan(params):
    return jax.tree.map(lambda a: a * np.float32("nan"), params)


def with_an_enormous_slope(params):
    """State and logit are 0; the gradient is almost too large for float32 at the last step, and too large before."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    w_h = 10 * jnp.eye(len(zeros["recurrent"]["cell"]["w_h"]))
    recurrent = {"cell": zeros["recurrent"]["cell"] | {"w_h": w_h}}
    return zeros | {"recurrent": recurrent, "Dense_0": zeros["Dense_0"] | {"kernel": zeros["Dense_0"]["kernel"] + 3e38}}


def with_changed_params(tiny, step, change=with_nan):
    """Programs that change the parameters before ``step``, where every call takes one step."""
    layout = tiny.setup.layout

    def run(hparams, examples, state, *rest):
        if int(state.step[0]) == step:
            params = stack_trees([change(select_member(layout.fetch(state.params), 0))])
            state = state._replace(params=layout.put(ShardingRole.PARAMS, params))
        return tiny.programs.train(hparams, examples, state, *rest)

    return tiny.programs._replace(train=run)


@pytest.mark.parametrize("step", [0, 6])
def test_a_loss_that_is_not_finite_stops_training(tiny, tmp_path, step):
    reported = []
    member, done = tiny.train(
        tmp_path,
        seed=3,
        programs=with_changed_params(tiny, step),
        log_gradients_every=1,
        progress=lambda *report: reported.append(report),
    )
    assert member.failure.startswith(f"Tiny (seed 3): the loss became nan at step {step}; try a smaller")
    assert read_outcome(member.folder) == member.failure
    train = records_of_kind("train", member.folder)
    assert [record["step"] for record in train] == list(range(step + 1))
    assert [np.isfinite(record["loss"]) for record in train] == [True] * step + [False]
    assert [record["step"] for record in read_records(member.folder / "gradients.jsonl")] == list(range(step))
    origin = {"phase": "forward", "layer": "recurrent", "gate": "h", "timestep": 0, "step": step}
    assert read_json(member.folder / "diverged.json") == origin
    assert done.step < tiny.setup.steps  # training has ended early
    assert np.isnan(reported[-1][1])


def test_a_gradient_that_is_not_finite_under_a_loss_that_is_stops_training(tiny, tmp_path):
    programs = with_changed_params(tiny, 2, with_an_enormous_slope)
    member, _ = tiny.train(tmp_path, seed=3, programs=programs, log_gradients_every=1)
    assert "the gradient became" in member.failure
    assert "at step 2;" in member.failure
    *_, last = records_of_kind("train", member.folder)
    assert last["step"] == 2
    assert last["loss"] == pytest.approx(np.log(2))
    assert not np.isfinite(last["gradient_norm"])
    lengths = tiny.dataset.train.lengths
    segments = schedule(lengths, SETTINGS, seed=3)
    segment = next(s for s in segments if s.step <= 2 < s.end)
    rows = segment.chunk.indices[segment.start + 2 - segment.step]
    origin = {
        "phase": "backward",
        "layer": "recurrent",
        "gate": "h",
        "timestep": int(lengths[rows].max()) - 2,
        "step": 2,
    }
    assert read_json(member.folder / "diverged.json") == origin


def test_a_validation_that_is_not_finite_stops_training(tiny, tmp_path, monkeypatch):
    """No training loss depends on the last update of a run."""
    monkeypatch.setattr(train_loop, "evaluate", lambda *_: [Scores(float("nan"), 0.5, np.empty(0))])
    member, done = tiny.train(tmp_path)
    assert "the loss became nan in the validation after step 4;" in member.failure
    assert done.step == 5
    assert set(files(member.folder)) == {"metrics.jsonl", "gradients.jsonl", "failure.json"}
