import errno
import os
import platform
import re
import signal
import subprocess
import sys

import filelock
import pytest

from rnnjax.errors import UserError
from rnnjax.runs.lock import LOCK, lock_folder

HOLDER = """
import sys, pathlib
from rnnjax.runs.lock import lock_folder
with lock_folder(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
print("given back", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of ``tmp_path`` until it gets a line."""
    command = [sys.executable, "-W", "error", "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def refused(folder, pid):
    who = re.escape(f"Another process (pid {pid} on {platform.node()}) is working in the run folder {folder};")
    return pytest.raises(UserError, match=f"^{who} wait until it has ended or give another folder with --out.$")


def test_a_second_process_is_refused_until_the_first_gives_it_back(holder, tmp_path):
    for _ in range(2):  # being refused harms nothing
        with refused(tmp_path, holder.pid), lock_folder(tmp_path):
            pytest.fail("entered")
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "given back\n"
    assert holder.poll() is None
    with lock_folder(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"pid {os.getpid()} on {platform.node()}"


def test_a_process_that_is_killed_holds_it_no_longer(holder, tmp_path):
    with refused(tmp_path, holder.pid), lock_folder(tmp_path):
        pytest.fail("entered")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock_folder(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_it_is_given_back_after_an_error_and_held_once_in_one_process(tmp_path):
    with pytest.raises(ZeroDivisionError), lock_folder(tmp_path):
        _ = 1 / 0
    with lock_folder(tmp_path):
        with refused(tmp_path, os.getpid()), lock_folder(tmp_path):
            pytest.fail("entered")
        with refused(tmp_path, os.getpid()), lock_folder(tmp_path):
            pytest.fail("entered")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_the_file_system_knows_no_locks_it_goes_on_without(number, tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    entered = []
    with lock_folder(tmp_path), lock_folder(tmp_path):
        entered.append(True)
    assert entered == [True]


def test_other_errors_are_not_swallowed(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError), lock_folder(tmp_path / "file"):
        pytest.fail("entered")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", full)
        with pytest.raises(OSError, match="No space left"), lock_folder(tmp_path):
            pytest.fail("entered")
    with lock_folder(tmp_path):  # and the lock was given back
        pass


def test_a_holder_whose_number_is_not_written_yet(tmp_path):
    said = r"^Another process \(whose number is not written yet\) is working in"
    with filelock.FileLock(tmp_path / LOCK), pytest.raises(UserError, match=said), lock_folder(tmp_path):
        pytest.fail("entered")
