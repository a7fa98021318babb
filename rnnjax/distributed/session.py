"""The time in which several processes train one model: from connecting them to their end."""

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

import jax

from rnnjax.config.execution import Execution
from rnnjax.distributed.collectives import wait_for_all
from rnnjax.distributed.initialize import initialize_from_flags, initialize_from_launcher
from rnnjax.distributed.launcher import find_launcher
from rnnjax.errors import TrainingDivergedError, UserError
from rnnjax.runtime.signals import StoppedError

GRACE = 3.0  # seconds that a failed first process waits, so that others that fail alike can print their own error
LOST_CONNECTION = ("gloo", "socket closed", "connection", "coordination service", "heartbeat", "peer", "nccl")


@contextlib.contextmanager
def distributed_session(execution: Execution) -> Iterator[None]:
    """Connect the processes of one training, where the flags or the environment show that there are several.

    Processes that end normally, stop for a signal, or have trained a run that diverged, wait for each other. A process
    that fails ends at once, with the exit status of ``launch.main``; the others end with status 1 when a collective
    operation fails, or when JAX misses the process after ``HEARTBEAT_TIMEOUT`` seconds.

    Raises:
        UserError: the processes cannot be connected, or the connection to one of them is lost.
    """
    launcher = find_launcher(execution)
    if launcher is None:
        yield
        return
    if execution.coordinator is not None:
        initialize_from_flags(execution)
    else:
        initialize_from_launcher(launcher)
    try:
        try:
            yield
        except (StoppedError, TrainingDivergedError):  # all of them alike
            _leave()
            raise
        _leave()
    except BaseException as error:
        status = _exit_status(error)
        atexit.register(end_now, status)  # JAX would wait for the other processes
        if _is_lost_connection(error):
            reason = str(error).splitlines()[0].rstrip(".")
            raise UserError(
                f"Another of the {jax.process_count()} processes has ended or failed ({reason}); start all of them "
                "again with --resume."
            ) from None
        if status == 1 and jax.process_index() == 0:
            time.sleep(GRACE)
        raise


def end_now(status: int) -> NoReturn:
    """End the process without running what was registered before."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _leave() -> None:
    """Wait until all processes have come here, and disconnect: JAX itself waits for some minutes only."""
    wait_for_all("end")
    jax.distributed.shutdown()


def _exit_status(error: BaseException) -> int:
    if isinstance(error, StoppedError):
        return error.status
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _is_lost_connection(error: BaseException) -> bool:
    """Whether JAX has failed because another process is gone."""
    message = str(error).lower()
    return isinstance(error, jax.errors.JaxRuntimeError) and any(words in message for words in LOST_CONNECTION)
