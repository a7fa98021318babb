"""Several processes train what one does, and end together."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import flax.serialization
import jax
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SHORT = ("--steps", "12", "--epochs", "1", "--validate-every", "5", "--log-gradients-every", "4")
LONG = ("--steps", "300", "--epochs", "1", "--validate-every", "100", "--checkpoint-every", "50")


def free_port():
    with socket.create_server(("", 0)) as some:
        return some.getsockname()[1]


@pytest.fixture
def launch(tmp_path):
    """Starts a process, whose attribute ``told`` is the file of what it says in stderr."""
    started = []

    def one(out, *flags):
        command = [sys.executable, "launch.py", "recall", "--cells", "lstm", "--seeds", "1", "--features", "8"]
        command += ["--batch-size", "7", "--max-distance", "20", "--platform", "cpu", "--compilation-cache", "off"]
        command += [*flags, "--out", str(out)]
        told = tmp_path / f"stderr-{len(started)}"
        with told.open("w") as stderr:
            given = os.environ | {"PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(command, cwd=ROOT, env=given, stdout=subprocess.DEVNULL, stderr=stderr)
        process.told = told
        started.append(process)
        return process

    yield one
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def launch_pair(launch):
    """Starts two processes; the second is told another folder."""

    def two(out, *flags):
        flags += ("--cpu-devices", "2", "--coordinator", f"localhost:{free_port()}", "--num-processes", "2")
        return [launch((out, f"{out}-second")[i], *flags, "--process-id", str(i)) for i in (0, 1)]

    return two


def results(pair, timeout=300):
    """(exit status, stderr) of each."""
    return [(process.wait(timeout), process.told.read_text()) for process in pair]


def records(out, name="metrics"):
    lines = (out / "members" / "lstm-seed0" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def begun(out, process, lines):
    """Wait until this process, not one before it, has written and so many records are there."""
    path, started = out / "members" / "lstm-seed0" / "metrics.jsonl", process.told.stat().st_ctime
    for _ in range(1200):
        if path.exists() and path.stat().st_mtime > started and len(path.read_text().splitlines()) > lines:
            return
        assert process.poll() is None, process.told.read_text()
        time.sleep(0.05)
    raise AssertionError("no records came")


def assert_close(found, wanted, **tolerance):
    def check(a, b):
        if isinstance(b, str) or b is None:
            assert a == b
        else:
            np.testing.assert_allclose(a, b, **tolerance)

    jax.tree.map(check, found, wanted, is_leaf=lambda a: a is None)


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path, launch, launch_pair):
    alone = tmp_path / "alone"
    assert results([launch(alone, *SHORT, "--devices", "4", "--cpu-devices", "4")]) == [(0, "")]
    for parallel in ("jit", "pmap"):
        out = tmp_path / parallel
        assert [status for status, _ in results(launch_pair(out, *SHORT, "--parallel", parallel))] == [0, 0]
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
def test_one_that_is_killed_ends_the_other_and_all_can_go_on(tmp_path, launch_pair):
    out = tmp_path / "run"
    for killed in (1, 0):
        pair = launch_pair(out, *LONG, "--resume")
        begun(out, pair[0], 0)
        began = time.monotonic()
        pair[killed].kill()
        (status, told), *_ = results([pair[1 - killed], pair[killed]])
        assert time.monotonic() - began < 10
        assert status == 1
        assert f"error: process {killed} of 2 (" in told
        assert "has ended unexpectedly; this one stops too: start all of them again with --resume.\n" in told
        assert "Traceback" not in told
    pair = launch_pair(out, *LONG, "--resume")
    begun(out, pair[0], 100)
    for process in pair:
        process.terminate()
    (status, told), (second, _) = results(pair)
    assert (status, second) == (143, 143)
    assert "continue with the same flags" in told
    assert len(records(out)) < 300
    assert [status for status, _ in results(launch_pair(out, *LONG, "--resume"))] == [0, 0]
    undisturbed = tmp_path / "undisturbed"
    assert [status for status, _ in results(launch_pair(undisturbed, *LONG))] == [0, 0]
    path = Path("members", "lstm-seed0")
    for name in ("metrics.jsonl", "gradients.jsonl", "params.msgpack"):
        assert (out / path / name).read_bytes() == (undisturbed / path / name).read_bytes()
    # what has ended already, the first knows, and the second hears of
    assert [status for status, _ in results(launch_pair(out, *LONG, "--resume"))] == [0, 0]


@pytest.mark.slow
def test_an_error_ends_both(tmp_path, launch_pair):
    out = tmp_path / "run"
    for status, told in results(launch_pair(out, *SHORT, "--devices", "3")):
        assert status == 1
        assert told == "error: --devices 3: several processes use all their 4 devices.\n"
    out.mkdir()
    (out / "other").touch()
    (first, told), (second, heard) = results(launch_pair(out, *SHORT))
    assert first == second == 1
    assert told == f"error: The output folder {out} is not empty; give another with --out, or remove it first.\n"
    assert heard.startswith("error: process 0 of 2 (")
    assert "has failed (The output folder" in heard
