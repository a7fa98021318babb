"""Records out of UTF-8 files of tables with tabs or commas and of JSON lines, each with the line on which it begins."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax.errors import UserError

DELIMITERS = {".tsv": "\t", ".csv": ","}
SUFFIXES = (*DELIMITERS, ".jsonl")

_LINE_END = re.compile(r"\r\n|\r|\n")


class Record(NamedTuple):
    """A row of a table, or a JSON object."""

    line: int  # on which it begins, counted from 1
    names: list[str]  # of the columns, or keys
    values: list[Any]  # aligned with ``names``; only an empty row of a table may have fewer


def read_records(path: Path) -> Iterator[Record]:
    """The rows of a table below the line that names the columns, or the JSON objects; empty ones too.

    A field of a table may stand in double quotes, and then holds delimiters, line ends and doubled quotes.

    Args:
        path: A file whose name ends in one of ``SUFFIXES``, in upper or lower case.

    Raises:
        UserError: If it is of another kind or cannot be read; or, naming the line, if a row is not of one field for
            each column, a quote is never closed, or a line of a .jsonl file holds no object.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path} is of no known kind; give a file whose name ends in {', '.join(SUFFIXES)}.")
    lines = io.StringIO(read_utf8(path), newline="").readlines()
    return _table(path, lines, DELIMITERS[suffix]) if suffix in DELIMITERS else _objects(path, lines)


def is_empty(values: Sequence[Any]) -> bool:
    """Whether there is nothing but white space."""
    return all(value is None or (isinstance(value, str) and not value.strip()) for value in values)


def read_utf8(path: Path) -> str:
    """The text of a UTF-8 file without its byte order mark, line ends as they are.

    Raises:
        UserError: If there is no such file, it cannot be read, is not UTF-8, or holds a NUL byte.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file in it.")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}; name one that exists.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); name a file that can be.") from error
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = _line_number(content[: error.start].decode())
        byte = content[error.start]
        raise UserError(f"Line {line} of {path} is not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8.") from error
    if "\0" in text:
        line = _line_number(text[: text.index("\0")])
        raise UserError(f"Line {line} of {path} holds a NUL byte, so it is no plain text; save the file as UTF-8.")
    return text


def _table(path: Path, lines: list[str], delimiter: str) -> Iterator[Record]:
    names: list[str] = []
    for line, fields in _parsed(path, lines, delimiter):
        if not names:
            names = [] if is_empty(fields) else [name.strip() for name in fields]
        elif is_empty(fields) or len(fields) == len(names):
            yield Record(line, names, fields)
        else:
            raise UserError(
                f"Line {line} of {path} begins a row of {len(fields)} fields where the first line names {len(names)} "
                "columns; put a field that holds a delimiter or a line end into double quotes."
            )


def _parsed(path: Path, lines: list[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines))))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            yield begins, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            opened = _open_quote(lines, begins, delimiter)
            if opened is not None:
                raise UserError(
                    f"The double quote that opens a field on line {opened} of {path} is never closed; close it, or put "
                    "the field into double quotes and write those inside of it twice."
                ) from error
            raise UserError(
                f"Line {begins} of {path} begins a row that cannot be parsed ({error}); put a field that begins with a "
                "double quote into double quotes, and write those inside of it twice."
            ) from error


def _open_quote(lines: list[str], begins: int, delimiter: str) -> int | None:
    """The line of the quote that the last record, begun on line ``begins``, leaves open."""
    rest = "".join(lines[begins - 1 :])
    whole_fields = rf'(?:(?:"(?:[^"]|"")*+"|[^"{delimiter}][^{delimiter}]*+|){delimiter})*+'
    end = re.match(whole_fields, rest).end()  # type: ignore[union-attr]  # it matches the empty string
    never_closed = re.fullmatch('"(?:[^"]|"")*+', rest[end:])
    return begins - 1 + _line_number(rest[:end]) if never_closed else None


def _objects(path: Path, lines: list[str]) -> Iterator[Record]:
    for line, content in enumerate(lines, start=1):
        try:
            found = json.loads(content) if content.strip() else {}
        except (ValueError, RecursionError) as error:
            raise UserError(f"Line {line} of {path} is no JSON ({error}); write one object on each line.") from error
        if not isinstance(found, dict):
            raise UserError(f"Line {line} of {path} is JSON, but no object; write one object on each line.")
        yield Record(line, list(found), list(found.values()))


def _line_number(before: str) -> int:
    """The line, counted from 1, on which the character after ``before`` stands."""
    return len(_LINE_END.findall(before)) + 1
