"""One long sequence, window by window: the state goes on, the gradient does not (Williams & Peng 1990)."""

import dataclasses
import os
import signal

import jax
import numpy as np
import pytest
from carried import DATASET, LSTM, SETTINGS, STREAMS, WINDOW, make_model
from sequences import assert_close, assert_same
from studies import make_trial, mesh_layout, pmap_layout, run

from rnnjax.config.execution import Execution
from rnnjax.data.streams import stream_chunks
from rnnjax.runs.checkpoint_store import CheckpointStore
from rnnjax.runs.json_io import read_records
from rnnjax.runtime.signals import SignalHandler, StoppedError
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.checkpointing import CheckpointPolicy, TrainProgress
from rnnjax.training.ensemble import ensembles
from rnnjax.training.evaluate import evaluate
from rnnjax.training.run_state import RunState
from rnnjax.training.setup import EVAL_BATCH_FACTOR, select_member, set_up_ensemble, stack_trees
from rnnjax.training.step.train_step import STATE, Batch, traced_hparams
from rnnjax.training.train_loop import train

# training windows as 3 streams, those of the other splits as 12
COUNTS = [len(part.lengths) for part in DATASET[:3]]
STILL = dataclasses.replace(SETTINGS, learning_rate=1e-30, log_gradients_every=0)


def make_group(settings=SETTINGS, cell=LSTM, seeds=(0,)):
    trials = [make_trial(DATASET, cell, settings, seed=seed) for seed in seeds]
    (group,) = ensembles(tuple(dataclasses.replace(trial, make_model=make_model) for trial in trials))
    return group


MODEL = make_model(DATASET.sizes, LSTM)


@pytest.fixture(scope="module")
def prepared():
    return set_up_ensemble(make_group(), mesh_layout(1))


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    """(member, how far it came) of a whole run; not to be changed."""
    (member,), done = run(prepared, tmp_path_factory.mktemp("trained"))
    return member, done


def losses_of_one_pass(params, part, rows):
    """The loss of each of the windows ``rows`` of a stream, read in one pass from the first to the last."""
    logits = jax.jit(MODEL.apply)({"params": params}, part.inputs[rows].reshape(1, -1))[1]
    logits = np.asarray(logits, np.float64).reshape(len(rows), WINDOW, -1)
    nats = np.log(np.exp(logits).sum(axis=-1))
    nats -= np.take_along_axis(logits, part.labels[rows][..., None], axis=-1)[..., 0]
    return nats.mean(axis=1)


