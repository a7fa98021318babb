"""Reads records from UTF-8 .tsv, .csv and .jsonl files, with the line on which each record begins."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rnnjax.errors import UserError
from rnnjax.regular_files import read_regular
from rnnjax.typing import JSONValue

DELIMITERS = {".tsv": "\t", ".csv": ","}
SUFFIXES = (*DELIMITERS, ".jsonl")
MOST_BYTES = 1 << 33  # of a file

_LINE_END = re.compile(r"\r\n|\r|\n")


class Record(NamedTuple):
    """A row of a table, or a JSON object."""

    line: int  # first line of the record, counted from 1
    names: list[str]  # column names, or keys
    values: list[JSONValue]  # aligned with ``names``; shorter only for an empty row of a table


def read_records(path: Path) -> Iterator[Record]:
    """The rows of a table below its header line, or the JSON objects of a .jsonl file, empty ones included.

    A field of a table may be in double quotes, and may then contain delimiters, line ends and doubled quotes.

    Args:
        path: A file whose name ends in one of ``SUFFIXES``, in upper or lower case.

    Raises:
        UserError: If the file has another suffix or cannot be read; or, naming the line, if a row does not have one
            field for each column, a quote is never closed, or a line of a .jsonl file is not a JSON object.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path} is of an unknown kind; give a file whose name ends in {', '.join(SUFFIXES)}.")
    lines = io.StringIO(read_utf8(path), newline="").readlines()
    return _table(path, lines, DELIMITERS[suffix]) if suffix in DELIMITERS else _objects(path, lines)


def is_empty(values: Sequence[JSONValue]) -> bool:
    """Whether all values are None or white space."""
    return all(value is None or (isinstance(value, str) and not value.strip()) for value in values)


def read_utf8(path: Path) -> str:
    """The text of a UTF-8 file without its byte order mark; line ends are not changed.

    Raises:
        UserError: If the file does not exist, cannot be read, is not UTF-8, or holds a NUL byte.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file in it.")
    try:
        content = read_regular(path, MOST_BYTES, follow_links=True)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}; give one that exists.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}); give a readable file.") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = _line_number(content[: error.start].decode())
        byte = content[error.start]
        raise UserError(f"Line {line} of {path} is not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8.") from error
    if "\0" in text:
        line = _line_number(text[: text.index("\0")])
        raise UserError(
            f"Line {line} of {path} contains a NUL byte, so the file is not plain text; save the file as UTF-8."
        )
    return text


def _table(path: Path, lines: list[str], delimiter: str) -> Iterator[Record]:
    names: list[str] = []
    for line, fields in _csv_rows(path, lines, delimiter):
        if not names:
            names = [] if is_empty(fields) else [name.strip() for name in fields]
        elif is_empty(fields) or len(fields) == len(names):
            yield Record(line, names, fields)
        else:
            raise UserError(
                f"Line {line} of {path} begins a row with {len(fields)} instead of {len(names)} fields; put fields "
                "that contain a delimiter or a line end into double quotes."
            )


def _csv_rows(path: Path, lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines))))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            yield start, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            opened = _open_quote(lines, start, delimiter)
            if opened is not None:
                raise UserError(
                    f"The double quote that opens a field on line {opened} of {path} is never closed; close it, or put "
                    "the field into double quotes and double the quotes inside it."
                ) from error
            raise UserError(
                f"Line {start} of {path} begins a row that cannot be parsed ({error}); put a field that begins with a "
                "double quote into double quotes, and double the quotes inside it."
            ) from error


def _open_quote(lines: list[str], start: int, delimiter: str) -> int | None:
    """The line of the quote that the record beginning on line ``start`` leaves open; None if it closes all quotes."""
    rest = "".join(lines[start - 1 :])
    whole_fields = rf'(?:(?:"(?:[^"]|"")*+"|[^"{delimiter}][^{delimiter}]*+|){delimiter})*+'
    end = re.match(whole_fields, rest).end()  # type: ignore[union-attr]  # it matches the empty string
    never_closed = re.fullmatch('"(?:[^"]|"")*+', rest[end:])
    return start - 1 + _line_number(rest[:end]) if never_closed else None


def _objects(path: Path, lines: list[str]) -> Iterator[Record]:
    for line, content in enumerate(lines, start=1):
        try:
            record = json.loads(content) if content.strip() else {}
        except (ValueError, RecursionError) as error:
            raise UserError(f"Line {line} of {path} is not JSON ({error}); write one object on each line.") from error
        if not isinstance(record, dict):
            raise UserError(f"Line {line} of {path} is JSON, but not an object; write one object on each line.")
        yield Record(line, list(record), list(record.values()))


def _line_number(before: str) -> int:
    """The number, counted from 1, of the line that follows the text ``before``."""
    return len(_LINE_END.findall(before)) + 1
