"""Ctrl-C and SIGTERM: training stops after the current step and a checkpoint; a second signal ends at once."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
RESEND_DELAY = 0.05  # seconds until a signal that could not be handled is sent again
Handler = Callable[[int, FrameType | None], None]


class StoppedError(BaseException):
    """A signal has stopped the job, and what is needed to continue is on disk.

    Like KeyboardInterrupt it is not an Exception, so that handlers of errors do not catch it.

    Attributes:
        status: exit status of the process, 128 plus the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.status = 128 + number


def between_imports(handle: Handler) -> Handler:
    """A signal handler that postpones the signal while a module is being imported.

    C++ extensions may abort the process at an exception during their import, or replace it by another one.
    """
    already_importing = _is_importing(sys._getframe())  # the caller is imported itself: postponing would never end

    def handler(number: int, frame: FrameType | None) -> None:
        if _is_importing(frame) and not already_importing:
            _send_again(number)
        else:
            handle(number, frame)

    return handler


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _send_again(number: int) -> None:
    threading.Timer(RESEND_DELAY, os.kill, (os.getpid(), number)).start()


@contextlib.contextmanager
def ctrl_c_raises() -> Iterator[None]:
    """While entered, Ctrl-C raises KeyboardInterrupt, also in a garbage collection, and after an import in one.

    A handler other than Python's own is kept, and so is any handler if this is not the main thread.
    """
    in_main = threading.current_thread() is threading.main_thread()
    replace = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with resend_lost_signals(lambda error: signal.SIGINT if isinstance(error, KeyboardInterrupt) else None):
        if replace:
            signal.signal(signal.SIGINT, between_imports(signal.default_int_handler))
        try:
            yield
        finally:
            if replace:
                signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def resend_lost_signals(signal_of: Callable[[BaseException | None], int | None]) -> Iterator[None]:
    """While entered, a signal is sent again if Python has dropped its exception.

    Python drops exceptions that are raised in callbacks of the garbage collector, and JAX registers such callbacks.

    Args:
        signal_of: the signal that raised an exception; None if no signal did.
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
    """While entered, a signal raises ``StoppedError`` at once; inside ``deferred`` only ``stop`` raises it.

    Outside of the main thread, where Python cannot handle signals, it does nothing.
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
        """While entered, a signal is only noted; the code in this context calls ``poll`` and ``stop``."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def poll(self) -> bool:
        """Whether to stop now. Of several processes all get the same answer, and must call it equally often."""
        return self.requested

    def check(self) -> None:
        """Stop here if a signal has come; of several processes all must call it.

        Raises:
            StoppedError: a signal has come.
        """
        self.stop()

    def stop(self) -> None:
        """Raise ``StoppedError`` if a signal has come."""
        if self._number is not None:
            raise StoppedError(self._number)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._lost.enter_context(resend_lost_signals(self._signal_of))
            handler = between_imports(self._handle)
            self._before = {number: signal.signal(number, handler) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        self._lost.close()

    def _signal_of(self, error: BaseException | None) -> int | None:
        if not isinstance(error, StoppedError):
            return None
        number, self._number = self._number, None  # when sent again, it is not a second signal
        return number

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._number is not None:
            os._exit(128 + number)
        self._number = number
        if not self._deferred:
            raise StoppedError(number)
        print("stopping after the current step; a second signal stops at once.", file=sys.stderr, flush=True)