def streams(count, size):
    """The windows of each stream, those without any left out."""
    (chunk,) = stream_chunks(count, WINDOW, batch_size=size, steps_per_chunk=-(-count // size))
    rows = [chunk.indices[:, i][chunk.weights[:, i] == 1] for i in range(size)]
    return [some for some in rows if len(some)]


def of_kind(kind, folder):
    return [record for record in read_records(folder / "metrics.jsonl") if record["kind"] == kind]


def test_the_streams_are_of_unlike_length():
    assert COUNTS == [29, 21, 34]
    assert [len(rows) for rows in streams(COUNTS[0], STREAMS)] == [10, 10, 9]
    assert {len(rows) for rows in streams(COUNTS[1], 12)} == {1, 2}


def test_the_losses_of_windows_are_those_of_one_long_pass_in_every_epoch(prepared, tmp_path):
    """Nothing is learned, so that every epoch is the same, and begins with states of zero."""
    trial = dataclasses.replace(prepared.group.trials[0], settings=STILL)
    knobs = stack_trees([traced_hparams(STILL, jax.random.key(1))])
    still = prepared._replace(
        group=prepared.group._replace(trials=(trial,)), knobs=prepared.layout.put(ShardingRole.MEMBER, knobs)
    )
    (member,), done = run(still, tmp_path)
    params = select_member(prepared.fresh.params, 0)
    unmoved = zip(*map(jax.tree.leaves, (prepared.layout.fetch(done.state.params), stack_trees([params]))), strict=True)
    assert all(np.max(np.abs(a - b)) < 1e-20 for a, b in unmoved)
    by_window = np.full(COUNTS[0], np.nan)
    for rows in streams(COUNTS[0], STREAMS):
        by_window[rows] = losses_of_one_pass(params, DATASET.train, rows)
    (chunk,) = stream_chunks(COUNTS[0], WINDOW, batch_size=STREAMS, steps_per_chunk=COUNTS[0])
    steps = [by_window[row[weight == 1]].mean() for row, weight in zip(chunk.indices, chunk.weights, strict=True)
             if weight.any()]  # fmt: skip
    found = [record["loss"] for record in of_kind("train", member.folder)]
    assert prepared.steps == 2 * len(steps) == len(found)
    np.testing.assert_allclose(found, steps * 2, rtol=1e-5)
    alone = losses_of_one_pass(params, DATASET.train, np.array([1]))  # without what came before
    assert abs(by_window[1] - alone[0]) > 1e-4


@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluation_carries_through_all_windows(prepared, trained, split):
    params = trained[0].params
    part = getattr(DATASET, split)
    (scores,) = evaluate(prepared, split, prepared.layout.put(ShardingRole.PARAMS, stack_trees([params])))
    of_streams = [
        losses_of_one_pass(params, part, rows) for rows in streams(len(part.lengths), EVAL_BATCH_FACTOR * STREAMS)
    ]
    assert scores.loss == pytest.approx(np.concatenate(of_streams).mean(), rel=1e-5)
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
def test_streams_may_be_divided_over_devices(name, prepared, trained, tmp_path):
    """Three streams, which neither 2 nor 8 devices divide; of evaluation 12, which 8 do not."""
    member, done = trained
    divided = set_up_ensemble(make_group(dataclasses.replace(SETTINGS, log_gradients_every=0)), LAYOUTS[name](1))
    assert divided.batch > STREAMS
    (mine,), ended = run(divided, tmp_path)
    expected, found = (prepared.layout.fetch(done.state), divided.layout.fetch(ended.state))
    assert_close(found.params, expected.params, 1e-5)
    assert_close(found.carry, expected.carry, 1e-5)  # of the streams alone, so that a checkpoint fits any devices
    for kind in ("train", "validation"):
        told, theirs = ([list(r.values()) for r in of_kind(kind, one.folder)] for one in (mine, member))
        for a, b in zip(told, theirs, strict=True):
            assert a[:1] == b[:1]
            assert a[1:] == pytest.approx(b[1:], rel=1e-4, abs=1e-5)
    for split in ("validation", "test"):
        a, b = (
            evaluate(one, split, one.layout.put(ShardingRole.PARAMS, stack_trees([member.params])))[0]
            for one in (divided, prepared)
        )
        assert a[:2] == pytest.approx(b[:2], rel=1e-5)


def test_what_diverges_by_a_carried_state_is_found_with_that_state(prepared, trained):
    state = select_member(prepared.layout.fetch(trained[1].state), 0)
    batch = Batch(*[array[:STREAMS] for array in DATASET.train[:3]], np.ones(STREAMS, np.float32))
    blown_up = state._replace(step=np.int32(1), carry=jax.tree.map(lambda a: np.full_like(a, np.inf), state.carry))
    assert prepared.programs.origin(blown_up, batch)[:4] == ("forward", "recurrent", None, 0)
    begun_anew = blown_up._replace(step=np.int32(prepared.steps // 2))
    assert prepared.programs.origin(begun_anew, batch).layer is None  # all is finite


@pytest.mark.parametrize("step", [2, 6, 14])
def test_a_run_that_is_stopped_goes_on_with_the_states_it_had(prepared, trained, tmp_path, step):
    (trial,) = prepared.group.trials

    def train_from(store, stopping, progress):
        endurance = CheckpointPolicy(store, Execution(checkpoint_minutes=0), prepared, stopping)
        saved = endurance.restore()
        begun = TrainProgress(0, prepared.layout.put(STATE, prepared.fresh), 0.0)
        told = saved.told[0] if saved else None
        member = RunState(trial, tmp_path / trial.name, told, objective=DATASET.objective)
        if saved and member.best:
            member.keep(select_member(saved.params, 0))
        try:
            begun = saved.progressed if saved else begun
            return member, begun.step, train(prepared, [member], begun, endurance=endurance, progress=progress)
        finally:
            member.writer.close()

    def stop(done, loss):
        if done >= step and not stopping.requested:
            os.kill(os.getpid(), signal.SIGTERM)

    with CheckpointStore(tmp_path / "checkpoints", keep=2, warn=pytest.fail) as store:
        with pytest.raises(StoppedError), SignalHandler() as stopping, stopping.deferred():
            train_from(store, stopping, stop)
        member, began, done = train_from(store, SignalHandler(), lambda done, loss: None)
    assert step <= began < prepared.steps
    assert_same(*(prepared.layout.fetch(one.state) for one in (done, trained[1])))
    assert_same(member.params, trained[0].params)
    for name in ("metrics.jsonl", "gradients.jsonl"):
        assert (member.folder / name).read_bytes() == (trained[0].folder / name).read_bytes()
