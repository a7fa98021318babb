"""JSON on disk: files that are written whole or not at all, and files of one JSON object a line that only grow.

NaN and the infinities are written and read as Python's ``json`` has them. Symbolic links, pipes and devices are neither
read nor written through, and no file is read that is larger than a run writes them.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnnjax.errors import UserError
from rnnjax.regular_files import check_regular, open_regular, read_regular, too_large
from rnnjax.runs.codec import damaged, decode, encode, surrogate_at
from rnnjax.typing import JSONObject, JSONValue

MOST_BYTES = 1 << 28  # of a file with one JSON value
MOST_RECORD_BYTES = 1 << 33  # of a file of records
MOST_LINE_BYTES = 1 << 26
MOST_DEPTH = 64  # of lists and objects inside each other, far below the depth at which Python's own calls end


class RecordWriter:
    """Appends one JSON object a line to ``path`` and flushes it, so that at most the last line can be lost.

    Raises:
        OSError: ``path`` is a symbolic link or no regular file, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_regular(path)
        self._file = path.open("a", encoding="utf-8")

    def append(self, record: object) -> None:
        """Write one record: a type of ``schema.py``, or a dictionary."""
        self._file.write(json.dumps(encode(record)) + "\n")
        self._file.flush()

    def sync(self) -> int:
        """Make all that was appended durable, and return the size of the file in bytes."""
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        self._file.close()


def read_records(path: Path, kind: Any = JSONObject) -> list[Any]:
    """All whole records of ``path``, in order; a torn last line is left out, a missing file has none.

    Args:
        path: of the file.
        kind: the type of a record.

    Raises:
        UserError: the file cannot be read, another line than the last is torn, or a record does not fit ``kind``.
    """
    if not os.path.lexists(path):
        return []
    records = []
    with reading(path), open_regular(path, MOST_RECORD_BYTES, follow_links=False) as file:
        number = 0
        while line := file.readline(MOST_LINE_BYTES + 1):
            number += 1
            if len(line) > MOST_LINE_BYTES:
                raise too_large(MOST_LINE_BYTES, path)
            if not line.endswith(b"\n"):
                with contextlib.suppress(ValueError, RecursionError):  # torn when the run was killed
                    json.loads(line.decode(errors="replace"))
                    line += b"\n"
            if line.endswith(b"\n") and line != b"\n":
                value = _parsed(line.decode(errors="replace")[:-1], path, number)
                records.append(decode(value, kind, path, number))
    return records


def _parsed(text: str, path: Path, number: int | None = None, *, any_text: bool = False) -> JSONValue:
    try:
        value = json.loads(text)
        field = None if any_text or "\\ud" not in text.lower() else surrogate_at(value)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not valid JSON ({error})", number) from error
    if field is not None:
        raise damaged(path, f"{field + ': ' if field else ''}a text with half a surrogate pair", number)
    if text.count("[") + text.count("{") > MOST_DEPTH and _is_deep(value):
        raise damaged(path, f"lists and objects in it are more than {MOST_DEPTH} deep", number)
    return value


def _is_deep(value: JSONValue) -> bool:
    """Whether lists and objects are inside each other more than ``MOST_DEPTH`` times."""
    level = [value]
    for _ in range(MOST_DEPTH):
        containers = [item for item in level if isinstance(item, list | dict)]
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, list | dict) for item in level)


def read_json(path: Path, kind: Any = JSONObject, *, any_text: bool = False) -> Any:
    """The record in a file that holds one JSON value, an object unless ``kind`` is another type.

    Args:
        path: of the file.
        kind: the type of the record.
        any_text: whether its texts may hold what is no character, such as Python's half surrogate pairs for the bytes
            of a file's name that is not UTF-8.

    Raises:
        UserError: the file cannot be read, is no JSON, or does not fit ``kind``.
    """
    with reading(path):
        try:
            text = read_regular(path, MOST_BYTES, follow_links=False).decode()
        except ValueError as error:
            raise damaged(path, f"not valid JSON ({error})") from error
    return decode(_parsed(text, path, any_text=any_text), kind, path)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """While entered, an OSError becomes a UserError that names ``path``, a file of a run folder that is read."""
    try:
        yield
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror}); restore it or run again.") from error


def write_json(path: Path, record: object) -> None:
    """Write a record, or any JSON value, whole or not at all."""
    write_bytes(path, (json.dumps(encode(record), indent=2) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` whole or not at all: into a new file beside ``path`` first, which is then renamed."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        with partial.open("xb") as file:  # never through a link
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:  # also Ctrl-C
        partial.unlink(missing_ok=True)
        raise


def flat(values: JSONObject, prefix: str = "") -> JSONObject:
    """Nested names joined by dots: {"training": {"clip": 1}} → {"training.clip": 1}."""
    flattened: JSONObject = {}
    for name, value in values.items():
        flattened |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flattened
