"""One process a run folder: a lock that the system gives back when its holder ends, however it ends."""

import contextlib
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from rnnjax.errors import UserError

LOCK = ".lock"
CANNOT_LOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}  # says the file system


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for this process alone; where the file system knows no locks, go on without.

    The lock file stays when the lock is given back, and names the process that held it last.

    Raises:
        UserError: another process holds it.
        OSError: the lock file cannot be written.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
        path.write_text(f"pid {os.getpid()} on {platform.node()}", encoding="utf-8")
    except Timeout:
        raise UserError(
            f"Another process ({_holder(path)}) is working in the run folder {folder}; wait until it has ended or "
            "give another folder with --out."
        ) from None
    except OSError as error:
        if error.errno not in CANNOT_LOCK:
            lock.release()
            raise
    try:
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") or "which has not said its name yet"
