"""Training of cells that are not elementwise: seeds together, devices, a carried state, noise, resumption, logs."""

import dataclasses
import os
import signal

import numpy as np
import pytest
from carried import DATASET, SETTINGS, WINDOW, make_model
from general_cells import Mixed, Noisy
from sequences import assert_close, assert_same
from studies import make_spec, mesh_layout, pmap_layout, run

from rnnjax.config.execution import Execution
from rnnjax.runs.checkpoint_store import CheckpointStore
from rnnjax.runs.json_io import read_records
from rnnjax.runtime.signals import SignalHandler, StoppedError
from rnnjax.training.checkpointing import CheckpointPolicy, TrainProgress
from rnnjax.training.diagnose_run import diagnose_member
from rnnjax.training.ensemble import load_ensembles
from rnnjax.training.run_state import RunState
from rnnjax.training.setup import select_member, set_up_ensemble
from rnnjax.training.step.state import STATE_ROLES, Batch
from rnnjax.training.step.train_step import restarted_streams
from rnnjax.training.train_loop import train

pytestmark = pytest.mark.slow

SEEDS, NOISY = (0, 1), Noisy(4)


def set_up(layout, cell=NOISY):
    specs = [make_spec(DATASET, cell, SETTINGS, seed=seed) for seed in SEEDS]
    (ensemble,) = load_ensembles(tuple(dataclasses.replace(spec, make_model=make_model) for spec in specs))
    return set_up_ensemble(ensemble, layout)


@pytest.fixture(scope="module")
def setup():
    return set_up(mesh_layout(2))


@pytest.fixture(scope="module")
def trained(setup, tmp_path_factory):
    """(members, final progress) of a whole run; not to be changed."""
    return run(setup, tmp_path_factory.mktemp("trained"))


def test_noise_is_drawn_in_training(setup, trained, tmp_path):
    plain = set_up(mesh_layout(2), Mixed(4))
    members, _ = run(plain, tmp_path)
    losses, noisy = (
        [record["loss"] for record in read_records(member.folder / "metrics.jsonl") if record["kind"] == "train"]
        for member in (members[0], trained[0][0])
    )
    assert len(losses) == len(noisy) == setup.steps
    assert abs(losses[0] - noisy[0]) > 1e-4
    assert all(map(np.isfinite, (*losses, *noisy)))


def test_the_log_has_the_norms_of_every_array_of_the_state_that_has_a_gradient(trained):
    records = list(read_records(trained[0][0].folder / "gradients.jsonl"))
    assert [(record["layer"], record["state"]) for record in records[:2]] == [(0, "c"), (0, "z")]
    assert {record["state"] for record in records} == {"c", "z"}
    assert all(len(record["q50"]) == WINDOW and min(record["q50"]) > 0 for record in records)


def test_the_state_is_carried_from_window_to_window(setup, trained):
    """The number of steps since a stream has started, an array of integers, is that of its windows."""
    carry = setup.layout.fetch(trained[1].state).carry
    assert carry.z.dtype == np.complex64
    half = setup.steps // 2  # of the second epoch, at which all streams start again
    for key, counted in zip(setup.keys, carry.n[..., 0], strict=True):
        starts = np.array([restarted_streams(key, half + step, len(counted)) for step in range(half)])
        starts[0] = True
        since = half - (half - 1 - np.argmax(starts[::-1], axis=0))  # windows read, the last start included
        np.testing.assert_array_equal(counted, since * WINDOW)


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(lambda: mesh_layout(2, together="vmap"), marks=pytest.mark.slow),
        lambda: mesh_layout(2, data=2),
        pytest.param(lambda: mesh_layout(2, member=2), marks=pytest.mark.slow),
        pytest.param(lambda: mesh_layout(2, data=2, model=2), marks=pytest.mark.slow),
        pytest.param(lambda: pmap_layout(2, 2), marks=pytest.mark.slow),
    ],
    ids=["vmap", "two devices", "a device each", "sharded", "pmap"],
)
def test_results_do_not_depend_on_devices_nor_on_the_other_seed(layout, setup, trained, tmp_path):
    """Neither does the noise: two devices do not divide the three streams evenly."""
    other = set_up(layout())
    _, done = run(other, tmp_path)
    expected, actual = setup.layout.fetch(trained[1].state), other.layout.fetch(done.state)
    assert_close(actual.params, expected.params, 1e-5)
    assert_close(actual.carry, expected.carry, 1e-5)


