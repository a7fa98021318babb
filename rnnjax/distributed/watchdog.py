"""The connections between the first of several processes and the others, which tell at once when one of them ends.

The system closes the connections of a process that dies, so the others need not wait in a computation that can never
end.
"""

import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
from typing import Any, NoReturn

GRACE = 3.0  # seconds for a process to end by itself, with its own words, once another has failed
AGAIN = "; this one stops too: start all of them again with --resume."
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 4, "TCP_KEEPCNT": 3}  # a machine that vanishes is missed in 22 s


class Link:
    """A connection that carries one JSON value a line.

    Attributes:
        host: the name of the machine at the other end.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.host = ""
        self._connection, self._lines, self._lock = connection, connection.makefile("rb"), threading.Lock()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, value: Any) -> None:
        """Send, unless nobody is there any more."""
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(value).encode() + b"\n")

    def receive(self, timeout: float | None = None) -> Any:
        """The next value; None when the other end is gone, said nothing in ``timeout`` seconds, or speaks nonsense."""
        self._connection.settimeout(timeout)
        try:
            return json.loads(self._lines.readline())
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Give the connection back."""
        self._lines.close()
        self._connection.close()

    def alive(self) -> bool:
        """Whether the other end has not closed it; for a connection on which nothing is to be received."""
        self._connection.settimeout(0)
        try:
            return bool(self._connection.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self._connection.settimeout(None)


class Watch:
    """Ends this process, with a sentence, when another has ended before its time.

    Args:
        links: of ``meet``.
        count: processes.
        number: of this one.

    Attributes:
        number: of this one.
        asked: in the first, a signal that asked another process to stop; None as a rule.
    """

    def __init__(self, links: dict[int, Link], count: int, number: int) -> None:
        self.number = number
        self.asked: int | None = None
        self._links, self._count = links, count
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._at_end = {i: threading.Event() for i in links}
        self._leaving, self._lock = False, threading.Lock()
        self._threads = [threading.Thread(target=self._listen, args=(i,), daemon=True) for i in links]
        for thread in self._threads:
            thread.start()

    def first_says(self, value: Any) -> Any:
        """The first process's JSON value, in all of them."""
        if self.number > 0:
            return self._said.get()
        self._tell({"said": value})
        return json.loads(json.dumps(value))

    def pass_on(self, number: int) -> None:
        """Tell the first that a signal asks to stop."""
        self._tell({"signal": number})

    def leave(self) -> None:
        """Return when all have come to their end."""
        self._tell({"end": None})
        for event in self._at_end.values():
            event.wait()

    def fail(self, how: str, status: int) -> None:
        """Tell the others why this one ends: it "was stopped by SIGTERM" or "has failed (...)".

        The first waits a little until they are gone, since JAX aborts in them when it misses the first.
        """
        with self._lock:
            self._leaving = True
        self._tell({"end": how, "status": status})
        until = time.monotonic() + GRACE + 2
        for thread in self._threads if self.number == 0 else ():
            thread.join(max(0.0, until - time.monotonic()))

    def _tell(self, value: Any) -> None:
        for link in self._links.values():
            link.send(value)

    def _listen(self, i: int) -> None:
        name = f"process {i} of {self._count} ({self._links[i].host})"
        while True:
            match self._links[i].receive():
                case {"said": value}:
                    self._said.put(value)
                case {"signal": int(number)}:
                    self.asked = number
                case {"end": None}:
                    self._at_end[i].set()
                case None if self._at_end[i].is_set():
                    return
                case {"end": str(how), "status": int(status)}:
                    if status == 1:  # what was wrong there may be wrong here as well, and be said in fewer words
                        time.sleep(GRACE)
                    return self._stop(f"{'error: ' if status == 1 else ''}{name} {how}{AGAIN}", status)
                case {"stop": str(sentence), "status": int(status)}:
                    return self._stop(sentence, status)
                case _:
                    return self._stop(f"error: {name} has ended unexpectedly{AGAIN}", 1)

    def _stop(self, sentence: str, status: int) -> None:
        with self._lock:
            if self._leaving:
                return
            self._tell({"stop": sentence, "status": status})
            if sys.stdout.isatty():
                print("\x1b[?25h", end="", flush=True)  # the cursor, which a progress bar hides
            print(sentence, file=sys.stderr)
            end_now(status)


def end_now(status: int) -> NoReturn:
    """End without waiting for anything: JAX would wait for processes that do not come."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
