"""Members of an ensemble train exactly as if each were trained alone."""

import dataclasses

import jax
import numpy as np
import pytest
from sequences import assert_same
from studies import SETTINGS, Tiny, make_dataset, make_ensemble, make_spec, mesh_layout, run

import rnnjax
from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.runs.json_io import read_json, read_records
from rnnjax.runs.schema import RECORDS
from rnnjax.sharding.program_spec import WHOLE_BATCH, ShardingRole
from rnnjax.training.ensemble import plan_ensembles
from rnnjax.training.evaluate import evaluate
from rnnjax.training.setup import select_member, set_up_ensemble, stack_trees
from rnnjax.training.step.multi_step import example_arrays
from rnnjax.training.step.state import traced_hparams

pytestmark = pytest.mark.slow

NO_LOG = dataclasses.replace(SETTINGS, log_gradients_every=0)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def records_of_kind(kind, folder):
    return [record for record in read_records(folder / "metrics.jsonl") if record["kind"] == kind]


@pytest.fixture(scope="module")
def pair():
    """Two runs that share a program, whose numbers tests change."""
    cell, dataset = rnnjax.SimpleRNN(4, activation="relu", recurrent_dropout=0.2), make_dataset()
    trials = [make_spec(dataset, cell, NO_LOG, seed=seed) for seed in (0, 1)]
    return set_up_ensemble(make_ensemble(*trials), mesh_layout(2))


def train_pair(pair, folder, *rates, progress=lambda done, loss: None):
    trials = [
        dataclasses.replace(trial, settings=dataclasses.replace(trial.settings, learning_rate=rate))
        for trial, rate in zip(pair.ensemble.specs, rates, strict=True)
    ]
    keys = [jax.random.wrap_key_data(key) for key in pair.keys]
    knobs = stack_trees([traced_hparams(trial.settings, key) for trial, key in zip(trials, keys, strict=True)])
    changed = pair._replace(
        ensemble=pair.ensemble._replace(specs=tuple(trials)), hparams=pair.layout.put(ShardingRole.MEMBER, knobs)
    )
    return run(changed, folder, progress=progress)


def without_origin(pair):
    """The search for the origin would be compiled for seconds."""
    origin = Origin("forward", "recurrent", "h", 0, None)
    return pair._replace(programs=pair.programs._replace(origin=lambda state, key, batch: origin))


@pytest.mark.parametrize("broken", [0, 1])
def test_a_member_that_breaks_does_not_touch_the_other(pair, tmp_path, broken):
    rates = [0.02, 0.02]
    members, done = train_pair(pair, tmp_path / "sound", *rates)
    expected = [files(member.folder) for member in members]
    assert all(member.failure is None for member in members)
    rates[broken] = 1e30
    members, later = train_pair(pair, tmp_path / "broken", *rates)
    assert files(members[1 - broken].folder) == expected[1 - broken]
    params = [select_member(pair.layout.fetch(progressed.state.params), 1 - broken) for progressed in (done, later)]
    assert_same(params[1], params[0])
    assert members[1 - broken].failure is None

    member = members[broken]
    steps = [record["step"] for record in records_of_kind("train", member.folder)]
    assert steps == list(range(len(steps)))
    assert 1 <= len(steps) < pair.steps
    assert f"Tiny (seed {broken}): the " in member.failure
    assert f"at step {steps[-1]};" in member.failure
    assert read_json(member.folder / "failure.json") == {"message": member.failure}
    assert read_json(member.folder / "diverged.json")["step"] == steps[-1]
    assert max([record["step"] for record in records_of_kind("validation", member.folder)], default=0) <= steps[-1]


