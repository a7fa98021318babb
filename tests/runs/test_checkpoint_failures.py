"""A full disk, a kill, other processes: what is whole stays whole."""

import errno
import os
import random
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from stored import names, state

from rnnjax.errors import UserError
from rnnjax.runs.checkpoint_store import CheckpointStore

FULL = r"^The disk at {} is full, the checkpoint of step {} could not be written, {}; free space and continue with"


def wrapped():
    try:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise RuntimeError("the save failed") from error


def from_c():
    raise ValueError("RESOURCE_EXHAUSTED: Failed writing: [OS error 28: ENOSPC No space left on device]")


def grouped():
    raise ExceptionGroup("two", [ValueError("one"), OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))])


def save_and_wait(store, step):
    store.save(step, state(step), {})
    store.wait()


@pytest.mark.parametrize("failing", [wrapped, from_c, grouped])
@pytest.mark.parametrize("in_background", [False, True])
def test_a_full_disk_is_said_and_the_last_one_kept(in_background, failing, store, tmp_path, monkeypatch):
    method = "wait_until_finished" if in_background else "save"
    works = getattr(store._orbax, method)

    def fails(*_, **__):
        if in_background:
            works()
        failing()

    for step, left in ((4, "there is none before it"), (8, "that of step 6 is kept")):
        with monkeypatch.context() as patch:
            patch.setattr(store._orbax, method, fails)
            with pytest.raises(UserError, match=FULL.format(tmp_path / "new", step, left)):
                save_and_wait(store, step)
        store.save(6, state(6), {})
        store.wait()
    assert names(tmp_path / "new") == ["6"]
    store.save(8, state(8), {})
    assert store.restore(state(0)).step == 8


def test_another_failure_has_its_own_words_and_comes_with_the_next_save(store, tmp_path, monkeypatch):
    def fails(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("rnnjax.runs.checkpoint_store.write_json", fails)
        store.save(4, state(4), {})
        said = rf"^The disk at {tmp_path / 'new'} cannot be written \(Permission denied\), the checkpoint of step 4 "
        with pytest.raises(UserError, match=said):
            store.save(5, state(5), {})
    assert names(tmp_path / "new") == []
    store.save(5, state(5), {})
    assert store.restore(state(0)).step == 5


# When a write fails, tensorstore tells the others' ends to an event loop that Orbax has closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_is_really_full(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with CheckpointStore(small / "x", keep=99, warn=pytest.fail) as store:
            last = 0

            def fill():
                nonlocal last
                for step in range(1, 99):
                    store.save(step, {"a": np.random.default_rng(step).normal(size=40_000)}, {})
                    store.wait()
                    last = step

            with pytest.raises(UserError, match=r"is full, .*, that of step \d+ is kept; free space"):
                fill()
            assert last > 1
            assert names(small / "x") == sorted(str(step) for step in range(1, last + 1))
            restored = store.restore({"a": np.zeros(40_000)})
            assert restored.step == last
            np.testing.assert_array_equal(restored.arrays["a"], np.random.default_rng(last).normal(size=40_000))
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        CheckpointStore(tmp_path / "file" / "x", keep=1, warn=pytest.fail) as store,
        pytest.raises(UserError, match=r"cannot be written \(Not a directory\), the checkpoint of step 1 could not"),
    ):
        store.save(1, state(1), {})


def run(code, *args):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_nothing_is_logged_and_orbax_is_imported_by_the_store_only(tmp_path):
    code = """
import sys, pathlib, numpy
from rnnjax.runs.checkpoint_store import CheckpointStore
assert "orbax" not in sys.modules
with CheckpointStore(pathlib.Path(sys.argv[1]) / "x", keep=1, warn=print) as store:
    for step in (1, 2, 3):
        store.save(step, {"a": numpy.arange(9.0)}, {})
    print(store.restore({"a": numpy.zeros(9)}).step)
"""
    process = run(code, tmp_path)
    assert process.communicate(timeout=60) == ("3\n", "")
    assert process.returncode == 0


SAVES_ON = """
import sys, pathlib, numpy
from rnnjax.runs.checkpoint_store import CheckpointStore
with CheckpointStore(pathlib.Path(sys.argv[1]), keep=2, warn=print) as store:
    found = store.restore({"a": numpy.zeros(100_000)})
    for step in range(found.step + 1 if found else 1, 10_000):
        store.save(step, {"a": numpy.full(100_000, step) + numpy.arange(100_000) / 7}, {"at": step})
        print(step, flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment_a_whole_checkpoint_is_there(tmp_path):
    draw, before = random.Random(0), 0
    for _ in range(3):
        process = run(SAVES_ON, tmp_path)
        for _ in range(3):
            started = int(process.stdout.readline())  # a line it would print of a damaged one is no number
        time.sleep(draw.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        rest, complaints = process.communicate()
        started = int(([started, *rest.split()])[-1])
        assert complaints == ""
        with CheckpointStore(tmp_path, keep=2, warn=pytest.fail) as store:
            step, arrays, metadata = store.restore({"a": np.zeros(100_000)})
            assert max(before, started - 1) <= step <= started + 1
            assert metadata == {"at": step}
            np.testing.assert_array_equal(arrays["a"], np.full(100_000, step) + np.arange(100_000) / 7)
        before = step


FIRST_OF_TWO = """
import sys, pathlib, time, jax, numpy
jax.config.update("jax_platforms", "cpu")
folder, port, process = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=process)
assert jax.process_count() == 2
from rnnjax.runs.checkpoint_store import CheckpointStore
if process == 0:
    with CheckpointStore(folder / "x", keep=1, warn=print) as store:
        for step in (1, 2):
            store.save(step, {"a": numpy.arange(9.0)}, {})
        print(store.restore({"a": numpy.zeros(9)}).step)
    (folder / "done").touch()
while not (folder / "done").exists():
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_the_first_of_two_processes_waits_for_no_other(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    first, second = (run(FIRST_OF_TWO, tmp_path, port, number) for number in (0, 1))
    try:
        out, complaints = first.communicate(timeout=60)
        assert out == "2\n", complaints
        assert second.wait(timeout=30) == 0
    finally:
        first.kill()
        second.kill()
        second.communicate()
