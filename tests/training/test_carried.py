"""One long sequence in windows: the state is carried on, the gradient is not (Williams & Peng 1990)."""

import dataclasses
import os
import signal

import jax
import numpy as np
import pytest
from carried import DATASET, LSTM, SETTINGS, STREAMS, WINDOW, make_model
from sequences import assert_close, assert_same, slow_unless
from studies import make_spec, mesh_layout, pmap_layout, run

from rnnjax.config.execution import Execution
from rnnjax.data.streams import stream_chunks
from rnnjax.runs.checkpoint_store import CheckpointStore
from rnnjax.runs.json_io import read_records
from rnnjax.runtime.signals import SignalHandler, StoppedError
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.checkpointing import CheckpointPolicy, TrainProgress
from rnnjax.training.ensemble import load_ensembles
from rnnjax.training.evaluate import evaluate
from rnnjax.training.run_state import RunState
from rnnjax.training.setup import EVAL_BATCH_FACTOR, select_member, set_up_ensemble, stack_trees
from rnnjax.training.step.state import STATE_ROLES, Batch, traced_hparams
from rnnjax.training.step.train_step import RESTART_SHARE, restarted_streams
from rnnjax.training.train_loop import train

pytestmark = pytest.mark.slow

# training windows as 3 streams, those of the other splits as 12
COUNTS = [len(part.lengths) for part in DATASET[:3]]
STILL = dataclasses.replace(SETTINGS, learning_rate=1e-30, log_gradients_every=0)


def make_ensemble(settings=SETTINGS, cell=LSTM, seeds=(0,)):
    specs = [make_spec(DATASET, cell, settings, seed=seed) for seed in seeds]
    (ensemble,) = load_ensembles(tuple(dataclasses.replace(spec, make_model=make_model) for spec in specs))
    return ensemble


MODEL = make_model(DATASET.sizes, LSTM)


@pytest.fixture(scope="module")
def setup():
    return set_up_ensemble(make_ensemble(), mesh_layout(1))


@pytest.fixture(scope="module")
def trained(setup, tmp_path_factory):
    """(member, final progress) of a whole run; not to be changed."""
    (member,), done = run(setup, tmp_path_factory.mktemp("trained"))
    return member, done


def losses_of_one_pass(params, part, rows):
    """The loss of each of the windows ``rows`` of a stream, read in one pass from the first to the last."""
    logits = jax.jit(MODEL.apply)({"params": params}, part.inputs[rows].reshape(1, -1))[1]
    logits = np.asarray(logits, np.float64).reshape(len(rows), WINDOW, -1)
    nats = np.log(np.exp(logits).sum(axis=-1))
    nats -= np.take_along_axis(logits, part.labels[rows][..., None], axis=-1)[..., 0]
    return nats.mean(axis=1)


