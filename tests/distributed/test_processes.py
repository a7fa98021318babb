"""Several processes compute what one does, and end together."""

import signal
import time
from pathlib import Path

import flax.serialization
import jax
import numpy as np
import pytest
from local_processes import Launcher, free_port, outcomes, processes, records, statuses, wait_for_records

from rnnjax.distributed.initialize import HEARTBEAT_TIMEOUT

SHORT = ("--steps", "12", "--epochs", "1", "--validate-every", "5", "--log-gradients-every", "4")
LONG = ("--steps", "300", "--epochs", "1", "--validate-every", "100", "--checkpoint-every", "50")
ENDLESS = ("--steps", "500", "--epochs", "40", "--checkpoint-every", "50", "--log-gradients-every", "0")
LOST = ("Another of the 2 processes has ended or failed", "JAX distributed service detected fatal errors")


@pytest.fixture
def launcher(tmp_path):
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.close()


def assert_close(actual, expected, **tolerance):
    def check(a, b):
        if isinstance(b, str) or b is None:
            assert a == b
        else:
            np.testing.assert_allclose(a, b, **tolerance)

    jax.tree.map(check, actual, expected, is_leaf=lambda a: a is None)


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path, launcher):
    alone = tmp_path / "alone"
    assert outcomes([launcher.launch(alone, *SHORT, "--devices", "4", "--cpu-devices", "4")]) == [(0, "")]
    for parallel in ("jit", "pmap"):
        out = tmp_path / parallel
        assert statuses(launcher.launch_pair(out, *SHORT, "--parallel", parallel)) == [0, 0]
        assert not (tmp_path / f"{parallel}-second").exists()
        assert (out / "report.html").exists()
        for name in ("metrics", "gradients"):
            assert len(records(out, name)) >= 3
            assert_close(records(out, name), records(alone, name), rtol=1e-5, atol=1e-5)
        params = [
            flax.serialization.msgpack_restore((run / "members" / "lstm-seed0" / "params.msgpack").read_bytes())
            for run in (out, alone)
        ]
        assert_close(*params, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_the_run_can_be_resumed(tmp_path, launcher):
    out = tmp_path / "run"
    for killed in (1, 0):
        pair = launcher.launch_pair(out, *LONG, "--resume")
        wait_for_records(out, pair[0], 0)
        began = time.monotonic()
        pair[killed].kill()
        (status, stderr), *_ = outcomes([pair[1 - killed], pair[killed]])
        assert time.monotonic() - began < HEARTBEAT_TIMEOUT + 30
        assert status not in (0, None)
        assert any(sentence in stderr for sentence in LOST)
        assert "Traceback" not in stderr
    pair = launcher.launch_pair(out, *LONG, "--resume")
    wait_for_records(out, pair[0], 100)
    for process in pair:
        process.terminate()
    (status, stderr), (second, _) = outcomes(pair)
    assert (status, second) == (143, 143)
    assert "continue with the same flags" in stderr
    assert len(records(out)) < 300
    assert statuses(launcher.launch_pair(out, *LONG, "--resume")) == [0, 0]
    undisturbed = tmp_path / "undisturbed"
    assert statuses(launcher.launch_pair(undisturbed, *LONG)) == [0, 0]
    path = Path("members", "lstm-seed0")
    for name in ("metrics.jsonl", "gradients.jsonl", "params.msgpack"):
        assert (out / path / name).read_bytes() == (undisturbed / path / name).read_bytes()
    # the second process learns from the first that nothing is left to do
    assert statuses(launcher.launch_pair(out, *LONG, "--resume")) == [0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "process"), [(signal.SIGTERM, 0), (signal.SIGTERM, 1), (signal.SIGINT, 1)])
def test_a_signal_to_one_process_stops_all_after_the_same_step(number, process, tmp_path, launcher):
    out = tmp_path / "run"
    pair = launcher.launch_pair(out, *ENDLESS)
    wait_for_records(out, pair[0], 20)
    pair[process].send_signal(number)
    (first, stderr), (second, _) = outcomes(pair)
    assert first == second == 128 + number
    assert f"stopped by {number.name}; continue with the same flags" in stderr
    assert "Traceback" not in stderr
    newest = max(int(path.name) for path in (out / "checkpoints").rglob("*") if path.name.isdecimal())
    assert newest == records(out)[-1]["step"] + 1


