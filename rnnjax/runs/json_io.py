"""Append-only records on disk: one JSON object a line, readable after a kill in the middle of a write."""

import json
import os
from pathlib import Path
from typing import Any

from rnnjax.errors import UserError


class RecordWriter:
    """Appends one JSON object a line to ``path`` and flushes it, so that at most the last line can be lost."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def append(self, record: dict[str, Any]) -> None:
        """Write one record; NaN and infinity are written as JSON's common extension has them."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Make what was appended durable."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        self._file.close()


def read_records(path: Path) -> list[dict[str, Any]]:
    """All whole records of ``path``, in order; a torn last line is left out, a missing file has none.

    Raises:
        UserError: the file cannot be read.
        json.JSONDecodeError: another line is torn.
    """
    if not path.exists():
        return []
    lines = _text(path, errors="replace").split("\n")
    records = [json.loads(line) for line in lines[:-1] if line]
    try:
        return records + ([json.loads(lines[-1])] if lines[-1] else [])
    except json.JSONDecodeError:
        return records


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    value = read_value(path)
    if not isinstance(value, dict):
        raise UserError(f"'{path}' is damaged, expected a JSON object in it; restore it or run again.")
    return value


def read_value(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        UserError: the file cannot be read, or is no JSON.
    """
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is damaged, not valid JSON ({error}); restore it or run again.") from error


def _text(path: Path, errors: str = "strict") -> str:
    try:
        return path.read_text(encoding="utf-8", errors=errors)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read ({error.strerror}); restore it or run again.") from error


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` whole or not at all: to a neighbour first, then renamed over ``path``."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` whole or not at all: to a neighbour first, then renamed over ``path``."""
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


def flat(facts: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested names joined by dots: {"training": {"clip": 1}} → {"training.clip": 1}."""
    found: dict[str, Any] = {}
    for name, value in facts.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return found