def streams(count, size):
    """The windows of each stream, leaving out streams without any."""
    (chunk,) = stream_chunks(count, batch_size=size, steps_per_chunk=-(-count // size))
    rows = [chunk.indices[:, i][chunk.weights[:, i] == 1] for i in range(size)]
    return [windows for windows in rows if len(windows)]


def records_of_kind(kind, folder):
    return [record for record in read_records(folder / "metrics.jsonl") if record["kind"] == kind]


def test_the_streams_have_different_lengths():
    assert COUNTS == [29, 21, 34]
    assert [len(rows) for rows in streams(COUNTS[0], STREAMS)] == [10, 10, 9]
    assert {len(rows) for rows in streams(COUNTS[1], 12)} == {1, 2}


def losses_from_starts(params, rows, starts):
    """The loss of each of the windows ``rows`` of a training stream that begins anew at the positions ``starts``."""
    ends = [*starts[1:], len(rows)]
    parts = [rows[start:end] for start, end in zip(starts, ends, strict=True)]
    return np.concatenate([losses_of_one_pass(params, DATASET.train, part) for part in parts])


def test_a_stream_restarts_with_the_given_probability_and_the_same_ones_for_the_same_key():
    keys = [jax.random.key_data(jax.random.key(seed)) for seed in (0, 1)]
    draw = jax.jit(jax.vmap(lambda key, step: restarted_streams(key, step, 64), (None, 0)))
    first, again, other = (np.asarray(draw(key, np.arange(200))) for key in (keys[0], keys[0], keys[1]))
    assert_same(first, again)
    assert (first != other).any()
    assert abs(first.mean() - RESTART_SHARE) < 4 * np.sqrt(RESTART_SHARE / first.size)
    assert first.any(axis=1).any()
    assert not first.all(axis=1).any()


def test_the_losses_of_windows_are_those_of_one_long_pass_from_every_start(setup, tmp_path):
    """Without learning: streams begin from zeros at the start of every epoch and where they are restarted at random."""
    spec = dataclasses.replace(setup.ensemble.specs[0], settings=STILL)
    hparams = stack_trees([traced_hparams(STILL, jax.random.key(1))])
    still = setup._replace(
        ensemble=setup.ensemble._replace(specs=(spec,)), hparams=setup.layout.put(ShardingRole.MEMBER, hparams)
    )
    (member,), done = run(still, tmp_path)
    params = select_member(setup.initial_state.params, 0)
    unmoved = zip(*map(jax.tree.leaves, (setup.layout.fetch(done.state.params), stack_trees([params]))), strict=True)
    assert all(np.max(np.abs(a - b)) < 1e-20 for a, b in unmoved)
    (chunk,) = stream_chunks(COUNTS[0], batch_size=STREAMS, steps_per_chunk=COUNTS[0])
    in_epoch, key, expected, restarts = setup.steps // 2, hparams.key[0], [], 0
    for epoch in range(2):
        drawn = np.stack([restarted_streams(key, epoch * in_epoch + k, STREAMS) for k in range(in_epoch)])
        by_window = np.full(COUNTS[0], np.nan)
        for stream, rows in enumerate(streams(COUNTS[0], STREAMS)):
            starts = sorted({0, *np.flatnonzero(drawn[: len(rows), stream]).tolist()})
            restarts += len(starts) - 1
            by_window[rows] = losses_from_starts(params, rows, starts)
        batches = zip(chunk.indices, chunk.weights, strict=True)
        expected += [by_window[row[weight == 1]].mean() for row, weight in batches if weight.any()]
    losses = [record["loss"] for record in records_of_kind("train", member.folder)]
    assert restarts > 0
    assert len(expected) == len(losses) == setup.steps
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    from_zeros = losses_of_one_pass(params, DATASET.train, np.array([1]))  # without the window before
    assert abs(by_window[1] - from_zeros[0]) > 1e-4


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_carries_through_all_windows(setup, trained, split):
    params = trained[0].params
    part = getattr(DATASET, split)
    (scores,) = evaluate(setup, split, setup.layout.put(ShardingRole.PARAMS, stack_trees([params])))
    losses = [
        losses_of_one_pass(params, part, rows) for rows in streams(len(part.lengths), EVAL_BATCH_FACTOR * STREAMS)
    ]
    assert scores.loss == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)
    assert 0 < scores.accuracy < 1
    assert len(scores.correct) == len(part.lengths)


LAYOUTS = {
    "jit, 2": lambda members: mesh_layout(members, data=2),
    "jit, 8": lambda members: mesh_layout(members, data=8),
    "pmap, 2": lambda members: pmap_layout(members, 2),
    "pmap, 8": lambda members: pmap_layout(members, 8, together="vmap"),
    "sharded": lambda members: mesh_layout(members, data=2, model=2),
}


@pytest.mark.parametrize(
    "name", ["pmap, 2", *(pytest.param(n, marks=pytest.mark.slow) for n in ("jit, 2", "jit, 8", "pmap, 8", "sharded"))]
)
def test_streams_may_be_divided_over_devices(name, setup, trained, tmp_path):
    """Neither 2 nor 8 devices divide the three streams of training evenly, nor 8 the twelve of evaluation."""
    member, done = trained
    divided = set_up_ensemble(make_ensemble(dataclasses.replace(SETTINGS, log_gradients_every=0)), LAYOUTS[name](1))
    assert divided.batch_size > STREAMS
    (divided_member,), divided_done = run(divided, tmp_path)
    expected, actual = (setup.layout.fetch(done.state), divided.layout.fetch(divided_done.state))
    assert_close(actual.params, expected.params, 1e-5)
    assert_close(actual.carry, expected.carry, 1e-5)  # without padding, so that a checkpoint fits any devices
    for kind in ("train", "validation"):
        rows, expected_rows = (
            [list(r.values()) for r in records_of_kind(kind, run_state.folder)]
            for run_state in (divided_member, member)
        )
        for a, b in zip(rows, expected_rows, strict=True):
            assert a[:1] == b[:1]
            assert a[1:] == pytest.approx(b[1:], rel=1e-4, abs=1e-5)
    for split in ("validation", "test"):
        a, b = (
            evaluate(s, split, s.layout.put(ShardingRole.PARAMS, stack_trees([member.params])))[0]
            for s in (divided, setup)
        )
        assert a[:2] == pytest.approx(b[:2], rel=1e-5)


@pytest.mark.slow
def test_the_origin_of_a_divergence_is_searched_with_the_carried_state(setup, trained):
    state = select_member(setup.layout.fetch(trained[1].state), 0)
    batch = Batch(*[array[:STREAMS] for array in DATASET.train[:3]], np.ones(STREAMS, np.float32))
    blown_up = state._replace(step=np.int32(1), carry=jax.tree.map(lambda a: np.full_like(a, np.inf), state.carry))
    assert setup.programs.origin(blown_up, setup.keys[0], batch)[:4] == ("forward", "recurrent", None, 0)
    restarted = blown_up._replace(step=np.int32(setup.steps // 2))
    assert setup.programs.origin(restarted, setup.keys[0], batch).layer is None  # all is finite


@pytest.mark.parametrize("step", [slow_unless(False, 2), 6, slow_unless(False, 14)])
def test_a_run_that_was_stopped_resumes_with_its_carried_states(setup, trained, tmp_path, step):
    (spec,) = setup.ensemble.specs

    def train_from(store, signals, on_progress):
        checkpoints = CheckpointPolicy(store, Execution(checkpoint_minutes=0), setup, signals)
        restored = checkpoints.restore()
        initial = TrainProgress(0, setup.layout.put(STATE_ROLES, setup.initial_state), 0.0)
        metadata = restored.metadata[0] if restored else None
        member = RunState(spec, tmp_path / spec.name, metadata, objective=DATASET.objective)
        if restored and member.best:
            member.keep(select_member(restored.best_params, 0))
        try:
            initial = restored.progress if restored else initial
            done = train(setup, [member], initial, checkpoints=checkpoints, on_progress=on_progress)
            return member, initial.step, done
        finally:
            member.writer.close()

    def stop(done, loss):
        if done >= step and not signals.requested:
            os.kill(os.getpid(), signal.SIGTERM)

    with CheckpointStore(tmp_path / "checkpoints", keep=2, warn=pytest.fail) as store:
        with pytest.raises(StoppedError), SignalHandler() as signals, signals.deferred():
            train_from(store, signals, stop)
        member, first_step, done = train_from(store, SignalHandler(), lambda done, loss: None)
    assert step <= first_step < setup.steps
    assert_same(*(setup.layout.fetch(progress.state) for progress in (done, trained[1])))
    assert_same(member.params, trained[0].params)
    for name in ("metrics.jsonl", "gradients.jsonl"):
        assert (member.folder / name).read_bytes() == (trained[0].folder / name).read_bytes()
