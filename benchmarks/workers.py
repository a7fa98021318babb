"""A library in a process of its own that computes on request, so that libraries share neither threads nor memory."""

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Self

from benchmarks.cases import Case
from benchmarks.peers import PEERS


class Worker:
    """The layer of one case, built by one library, which is imported in the worker process only."""

    def __init__(self, peer: str, case: Case) -> None:
        """Start to build the layer; ``wait`` returns when it is built."""
        spawn = multiprocessing.get_context("spawn")
        self._connection, worker_end = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(worker_end, peer, case), daemon=True)
        before = {name: os.environ.get(name) for name in PEERS[peer].environment}
        os.environ.update(PEERS[peer].environment)  # before the library is imported there
        self._process.start()
        worker_end.close()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value

    def wait(self) -> str:
        """Wait until the layer is built.

        Raises:
            RuntimeError: it could not be built.
        """
        return str(self._receive())

    def ask(self, what: str) -> Any:
        """The seconds of one call of ``forward`` or ``gradient``, or the result of ``check``."""
        self._connection.send(what)
        return self._receive()

    def _receive(self) -> Any:
        try:
            message = self._connection.recv()
        except EOFError:
            raise RuntimeError("the process has ended") from None
        if isinstance(message, Exception):
            raise RuntimeError(f"{type(message).__name__}: {message}")
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()


def _work(connection: Connection, peer: str, case: Case) -> None:
    try:
        layer = PEERS[peer].build(case)
        connection.send("built")
    except Exception as error:  # sent to the parent process, which prints it
        connection.send(RuntimeError(f"{type(error).__name__}: {error}"))
        return
    while True:
        try:
            what = connection.recv()
        except EOFError:
            return
        connection.send(layer.check() if what == "check" else _seconds(getattr(layer, what)))


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
