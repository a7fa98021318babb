"""Ctrl-C at any moment: one sentence, status 130, and no partly written file."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import experiments.run
import launch
import rnnjax.data.synthetic.recall
import rnnjax.report.run_report
from rnnjax.runs.checkpoint_store import CheckpointStore
from rnnjax.runs.json_io import read_json, write_json
from rnnjax.runtime.signals import StoppedError
from rnnjax.training import study

pytestmark = pytest.mark.usefixtures("isolated")
ROOT = Path(__file__).parents[2]
ARRAYS = {"state": np.arange(3.0)}


def press_ctrl_c(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)  # the signal is handled at the next instruction
    raise AssertionError("the signal was not handled")


def test_while_it_is_being_imported(tmp_path):
    """In the import of the slowest module, before a signal handler is installed."""
    module = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(10)\n"
    (tmp_path / "tyro.py").write_text(module)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, ROOT / "launch.py", "--help"]
    done = subprocess.run(command, capture_output=True, env=environment, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped.\n")


@pytest.mark.parametrize(
    ("arguments", "module", "name"),
    [
        ("recall --cells lstm", rnnjax.data.synthetic.recall, "recall"),
        ("series --train good.npz", np, "load"),  # what cannot be loaded is called damaged
        ("recall --cells lstm --steps 2", study, "set_up_ensemble"),
    ],
    ids=["while data are drawn", "while a file is read", "while programs are compiled"],
)
def test_before_the_first_step(arguments, module, name, tmp_path, capsys, monkeypatch):
    np.savez("good.npz", x=np.zeros((9, 2, 1)), y=np.arange(9) % 2)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, press_ctrl_c)
        assert launch.main([*arguments.split(), "--out", "new"]) == 130
    assert capsys.readouterr().err == "stopped by SIGINT; no run had started.\n"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["csv_text", "parquet_bytes", "drawn_sections", "write_bytes"])
def test_while_a_report_is_drawn(name, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    before = {path for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(rnnjax.report.run_report, name, interrupted)
        assert launch.main(["report", "run"]) == 130
    assert capsys.readouterr().err == "stopped.\n"
    left = {path for path in (tmp_path / "run").rglob("*") if path.is_file()} - before
    assert not [path for path in left if path.suffix == ".partial"]
    assert not (tmp_path / "run" / "report.html").exists()


COLLECTS = """
import gc, os, signal, sys, time
import launch
import rnnjax.report.run_report

presses = [signal.SIGINT]


def callback(phase, info):
    while presses:
        os.kill(os.getpid(), presses.pop())


def collects(run):
    gc.callbacks.append(callback)
    gc.collect()
    gc.callbacks.remove(callback)
    time.sleep(10)


rnnjax.report.run_report.csv_text = collects
sys.exit(launch.main(["report", "run"]))
"""


def test_while_python_collects_garbage():
    """Exceptions in callbacks of the garbage collector are lost, and JAX has such a callback; without pytest's own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", COLLECTS]
    done = subprocess.run(command, capture_output=True, env=environment, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (130, "stopped.\n")


def test_while_the_report_of_a_run_is_drawn_what_was_trained_stays(tmp_path, capsys, monkeypatch):
    def trained(experiment, folder, view):
        (folder / "members" / "lstm-seed0").mkdir()
        (folder / "members" / "lstm-seed0" / "params.msgpack").write_text("precious")

    def interrupted(run):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments.run, "train", trained)
    with monkeypatch.context() as patch:
        patch.setattr("rnnjax.report.printing.write_report_of", interrupted)
        assert launch.main(["recall", "--out", "new"]) == 130
    assert capsys.readouterr().err == "stopped.\n"
    assert (tmp_path / "new" / "members" / "lstm-seed0" / "params.msgpack").read_text() == "precious"
    assert launch.main(["report", "new"]) == 0


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def interrupted(handle):
        raise KeyboardInterrupt

    write_json(tmp_path / "empty" / "result.json", {"accuracy": 0.5})
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_json(tmp_path / "empty" / "result.json", {"accuracy": 0.9})
    assert [path.name for path in (tmp_path / "empty").iterdir()] == ["result.json"]
    assert read_json(tmp_path / "empty" / "result.json") == {"accuracy": 0.5}


def test_a_checkpoint_that_was_being_read_is_not_taken_for_damaged(tmp_path, monkeypatch):
    warnings = []
    with CheckpointStore(tmp_path / "kept", keep=1, warn=warnings.append) as store:
        store.save(7, ARRAYS, {"seconds": 1.0})
        store.wait()
        with monkeypatch.context() as patch:
            patch.setattr(store, "_read", lambda step, like: (_ for _ in ()).throw(StoppedError(signal.SIGINT)))
            with pytest.raises(StoppedError):
                store.restore(ARRAYS)
        assert [path.name for path in (tmp_path / "kept").iterdir()] == ["7"]
        assert store.restore(ARRAYS).step == 7
    assert warnings == []


SMALL = (
    "recall --cells lstm --seeds 1 --features 4 --embedding 4 --steps 30 --batch-size 8 --max-distance 9"
    " --min-distance 1 --log-gradients-every 10 --validate-every 0"
)
STOPPED = re.compile(
    r"stopped\.\n|(stopping after the current step; a second signal stops at once\.\n)?"
    r"stopped by SIGINT; (no run had started|continue with the same flags, --out \S+ and --resume)\.\n"
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.6, 1.0, 2.0, 3.5, 5.0, 8.0])
def test_at_any_second_and_the_same_command_goes_on(seconds, tmp_path, programs):
    kept = ["--compilation-cache", str(programs), "--out", str(tmp_path / "new")]
    command = [sys.executable, "launch.py", *SMALL.split(), *kept]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=120)
    assert running.returncode in (0, 130)
    assert (running.returncode == 0 and errors == "") or STOPPED.fullmatch(errors), errors
    again = [*command, *(["--resume"] if (tmp_path / "new").exists() else [])]
    ended = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "new" / "members" / "lstm-seed0" / "result.json").exists()