@pytest.mark.slow
def test_an_exception_in_one_process_ends_the_other(tmp_path, launcher):
    failing = "import rnnjax.training.train_loop as loop; loop._run = lambda *_: 1 / 0"
    for before in ((failing, "pass"), ("pass", failing)):
        pair = launcher.launch_pair(tmp_path / "run", *ENDLESS, "--resume", before=before)
        endings = dict(zip(before, outcomes(pair), strict=True))
        status, stderr = endings[failing]
        assert status == 1
        assert "ZeroDivisionError" in stderr
        status, stderr = endings["pass"]
        assert status not in (0, None)
        assert any(sentence in stderr for sentence in LOST)


@pytest.mark.slow
def test_an_error_ends_both(tmp_path, launcher):
    out = tmp_path / "run"
    for status, stderr in outcomes(launcher.launch_pair(out, *SHORT, "--devices", "3")):
        assert status == 1
        assert stderr == "error: --devices 3: several processes use all their 4 devices.\n"
    out.mkdir()
    (out / "other").touch()
    (first, stderr), (second, stderr_of_second) = outcomes(launcher.launch_pair(out, *SHORT))
    assert first == 1
    assert stderr == f"error: The output folder {out} is not empty; give another with --out, or remove it first.\n"
    assert second not in (0, None)
    assert any(sentence in stderr_of_second for sentence in LOST)


@pytest.mark.slow
def test_a_run_that_diverged_is_reported_by_both(tmp_path, launcher):
    """The second process has no records of its own, and the first one ends later, after its report."""
    replaced = "import rnnjax.training.study as study; study._run_ensemble = lambda folder, ensemble, *_: "
    failed = (
        f"from rnnjax.runs.json_io import write_json; {replaced}[(path := folder / 'members' / spec.name).mkdir() or "
        "write_json(path / 'failure.json', {'message': 'LSTM (seed 0): the loss became nan.'}) for spec in "
        "ensemble.specs]"
    )
    pair = launcher.launch_pair(tmp_path / "run", *SHORT, before=(failed, f"{replaced}None"))
    assert outcomes(pair) == [(1, "error: LSTM (seed 0): the loss became nan.\n")] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "of_first", "of_second", "difference"),
    [
        (SHORT[2:], ("--steps", "12"), ("--steps", "13"), "--steps: 12 in the folder, 13 asked for"),
        (
            (*SHORT, "--parallel", "sharded"),
            ("--model-devices", "2"),
            ("--matmul-precision", "highest"),
            "--model-devices: 2 and 1; --matmul-precision: default and highest",
        ),
    ],
    ids=["of the experiment", "of the devices"],
)
def test_different_flags_are_refused_by_all(flags, of_first, of_second, difference, tmp_path, launcher):
    first, second = processes(free_port(), 2)
    pair = [
        launcher.launch(tmp_path / "run", *flags, *first, *of_first),
        launcher.launch(tmp_path / "second", *flags, *second, *of_second, "--checkpoint-every", "7", "--resume"),
    ]
    for status, stderr in outcomes(pair):
        assert status == 1
        assert stderr == f"error: Process 1 was started with other flags than the first ({difference}).\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_slurm_needs_no_flags(tmp_path, launcher):
    slurm = {
        "SLURM_JOB_ID": str(free_port()), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_STEP_NUM_NODES": "1",
    }  # fmt: skip
    pair = [
        launcher.launch(
            tmp_path / f"run-{i}", *SHORT, "--cpu-devices", "2",
            environment=slurm | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
        )
        for i in (0, 1)
    ]  # fmt: skip
    assert statuses(pair) == [0, 0]
    assert (tmp_path / "run-0" / "report.html").exists()
    assert not (tmp_path / "run-1").exists()
