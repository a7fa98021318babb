"""Processes that cannot be connected end with a sentence and status 1."""

import socket
import threading

import pytest
from local_processes import IMPATIENT, Launcher, free_port, outcomes, processes

from rnnjax.config.execution import Execution
from rnnjax.distributed import initialize
from rnnjax.distributed.initialize import initialize_from_flags
from rnnjax.errors import UserError

NOT_CONNECTED = (
    "error: The processes could not be connected within 8 seconds (JAX's reason is above); start all of them within "
    "that time, with the same --coordinator and --num-processes, and each with a --process-id of its own.\n"
)
JAX_REASON = "JAX distributed service detected fatal errors"


@pytest.fixture
def launcher(tmp_path):
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.close()


def execution(address, process_id):
    return Execution(coordinator=address, num_processes=2, process_id=process_id)


@pytest.mark.parametrize("process_id", [0, 1])
@pytest.mark.parametrize("address", ["localhost", "localhost:", ":80", "localhost:99999", "localhost:http"])
def test_an_address_without_a_port(address, process_id):
    with pytest.raises(UserError, match=r"--coordinator must be address:port"):
        initialize_from_flags(execution(address, process_id))


def test_no_first_process(monkeypatch):
    monkeypatch.setattr(initialize, "CONNECT_TIMEOUT", 0.5)
    address = f"localhost:{free_port()}"
    with pytest.raises(UserError, match=f"^No first process has answered at {address} within 0.5 seconds"):
        initialize_from_flags(execution(address, 1))


def test_a_first_process_that_comes_later(monkeypatch):
    monkeypatch.setattr(initialize, "CONNECT_TIMEOUT", 30)
    port = free_port()

    def listen():
        with socket.create_server(("localhost", port)) as server:
            server.accept()[0].close()

    timer = threading.Timer(0.5, listen)
    timer.start()
    initialize._wait_for_coordinator("localhost", port)
    timer.join()


def test_a_port_in_use():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on port {port} of --coordinator"):
            initialize_from_flags(execution(f"localhost:{port}", 0))


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("192.0.2.1", False), ("node007", False), ("", False)],
)
def test_jax_listens_on_one_interface_where_the_address_is_that_of_one(host, expected):
    assert initialize._is_address_of_this_machine(host) is expected


def test_the_coordinator_of_localhost_listens_nowhere_else(monkeypatch):
    options = {}
    monkeypatch.setattr(initialize, "_initialize", lambda **given: options.update(given))
    address = f"localhost:{free_port()}"
    initialize_from_flags(execution(address, 0))
    assert options["coordinator_bind_address"] == address
    initialize_from_flags(execution(f"node007:{free_port()}", 0))
    assert options["coordinator_bind_address"] is None


@pytest.mark.slow
def test_a_process_that_never_comes(tmp_path, launcher):
    """The other one is the second in one job, and the first in the next."""
    for missing in (0, 1):
        flags = processes(free_port(), 2)[1 - missing]
        ((status, stderr),) = outcomes([launcher.launch(tmp_path / "run", *flags, before=IMPATIENT)], timeout=120)
        assert status == 1
        if missing == 0:
            assert stderr.startswith("error: No first process has answered at localhost:")
            assert stderr.count("\n") == 1
        else:
            assert stderr.endswith(NOT_CONNECTED) or JAX_REASON in stderr
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_process_id_that_is_given_twice(tmp_path, launcher):
    first, second, _ = processes(free_port(), 3)
    trio = [launcher.launch(tmp_path / "run", *flags, before=IMPATIENT) for flags in (first, second, second)]
    for status, stderr in outcomes(trio, timeout=120):
        assert status == 1
        assert stderr.endswith(NOT_CONNECTED) or JAX_REASON in stderr


@pytest.mark.slow
def test_a_process_id_beyond_the_number_of_processes(tmp_path, launcher):
    port = free_port()
    flags = processes(port, 2)[0], processes(port, 3)[2]
    pair = [launcher.launch(tmp_path / "run", *own_flags, before=IMPATIENT) for own_flags in flags]
    for status, stderr in outcomes(pair, timeout=120):
        assert status == 1
        assert stderr.endswith(NOT_CONNECTED) or JAX_REASON in stderr


@pytest.mark.slow
def test_a_number_of_processes_that_differs(tmp_path, launcher):
    port = free_port()
    flags = processes(port, 2)[0], processes(port, 3)[1]
    pair = [launcher.launch(tmp_path / f"run-{own_flags[-1]}", *own_flags, before=IMPATIENT) for own_flags in flags]
    for status, stderr in outcomes(pair):
        assert status == 1
        assert "Process 1 was started with other flags than the first (--num-processes: 2 and 3)" in stderr
