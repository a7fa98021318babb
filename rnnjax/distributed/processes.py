"""Several processes that train one model together: how they find and wait for each other, and end together."""

import atexit
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from rnnjax.config.execution import Execution
from rnnjax.distributed.rendezvous import PATIENCE, ProcessInfo, find_process_info, meet
from rnnjax.distributed.watchdog import GRACE, Watch, end_now
from rnnjax.errors import UserError
from rnnjax.runtime.signals import SignalHandler, StoppedError

HEARTBEAT = 30  # seconds after which JAX misses a process

_watch: Watch | None = None


@contextlib.contextmanager
def distributed_session(execution: Execution) -> Iterator[None]:
    """Meet the other processes of the job, where the flags or the environment say that there are any, and part again.

    While entered, the death of one ends the others within seconds. An exception that leaves it is told to the others,
    who end too; after it this process ends with the exit status of ``launch.main`` and waits for nobody.

    Raises:
        UserError: they cannot meet.
    """
    global _watch
    place = find_process_info(execution)
    if place is None:
        yield
        return
    _watch = Watch(meet(place), place.total, place.number)
    try:
        _initialize(place)
        yield
        _watch.leave()
        jax.distributed.shutdown()
    except BaseException as error:
        how, status = _ending(error)
        if how is None:
            how = f"has failed ({type(error).__name__})"
            time.sleep(GRACE + 1)  # most probably another one has died, and the watch is about to say so
        _watch.fail(how, status)
        atexit.register(end_now, status)
        raise
    finally:
        _watch = None


@contextlib.contextmanager
def first_process_first() -> Iterator[None]:
    """The other processes enter when the first has left: what it prepares on disk, they find."""
    if _watch is None or _watch.number == 0:
        yield
    if _watch is not None:
        _watch.first_says(None)
        if _watch.number > 0:
            yield


def broadcast_from_first(value: Any) -> Any:
    """The first process's JSON value for all of them, where they could differ and have to go the same way."""
    return value if _watch is None else _watch.first_says(value)


def broadcast_checkpoint(found: tuple[int, Any, Any] | None, like: Any) -> tuple[int, Any, Any]:
    """The first process's (step, arrays, JSON value) for all of them, (0, None, None) where it has none.

    Args:
        found: what this process has; only that of the first counts.
        like: numpy arrays of the shapes and dtypes of ``arrays``.
    """
    step, arrays, told = found or (0, None, None)
    if _watch is None:
        return step, arrays, told
    some, step, told = _watch.first_says((found is not None, step, told))
    if not some:
        return 0, None, None
    arrays = multihost_utils.broadcast_one_to_all(arrays if _watch.number == 0 else like)
    return step, jax.tree.map(np.asarray, arrays), told


def signal_handling() -> SignalHandler:
    """What a signal does: the first process of several saves and stops, the others only tell it."""
    if _watch is None:
        return SignalHandler()
    return _FirstStopping(_watch) if _watch.number == 0 else _OtherStopping(_watch)


class _FirstStopping(SignalHandler):
    """Stops for the signal of another process too, after a step of training."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    @property
    def requested(self) -> bool:
        return super().requested or self._watch.asked is not None

    def stop(self) -> None:
        super().stop()
        if self._watch.asked is not None:
            raise StoppedError(self._watch.asked)


class _OtherStopping(SignalHandler):
    """Goes on until the first process has saved: what that computes, it cannot compute alone."""

    requested = False

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def stop(self) -> None:
        pass

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._number is not None:
            os._exit(128 + number)
        self._number = number
        self._watch.pass_on(number)


def _initialize(place: ProcessInfo) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        jax.distributed.initialize(
            *place, cluster_detection_method="deactivate", initialization_timeout=PATIENCE,
            heartbeat_timeout_seconds=HEARTBEAT,
        )  # fmt: skip
    except RuntimeError as error:
        raise UserError(
            f"JAX cannot bring the processes together ({str(error).splitlines()[0].rstrip('.')})."
        ) from None
    signal.signal(signal.SIGTERM, before)  # JAX's own handler would swallow it


def _ending(error: BaseException) -> tuple[str | None, int]:
    """How an exception ended this process, None if it was not foreseen, and the exit status that says so."""
    if isinstance(error, StoppedError):
        return f"was {error}", error.status
    if isinstance(error, KeyboardInterrupt):
        return "was stopped by Ctrl-C", 130
    return (f"has failed ({str(error).rstrip('.')})" if isinstance(error, UserError) else None), 1
