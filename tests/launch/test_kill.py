"""A run that is killed and resumed repeatedly gives bit for bit the results of an uninterrupted run."""

import csv
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import flax.serialization
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
KILLS = 10
FLAGS = [
    "recall", "--cells", "simple", "lstm", "--seeds", 2, "--steps", 40, "--features", 6, "--embedding", 5,
    "--batch-size", 6, "--max-distance", 14, "--log-gradients-every", 6, "--validate-every", 10,
    "--checkpoint-every", 5,
]  # fmt: skip
TIMES = ("seconds", "steps_per_second", "compile_seconds")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A function that starts a run in a process of its own; they share a compilation cache."""
    cache = tmp_path_factory.mktemp("cache")

    def start(folder, *more, flags=FLAGS):
        command = [sys.executable, "launch.py", *flags, "--out", folder, "--compilation-cache", cache, *more]
        return subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    return start


def finished(process):
    output = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    """The folder of an uninterrupted run, and the seconds such a run takes with cached programs."""
    folders = [tmp_path_factory.mktemp("uninterrupted") / name for name in ("first", "second")]
    finished(start(folders[0]))
    began = time.monotonic()
    finished(start(folders[1]))
    seconds = time.monotonic() - began
    assert content(folders[0]) == content(folders[1])
    return folders[0], seconds


def content(folder):
    """Files of a run and what was computed in them; every file is parsed in its format."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            if name not in ("environment.json", "config.json"):
                files[name] = {k: record[k] for k in record if k not in TIMES} if isinstance(record, dict) else record
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                files[name] = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]
        elif path.suffix == ".png":
            Image.open(path).verify()
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
        elif path.suffix == ".msgpack":
            flax.serialization.msgpack_restore(path.read_bytes())
            files[name] = path.read_bytes()
        elif path.suffix == ".jsonl":
            files[name] = [json.loads(line) for line in path.read_text().splitlines()]
        else:
            assert name in (".lock", "table.parquet"), f"{name} should not be there"
    assert {"table.csv", "vocabulary.json", "members/lstm-seed1/result.json"} <= set(files)
    assert len(files["members/lstm-seed1/metrics.jsonl"]) == 40 + 4 + 8
    return files


@pytest.mark.slow
def test_killed_at_ten_moments(start, uninterrupted, tmp_path):
    """At random moments between the start of Python and the end of the report."""
    expected, seconds = content(uninterrupted[0]), uninterrupted[1]
    moments, kills, folders = random.Random(), 0, []
    while kills < KILLS or (folders[-1] / "report.html").exists() is False:
        if not folders or (folders[-1] / "report.html").exists():
            folders.append(tmp_path / str(len(folders)))
        process = start(folders[-1], "--resume")
        if kills >= KILLS:
            finished(process)
            continue
        try:
            output = process.communicate(timeout=moments.uniform(0.1, 1.1) * seconds)[0].decode()
            assert process.returncode == 0, output
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
    for folder in folders:
        assert content(folder) == expected
