"""A full disk, and standard output without a reader: one sentence, and no partly written file."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import launch

pytestmark = pytest.mark.usefixtures("isolated")


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_at_the_start_leaves_no_folder(there, tmp_path, capsys, monkeypatch):
    if there:
        (tmp_path / "new").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert launch.main(["recall", "--cells", "lstm", "--out", "new"]) == 1
    message = "The output folder new cannot be written (No space left on device); give one that can with --out."
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("report run", "The report cannot be written into 'run' (No space left on device); make the folder writable."),
        (
            "compare run no-words",
            "The comparison cannot be written to 'comparison.html' (No space left on device); name another file.",
        ),
    ],
)
def test_a_full_disk_at_the_end_is_reported(arguments, message, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert launch.main(arguments.split()) == 1
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_an_output_that_is_full_is_reported(capsys, monkeypatch):
    with open("/dev/full", "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert launch.main(["report", "run"]) == 1
    assert capsys.readouterr().err == "error: The output cannot be written (No space left on device).\n"


def test_a_closed_output_ends_without_a_message(capsys, monkeypatch):
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(SystemExit) as ended:
            launch.main(["report", "run"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == ""


def test_help_that_nobody_reads_to_its_end_ends_without_a_message():
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, str(Path(launch.__file__)), "--help"]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True)
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, "")
