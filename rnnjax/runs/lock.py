"""One process at a time writes a run folder: a file lock, which the system releases when its process ends."""

import contextlib
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from rnnjax.errors import UserError
from rnnjax.regular_files import check_regular, read_regular

LOCK = ".lock"
MOST_HOLDER = 1 << 12  # bytes
NO_HOLDER = "whose number is not written yet"
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}  # errors of a file system without locks


@contextlib.contextmanager
def lock_folder(folder: Path, *, wait: float = 0, remedy: str = "give another folder with --out") -> Iterator[None]:
    """Lock ``folder`` for this process; on a file system without locks, go on without one.

    The lock file stays when the lock is released, and names the process that held it last.

    Args:
        folder: of a run, or of a member.
        wait: seconds for which it is tried.
        remedy: what an error tells the user to do who does not want to wait.

    Raises:
        UserError: another process holds the lock.
        OSError: the lock file is a symbolic link or no regular file, or cannot be written.
    """
    path = folder / LOCK
    check_regular(path)
    lock = FileLock(path, timeout=wait, fallback_to_soft=False)
    try:
        lock.acquire()
        path.write_text(f"pid {os.getpid()} on {platform.node()}", encoding="utf-8")
    except Timeout:
        raise UserError(
            f"Another process ({_holder(path)}) is working in the run folder {folder}; wait until it has ended or "
            f"{remedy}."
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            lock.release()
            raise
    try:
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    return read_regular(path, MOST_HOLDER, follow_links=False).decode(errors="replace") or NO_HOLDER
