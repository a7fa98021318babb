"""A signal to one of several processes stops all of them after the same step."""

import os
import sys
from types import FrameType

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rnnjax.runtime.signals import SignalHandler, StoppedError


def signal_handler() -> SignalHandler:
    """The handler for one process, or for one of several."""
    return AgreedSignalHandler() if jax.distributed.is_initialized() else SignalHandler()


class AgreedSignalHandler(SignalHandler):
    """Notes a signal until all processes agree to stop for it; a second one ends this process at once.

    No process can compute alone what comes next, so none may stop by itself.
    """

    def __init__(self) -> None:
        super().__init__()
        devices = np.array(jax.devices()).reshape(jax.process_count(), jax.local_device_count())
        mesh = Mesh(devices, ("process", "device"))
        self._by_process = NamedSharding(mesh, P("process"))
        self._maximum = jax.jit(lambda numbers: numbers.max(), out_shardings=NamedSharding(mesh, P()))
        self._exchanged: jax.Array | None = None  # largest signal number of all processes, still being computed
        self._agreed = 0

    @property
    def requested(self) -> bool:
        """Whether the processes have agreed to stop."""
        return self._agreed > 0

    def poll(self) -> bool:
        """Whether all processes are to stop now, by the signals that had come before the last call.

        All processes must call it equally often. The exchange that it starts is read in the next call only, so that
        no device has to wait for it.
        """
        before, self._exchanged = self._exchanged, self._exchange()
        if before is not None:
            self._agreed = max(self._agreed, int(before))
        return self.requested

    def check(self) -> None:
        """Stop if a signal has come to any process; all processes must call it.

        Raises:
            StoppedError: one has.
        """
        self._exchanged = None
        self._agreed = max(self._agreed, int(self._exchange()))
        self.stop()

    def stop(self) -> None:
        """Raise ``StoppedError`` if the processes have agreed to stop."""
        if self._agreed:
            raise StoppedError(self._agreed)

    def _exchange(self) -> jax.Array:
        number = np.array([self._number or 0], np.int32)
        return self._maximum(jax.make_array_from_process_local_data(self._by_process, number))

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._number is not None:
            os._exit(128 + number)
        self._number = number
        print("stopping together with the other processes; a second signal stops at once.", file=sys.stderr, flush=True)