def test_a_run_that_was_stopped_resumes_bit_by_bit(setup, trained, tmp_path):
    specs = setup.ensemble.specs

    def train_from(store, signals, on_progress):
        checkpoints = CheckpointPolicy(store, Execution(checkpoint_minutes=0), setup, signals)
        restored = checkpoints.restore()
        members = [
            RunState(spec, tmp_path / spec.name, restored and restored.metadata[i], objective=DATASET.objective)
            for i, spec in enumerate(specs)
        ]
        initial = TrainProgress(0, setup.layout.put(STATE_ROLES, setup.initial_state), 0.0)
        for i, member in enumerate(members):
            if restored and member.best:
                member.keep(select_member(restored.best_params, i))
        try:
            start = restored.progress if restored else initial
            return members, train(setup, members, start, checkpoints=checkpoints, on_progress=on_progress)
        finally:
            for member in members:
                member.writer.close()

    def stop(done, loss):
        if done >= 6 and not signals.requested:
            os.kill(os.getpid(), signal.SIGTERM)

    with CheckpointStore(tmp_path / "checkpoints", keep=2, warn=pytest.fail) as store:
        with pytest.raises(StoppedError), SignalHandler() as signals, signals.deferred():
            train_from(store, signals, stop)
        members, done = train_from(store, SignalHandler(), lambda done, loss: None)
    assert_same(*(setup.layout.fetch(progress.state) for progress in (done, trained[1])))
    for member, expected in zip(members, trained[0], strict=True):
        assert_same(member.params, expected.params)
        for name in ("metrics.jsonl", "gradients.jsonl"):
            assert (member.folder / name).read_bytes() == (expected.folder / name).read_bytes()


def test_the_diagnosis_has_an_entry_for_each_state_and_none_for_gates(setup, trained):
    diagnosis = diagnose_member(setup.programs, DATASET, trained[0][0].params, step=1)
    assert [layer.name for layer in diagnosis.layers] == ["recurrent, state c", "recurrent, state z"]
    assert [layer.units for layer in diagnosis.layers] == [4, 2 * 2 * 4]
    for layer in diagnosis.layers:
        assert (layer.cell, layer.gates, layer.saturation, layer.reverse) == ("Noisy", (), None, False)
        assert np.isnan([layer.keep_at_bias, layer.horizon, layer.omega, layer.padding_read]).all()
        assert 0 <= layer.belt_share <= 1
        assert layer.by_lag.keys() == {"m", "belt", "detour", "belt_share", "decay"}
    memory, oscillator = diagnosis.layers
    assert 0 < memory.belt_share < 1
    assert oscillator.belt_share == pytest.approx(1)  # z meets no matrix product
    assert memory.lyapunov is not None
    assert memory.lyapunov.exponents.shape == (4 + 2 * 2 * 4,)


def test_the_origin_of_a_divergence_is_found_with_the_carried_state(setup, trained):
    state = select_member(setup.layout.fetch(trained[1].state), 0)
    batch = Batch(*[array[:3] for array in DATASET.train[:3]], np.ones(3, np.float32))
    blown_up = state._replace(step=np.int32(1), carry=state.carry._replace(c=np.full_like(state.carry.c, np.inf)))
    assert setup.programs.origin(blown_up, setup.keys[0], batch)[:4] == ("forward", "recurrent", None, 0)
    restarted = blown_up._replace(step=np.int32(setup.steps // 2))
    assert setup.programs.origin(restarted, setup.keys[0], batch).layer is None