def test_the_loss_that_is_shown_is_the_mean_over_those_who_train(pair, tmp_path):
    calls = []
    members, done = train_pair(without_origin(pair), tmp_path, 0.02, 1e30, progress=lambda *now: calls.append(now))
    sound, broken = ({r["step"]: r["loss"] for r in records_of_kind("train", member.folder)} for member in members)
    assert [now for now, _ in calls] == sorted({now for now, _ in calls})
    for now, loss in calls:
        step = now - 1
        both = [losses[step] for losses in (sound, broken) if step in losses and max(broken) > step]
        assert loss == pytest.approx(np.mean(both or [sound[step]]), rel=1e-6)
    assert done.step == pair.steps


def test_when_all_have_broken_training_ends(pair, tmp_path):
    members, done = train_pair(without_origin(pair), tmp_path, 1e30, 1e30)
    assert all(member.failure for member in members)
    assert done.step < pair.steps


def outcomes(prepared, folder):
    """For each member: its records on disk, its last parameters, and their scores of the test split."""
    members, done = run(prepared, folder)
    params = prepared.layout.fetch(done.state.params)
    scores = evaluate(prepared, "test", done.state.params)
    return [
        ([read_records(member.folder / name) for name in RECORDS], select_member(params, i), scores[i][:2])
        for i, member in enumerate(members)
    ]


def assert_outcomes_close(actual, expected):
    for value, wanted in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if isinstance(wanted, str | int):
            assert value == wanted
        else:
            assert value == pytest.approx(wanted, rel=1e-5, abs=1e-5, nan_ok=True)


def compiled(*trials, member_loop="map"):
    return set_up_ensemble(make_ensemble(*trials), mesh_layout(len(trials), together=member_loop))


@pytest.mark.slow
def test_eight_seeds_at_once_are_eight_runs_alone(tmp_path):
    """Each with reviews of its own."""
    trials = [make_spec(make_dataset(seed), rnnjax.LSTM(4, recurrent_dropout=0.2), seed=seed) for seed in range(8)]
    program = compiled(trials[0])
    expected = []
    for trial in trials:
        alone = Tiny(program).changed(seed=trial.seed)
        examples = alone.layout.put(ShardingRole.SHARED, example_arrays(trial.make_dataset(), 7))
        alone = alone._replace(ensemble=make_ensemble(trial), examples=examples)
        expected += outcomes(alone, tmp_path / "alone")
    assert len({records[0][-1]["loss"] for records, *_ in expected}) == 8
    for member_loop in ("map", "vmap"):
        actual = outcomes(compiled(*trials, member_loop=member_loop), tmp_path / member_loop)
        assert_outcomes_close(actual, expected)


@pytest.mark.slow
def test_cells_that_begin_differently_are_the_cells_alone(tmp_path):
    cells = [rnnjax.LSTM(4), rnnjax.LSTM(4, forget_bias=0.0), rnnjax.LSTM(4, chrono=9)]
    trials = [make_spec(make_dataset(), cell, NO_LOG, label=str(i)) for i, cell in enumerate(cells)]
    assert plan_ensembles(trials) == [tuple(trials)]
    actual = outcomes(compiled(*trials), tmp_path / "together")
    assert len({scores[0] for *_, scores in actual}) == 3
    for i, trial in enumerate(trials):
        assert_outcomes_close(actual[i : i + 1], outcomes(compiled(trial), tmp_path / "alone"))


@pytest.mark.parametrize(
    ("numbers", "norm"),
    [
        ([3.0, 4.0], 5.0), ([3e25, 4e25], 5e25), ([3e-15, 4e-15], 5e-15), ([0.0, 0.0], 0.0), ([2e38, 2e38], 2.8284e38),
        ([np.inf, 1.0], np.inf), ([np.nan, 1e25], np.nan),
    ],
)  # fmt: skip
def test_the_norm_of_a_gradient_is_right_where_its_square_is_too_large(numbers, norm):
    first, second = np.array(numbers, np.float32)
    tree = {"a": {"w": np.array([[first]])}, "b": np.array([second])}
    np.testing.assert_allclose(jax.jit(WHOLE_BATCH.global_norm)(tree), norm, rtol=1e-4)
