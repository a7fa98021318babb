"""What two processes exchange."""

import pytest
from local_processes import Launcher, free_port, outcomes

CONNECT = """
import os, signal, sys, time, pathlib
import jax, numpy as np
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
from rnnjax.config.execution import Execution
from rnnjax.distributed.collectives import *
from rnnjax.distributed.session import distributed_session
from rnnjax.distributed.stop_agreement import AgreedSignalHandler, signal_handler
from rnnjax.runtime.signals import StoppedError
port, i, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
with distributed_session(Execution(coordinator=f"localhost:{port}", num_processes=2, process_id=i)):
"""
EXCHANGE = (
    CONNECT
    + """
    assert gather_values({"process": i, "text": "é" * (400 * i)}) == [
        {"process": 0, "text": ""}, {"process": 1, "text": "é" * 400}
    ]
    assert broadcast_from_first((2,) if i == 0 else "ignored") == [2]
    assert broadcast_from_first(i == 0) is True
    like = {"a": np.zeros(3, np.float32), "key": np.zeros(2, np.uint32)}
    assert broadcast_checkpoint(None if i == 0 else (9, like, {}), like) == (0, None, None)
    saved = {"a": np.float32([1, 2, 3]), "key": np.uint32([2**32 - 1, 7])}
    step, arrays, metadata = broadcast_checkpoint((5, saved, {"members": [1]}) if i == 0 else None, like)
    assert (step, metadata) == (5, {"members": [1]})
    assert all(np.array_equal(arrays[name], saved[name]) and arrays[name].dtype == like[name].dtype for name in like)
    with first_process_first():
        if i == 0:
            time.sleep(0.5)
            (folder / "prepared").touch()
        assert (folder / "prepared").exists()
"""
)
STOP = (
    CONNECT
    + """
    with signal_handler() as signals:
        assert isinstance(signals, AgreedSignalHandler)
        signals.check()
        with signals.deferred():
            steps = 0
            while not signals.poll():
                steps += 1
                if i == 1 and steps == 5:
                    os.kill(os.getpid(), signal.SIGTERM)
                assert steps < 50
        assert gather_values(steps) == [6, 6], steps
        try:
            signals.stop()
        except StoppedError as error:
            assert error.status == 143
        else:
            raise AssertionError("not stopped")
    with signal_handler() as signals:
        if i == 0:
            os.kill(os.getpid(), signal.SIGINT)
        try:
            signals.check()
        except StoppedError as error:
            assert error.status == 130
        else:
            raise AssertionError("not stopped")
"""
)


@pytest.fixture
def launcher(tmp_path):
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.close()


@pytest.mark.parametrize("code", [EXCHANGE, STOP], ids=["values", "signals"])
def test_two_processes_exchange(code, tmp_path, launcher):
    port = str(free_port())
    pair = [launcher.python(code, port, str(i), str(tmp_path)) for i in (0, 1)]
    for status, stderr in outcomes(pair):
        assert status == 0, stderr
