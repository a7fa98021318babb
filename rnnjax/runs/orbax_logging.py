"""Silences what Orbax logs of an error in addition to raising it, since the user gets one sentence."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def quiet_orbax() -> Iterator[None]:
    """Drop Orbax's log messages, and the "unraisable" errors of tasks that a failed save leaves in its event loop."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    logger = logging.getLogger("absl")
    logger.addFilter(_is_not_orbax)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        logger.removeFilter(_is_not_orbax)


def _is_not_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in Path(record.pathname).parts
