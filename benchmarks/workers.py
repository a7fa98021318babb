"""A peer in a process of its own, which works when it is told to: neither threads nor memory are shared."""

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Self

from benchmarks.cases import Case
from benchmarks.peers import PEERS


class Worker:
    """The layer of one case, built by one peer; nothing of the library is imported in this process."""

    def __init__(self, peer: str, case: Case) -> None:
        """Start to build; ``wait`` returns when it is done."""
        spawn = multiprocessing.get_context("spawn")
        self._mine, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(theirs, peer, case), daemon=True)
        before = {name: os.environ.get(name) for name in PEERS[peer].environment}
        os.environ.update(PEERS[peer].environment)  # before the library is imported there
        self._process.start()
        theirs.close()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value

    def wait(self) -> str:
        """The version of the library, when the layer is built.

        Raises:
            RuntimeError: it could not be.
        """
        return str(self._receive())

    def ask(self, what: str) -> Any:
        """Of ``forward`` and ``gradient`` the seconds that one call takes, of ``check`` its result."""
        self._mine.send(what)
        return self._receive()

    def _receive(self) -> Any:
        try:
            told = self._mine.recv()
        except EOFError:
            raise RuntimeError("the process has ended") from None
        if isinstance(told, Exception):
            raise RuntimeError(f"{type(told).__name__}: {told}")
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._mine.close()
        self._process.terminate()
        self._process.join()


def _work(ours: Connection, peer: str, case: Case) -> None:
    try:
        layer = PEERS[peer].build(case)
        ours.send("built")
    except Exception as error:  # whatever a library raises is told where it can be read
        ours.send(RuntimeError(f"{type(error).__name__}: {error}"))
        return
    while True:
        try:
            what = ours.recv()
        except EOFError:
            return
        ours.send(layer.check() if what == "check" else _seconds(getattr(layer, what)))


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
