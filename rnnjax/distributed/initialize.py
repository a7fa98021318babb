"""Connecting the processes of one training with ``jax.distributed.initialize``.

A JAX that cannot connect aborts the process in C++. What can be checked before is checked here, and the abort is
turned into a sentence and exit status 1.
"""

import contextlib
import ctypes
import ipaddress
import os
import signal
import socket
import time
from collections.abc import Iterator

import jax

from rnnjax.config.execution import Execution
from rnnjax.distributed.launcher import owns_all_visible_gpus
from rnnjax.errors import UserError
from rnnjax.runtime.signals import SIGNALS

CONNECT_TIMEOUT = 60  # seconds until all processes must be there
HEARTBEAT_TIMEOUT = 30  # seconds without a sign of life after which JAX takes a process for dead and ends the others
RETRY = 0.2  # seconds between two attempts to reach the first process


def initialize_from_flags(execution: Execution) -> None:
    """Connect the processes that were started with --coordinator, --num-processes and --process-id.

    Raises:
        UserError: the address is none, the first process cannot use its port, or it is not there within a minute.
    """
    address, process_id = str(execution.coordinator), execution.process_id or 0
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) >= 1 << 16:
        raise UserError(f"--coordinator must be address:port, as in 10.0.0.1:8476, but {address} was given.")
    bind_address = None
    if process_id == 0:
        _check_port(int(port))
        bind_address = address if _is_address_of_this_machine(host) else None
    else:
        _wait_for_coordinator(host, int(port))
    with _explained_abort():
        _initialize(
            coordinator_address=address,
            num_processes=execution.num_processes,
            process_id=process_id,
            coordinator_bind_address=bind_address,
            cluster_detection_method="deactivate",
        )


def initialize_from_launcher(launcher: str) -> None:
    """Connect the processes that SLURM, Open MPI or a TPU pod has started; JAX knows their addresses.

    Raises:
        UserError: JAX does not.
    """
    try:
        with _explained_abort():
            _initialize()
    except (ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(
            f"{launcher} seems to have started several processes, but JAX cannot connect them ({reason}); give each of "
            "them --coordinator, --num-processes and --process-id."
        ) from None
    if owns_all_visible_gpus():
        jax.config.update("jax_cuda_visible_devices", "all")
        jax.config.update("jax_rocm_visible_devices", "all")


def _initialize(**options: str | int | None) -> None:
    """``jax.distributed.initialize``, during which a signal ends the process at once: C++ waits, and Python cannot.

    Afterwards the handlers are those of before. That of JAX for SIGTERM would hide the signal from Python.
    """
    with contextlib.suppress(AttributeError):  # older releases of JAX have no such option
        jax.config.update("jax_enable_preemption_service", False)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        jax.distributed.initialize(
            **options,  # type: ignore[arg-type]
            initialization_timeout=CONNECT_TIMEOUT,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
        )
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _check_port(port: int) -> None:
    """Raise ``UserError`` if the port of the first process is in use: JAX would crash."""
    dual_stack = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual_stack else socket.AF_INET
    try:
        socket.create_server(("", port), family=family, dualstack_ipv6=dual_stack).close()
    except OSError as error:
        raise UserError(
            f"The first process cannot listen on port {port} of --coordinator ({error.strerror}); give another port, "
            "and --process-id 0 to one process only."
        ) from None


def _is_address_of_this_machine(host: str) -> bool:
    """Whether ``host`` is localhost or the IP address of a network interface here.

    Then JAX need not listen on the other interfaces. Other names are not looked up, since many machines resolve their
    own to 127.0.1.1, where others cannot reach them.
    """
    with contextlib.suppress(OSError, ValueError):
        version = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).version
        with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET) as probe:
            probe.bind((host, 0))
            return True
    return False


def _wait_for_coordinator(host: str, port: int) -> None:
    """Return when a process accepts connections at this address; ``UserError`` if none does in time."""
    deadline = time.monotonic() + CONNECT_TIMEOUT
    while True:
        try:
            socket.create_connection((host, port), timeout=max(1.0, deadline - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UserError(
                    f"No first process has answered at {host}:{port} within {CONNECT_TIMEOUT} seconds "
                    f"({error.strerror or error}); start all of them within that time, and give all of them the "
                    "--coordinator of the first."
                ) from None
            time.sleep(RETRY)


@contextlib.contextmanager
def _explained_abort() -> Iterator[None]:
    """While entered, an ``abort()`` in C++ prints what to do, below JAX's reason, and ends with exit status 1.

    The handler is one of C, since Python's do not run in an abort. Releases of JAX before 0.10 exit with status 1
    without an abort, and print their reason only.
    """

    def explain(_: int) -> None:
        sentence = (
            f"error: The processes could not be connected within {CONNECT_TIMEOUT} seconds (JAX's reason is above); "
            "start all of them within that time, with the same --coordinator and --num-processes, and each with a "
            "--process-id of its own.\n"
        )
        os.write(2, sentence.encode())
        os._exit(1)

    handler_type = ctypes.CFUNCTYPE(None, ctypes.c_int)
    handler = handler_type(explain)
    try:
        set_handler = ctypes.CDLL(None).signal
    except (AttributeError, OSError, TypeError):  # no C library of POSIX
        yield
        return
    set_handler.argtypes, set_handler.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    before = set_handler(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
    try:
        yield
    finally:
        set_handler(signal.SIGABRT, before)
