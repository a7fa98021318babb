"""Ctrl-C and SIGTERM: the step in work is finished and saved, and a second signal ends at once."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = 0.05  # seconds until a signal that could not be heard is sent again
Handler = Callable[[int, FrameType | None], None]


class StoppedError(BaseException):
    """A signal asked to stop, and all that was to be kept is on disk; ``status`` is the exit status that says so.

    Like KeyboardInterrupt it is no Exception: where a file that cannot be read is called damaged, it passes.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.status = 128 + number


def between_imports(handle: Handler) -> Handler:
    """A signal handler for which the signal is sent again and again while a module is being imported.

    C++ that is being set up then may end the process at an exception, or hand on another one.
    """
    under_way = _is_importing(sys._getframe())  # an import that will last as long as what is begun here

    def handler(number: int, frame: FrameType | None) -> None:
        if _is_importing(frame) and not under_way:
            _send_again(number)
        else:
            handle(number, frame)

    return handler


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _send_again(number: int) -> None:
    threading.Timer(AGAIN, os.kill, (os.getpid(), number)).start()


@contextlib.contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """While entered, Ctrl-C raises KeyboardInterrupt wherever it comes, once what is being imported has been.

    Where somebody else listens already, or in a thread, where Python cannot catch signals, the handler stays as it is.
    """
    in_main = threading.current_thread() is threading.main_thread()
    ours = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with none_lost(lambda error: signal.SIGINT if isinstance(error, KeyboardInterrupt) else None):
        if ours:
            signal.signal(signal.SIGINT, between_imports(signal.default_int_handler))
        try:
            yield
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def none_lost(signal_of: Callable[[BaseException | None], int | None]) -> Iterator[None]:
    """While entered, a signal is sent again whose exception got nowhere.

    That is so where Python calls something while it collects garbage, as JAX has it do: nothing raised there gets out.

    Args:
        signal_of: the signal that raised an exception, None where it was none.
    """
    before = sys.unraisablehook

    def send_again(lost: "sys.UnraisableHookArgs") -> None:
        number = signal_of(lost.exc_value)
        if number is None:
            before(lost)
        else:
            _send_again(number)

    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = before


class SignalHandler:
    """While entered, a signal raises ``StoppedError`` at once, or inside ``deferred`` when that asks for it.

    In a thread other than the main one, where Python cannot catch signals, it does nothing.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._deferred = False
        self._before: dict[int, object] = {}
        self._lost = contextlib.ExitStack()

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self._number is not None

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note a signal; whoever is in here looks at ``requested`` and calls ``stop``."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def stop(self) -> None:
        """Raise if a signal has come."""
        if self._number is not None:
            raise StoppedError(self._number)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._lost.enter_context(none_lost(self._signal_of))
            heard = between_imports(self._handle)
            self._before = {number: signal.signal(number, heard) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        self._lost.close()

    def _signal_of(self, error: BaseException | None) -> int | None:
        if not isinstance(error, StoppedError):
            return None
        number, self._number = self._number, None  # or it would be the second one
        return number

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._number is not None:
            os._exit(128 + number)
        self._number = number
        if not self._deferred:
            raise StoppedError(number)
        print("stopping after the step in work; a second time stops at once.", file=sys.stderr, flush=True)
