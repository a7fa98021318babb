"""JSON on disk: files that are written whole or not at all, and files of one JSON object a line that only grow.

NaN and the infinities are written and read as Python's ``json`` has them.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from rnnjax.errors import UserError
from rnnjax.runs.codec import damaged, decode, encode
from rnnjax.typing import JSONObject, JSONValue


class RecordWriter:
    """Appends one JSON object a line to ``path`` and flushes it, so that at most the last line can be lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
    if not path.exists():
        return []
    *whole, last = _text(path, errors="replace").split("\n")
    values = [(number, _parsed(line, path, number)) for number, line in enumerate(whole, 1) if line]
    with contextlib.suppress(ValueError, RecursionError):  # torn when the run was killed
        values += [(len(whole) + 1, json.loads(last))] if last else []
    return [decode(value, kind, path, number) for number, value in values]


def _parsed(line: str, path: Path, number: int) -> JSONValue:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not valid JSON ({error})", number) from error


def read_json(path: Path, kind: Any = JSONObject) -> Any:
    """The record in a file that holds one JSON value, an object unless ``kind`` is another type.

    Raises:
        UserError: the file cannot be read, is no JSON, or does not fit ``kind``.
    """
    try:
        value = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not valid JSON ({error})") from error
    return decode(value, kind, path)


def _text(path: Path, errors: str = "strict") -> str:
    try:
        return path.read_text(encoding="utf-8", errors=errors)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror}); restore it or run again.") from error


def write_json(path: Path, record: object) -> None:
    """Write a record, or any JSON value, whole or not at all."""
    write_bytes(path, (json.dumps(encode(record), indent=2) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` whole or not at all: into a file beside ``path`` first, which is then renamed."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
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
