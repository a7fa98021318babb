"""Opens files that others may have made: regular files only, of a bounded size, and where asked no symbolic links.

A pipe or a device in place of a file can make a reader wait for ever or fill the memory, and a symbolic link can name
any file of the machine. Every error here is an OSError whose ``strerror`` says what is wrong, for a sentence.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Protocol

KINDS = {
    stat.S_IFLNK: "it is a symbolic link, which is not followed here",
    stat.S_IFIFO: "it is a pipe, not a regular file",
    stat.S_IFSOCK: "it is a socket, not a regular file",
    stat.S_IFCHR: "it is a device, not a regular file",
    stat.S_IFBLK: "it is a device, not a regular file",
}
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"), (1, "bytes"))


class Readable(Protocol):
    """A stream of bytes, such as a file that is decompressed while it is read."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``, none at the end."""


def open_regular(path: Path, limit: int, *, follow_links: bool) -> BufferedReader:
    """The file opened for reading; the caller closes it.

    Args:
        path: of the file.
        limit: the most bytes that it may have.
        follow_links: whether ``path`` itself may be a symbolic link, to a regular file.

    Raises:
        OSError: the file does not exist, is no regular file, is larger than ``limit``, or cannot be opened.
    """
    _check(path, path.stat() if follow_links else path.lstat(), limit)  # before it is opened: opening acts on devices
    handle = os.open(path, FLAGS | (0 if follow_links else NO_LINK))
    try:
        _check(path, os.fstat(handle), limit)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, limit: int, *, follow_links: bool) -> bytes:
    """The content of the file; arguments and errors as for ``open_regular``."""
    with open_regular(path, limit, follow_links=follow_links) as file:
        return read_bounded(file, limit)


def read_bounded(stream: Readable, limit: int) -> bytes:
    """All that is left of ``stream``; OSError where that is more than ``limit`` bytes, of which no more are read."""
    blocks: list[bytes] = []
    size = 0
    while block := stream.read(min(1 << 24, limit + 1 - size)):
        blocks.append(block)
        size += len(block)
        if size > limit:
            raise too_large(limit)
    return b"".join(blocks)


class BoundedStream:
    """A stream of bytes of which no more than ``limit`` can be read; what would give more raises OSError."""

    def __init__(self, stream: Readable, limit: int) -> None:
        self._stream, self._limit, self._size = stream, limit, 0

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``, none at the end."""
        block = self._stream.read(size)
        self._size += len(block)
        if self._size > self._limit:
            raise too_large(self._limit)
        return block


def too_large(limit: int, path: Path | None = None) -> OSError:
    """The error for content of more than ``limit`` bytes."""
    return OSError(errno.EFBIG, f"it has more than {format_size(limit)}", *([] if path is None else [str(path)]))


def check_no_link(path: Path) -> None:
    """Raise OSError where ``path`` is a symbolic link."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, KINDS[stat.S_IFLNK], str(path))


def check_regular(path: Path) -> None:
    """Raise OSError where ``path`` is a symbolic link, or anything else but a regular file; a missing one is fine."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    _check(path, status, status.st_size)


def format_size(size: int) -> str:
    """A number of bytes in the largest unit that divides it: "256 MB"."""
    factor, unit = next((pair for pair in UNITS if size % pair[0] == 0 and size >= pair[0]), UNITS[-1])
    return f"{size // factor:,} {unit}"


def _check(path: Path, status: os.stat_result, limit: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "it is not a regular file")
        raise OSError(errno.EINVAL, kind, str(path))
    if status.st_size > limit:
        raise too_large(limit, path)
