"""A run stopped by a signal saves a checkpoint and prints how to continue; resumed, it gives the same results."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rnnjax.runs.json_io import read_json

ROOT = Path(__file__).parents[2]
FLAGS = (
    "recall --cells simple --seeds 2 --steps 3000 --features 6 --embedding 5 --batch-size 6 --max-distance 14"
    " --log-gradients-every 200 --validate-every 500"
)
TIMES = ("seconds", "steps_per_second", "compile_seconds")
COMPILING = 300  # seconds that may pass until the first step


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A function that starts a run in a process of its own; they share a compilation cache."""
    cache = tmp_path_factory.mktemp("cache")

    def start(folder, *more):
        command = [sys.executable, "launch.py", *FLAGS.split(), "--compilation-cache", cache, "--out", folder, *more]
        pipe = subprocess.PIPE
        return subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=pipe, stderr=pipe, text=True)

    return start


def stop(process, folder, number, lines):
    """Send signal ``number`` once there are ``lines`` records: (exit status, seconds until the end, standard error)."""
    path, patience = folder / "members" / "simplernn-seed1" / "metrics.jsonl", time.monotonic() + COMPILING
    while not (path.exists() and path.read_bytes().count(b"\n") >= lines):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < patience
        time.sleep(0.01)
    process.send_signal(number)
    began = time.monotonic()
    errors = process.communicate(timeout=60)[1]
    return process.returncode, time.monotonic() - began, errors


def content(folder):
    """Files of each run and their content, without times."""
    files = {}
    for member in sorted((folder / "members").iterdir()):
        assert {path.name for path in member.iterdir()} >= {"metrics.jsonl", "params.msgpack", "result.json"}
        for path in member.iterdir():
            files[member.name, path.name] = path.read_bytes()
        result = read_json(member / "result.json")
        files[member.name, "result.json"] = {name: result[name] for name in result if name not in TIMES}
    return files


@pytest.mark.slow
def test_stopped_twice(start, tmp_path):
    whole = start(tmp_path / "whole")
    output = whole.communicate(timeout=COMPILING)
    assert whole.returncode == 0, output

    folder, steps = tmp_path / "run", []
    for number, status, lines, more in ((signal.SIGTERM, 143, 200, ()), (signal.SIGINT, 130, 1200, ("--resume",))):
        ended, seconds, errors = stop(start(folder, *more), folder, number, lines)
        assert ended == status, errors
        assert seconds < 10
        assert errors.splitlines() == [
            "stopping after the current step; a second signal stops at once.",
            f"stopped by {number.name}; continue with the same flags, --out {folder} and --resume.",
        ]
        (checkpoints,) = (folder / "checkpoints").iterdir()
        steps.append(max(int(path.name) for path in checkpoints.iterdir() if path.name.isdecimal()))
    assert 0 < steps[0] < steps[1] < 3000

    last = start(folder, "--resume")
    output, errors = last.communicate(timeout=COMPILING)
    assert (last.returncode, errors) == (0, "")
    assert re.search(rf"SimpleRNN, seeds 0, 1: going on from step {steps[1]}\n", output)
    assert content(folder) == content(tmp_path / "whole")
    assert len(read_json(folder / "environment.json")["resumed"]) == 2
    assert not (folder / "checkpoints").exists()
