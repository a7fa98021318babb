"""Processes on this machine that train one small model together."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLAGS = (
    "recall", "--cells", "lstm", "--seeds", "1", "--features", "8", "--batch-size", "7", "--max-distance", "20",
    "--platform", "cpu",
)  # fmt: skip
# Lines of Python before the program starts: a shorter time-out, so that a test need not wait a minute.
IMPATIENT = "import rnnjax.distributed.initialize as initialize; initialize.CONNECT_TIMEOUT = 8"
MAIN = "{before}; import sys, launch; launch.exit_process(launch.main(sys.argv[1:]))"


def free_port():
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def processes(port, count):
    """The flags of each process."""
    flags = ("--cpu-devices", "2", "--coordinator", f"localhost:{port}", "--num-processes", str(count))
    return [(*flags, "--process-id", str(i)) for i in range(count)]


class Launcher:
    """Starts processes, which share compiled programs, and kills those that are left when it is closed."""

    def __init__(self, folder):
        self._folder, self._started = folder, []

    def python(self, code, *arguments, environment=None):
        """A process that runs ``code``; its attribute ``stderr_path`` is the file of its error output."""
        path = self._folder / f"stderr-{len(self._started)}"
        variables = os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {})
        with path.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *arguments],
                cwd=ROOT,
                env=variables,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        process.stderr_path = path
        self._started.append(process)
        return process

    def launch(self, out, *flags, before="pass", environment=None):
        """A process that trains into the folder ``out``, after running ``before``."""
        arguments = (*FLAGS, *flags, "--out", str(out), "--compilation-cache", str(self._folder / "programs"))
        return self.python(MAIN.format(before=before), *arguments, environment=environment)

    def launch_pair(self, out, *flags, before=("pass", "pass")):
        """Two processes; the second is given another output folder, which it must not create."""
        return [
            self.launch(folder, *flags, *own_flags, before=code)
            for folder, own_flags, code in zip((out, f"{out}-second"), processes(free_port(), 2), before, strict=True)
        ]

    def close(self):
        for process in self._started:
            process.kill()
            process.wait()


def outcomes(started, timeout=300):
    """(exit status, error output) of each process."""
    return [(process.wait(timeout), process.stderr_path.read_text()) for process in started]


def statuses(started):
    return [status for status, _ in outcomes(started)]


def records(out, name="metrics"):
    lines = (out / "members" / "lstm-seed0" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wait_for_records(out, process, count):
    """Wait until ``process`` has written, and more than ``count`` records are there."""
    path, started = out / "members" / "lstm-seed0" / "metrics.jsonl", process.stderr_path.stat().st_ctime
    for _ in range(3000):
        if path.exists() and path.stat().st_mtime > started and len(path.read_text().splitlines()) > count:
            return
        assert process.poll() is None, process.stderr_path.read_text()
        time.sleep(0.05)
    raise AssertionError("no records came")
