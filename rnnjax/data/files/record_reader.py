"""Reads records from .tsv, .csv and .jsonl files, with the line on which each record begins."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rnnjax.data.files.file_reader import UTF8, line_number, read_text, suffix_of
from rnnjax.errors import UserError
from rnnjax.typing import JSONValue

TAB = "\t"
DELIMITERS = {".tsv": TAB, ".csv": ","}
SUFFIXES = (*DELIMITERS, ".jsonl")

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')

Row = tuple[int, list[str]]  # first line, counted from 1, and fields


class Record(NamedTuple):
    """A row of a table, or a JSON object."""

    line: int  # first line of the record, counted from 1
    names: list[str]  # column names, or keys
    values: list[JSONValue]  # aligned with ``names``; shorter only for an empty row of a table


def read_records(
    path: Path, *, header: bool = True, encoding: str = UTF8, note: Callable[[str], None] = lambda message: None
) -> Iterator[Record]:
    """The rows of a table below its header line, or the JSON objects of a .jsonl file, empty ones included.

    A field of a table may be in double quotes, and may then contain delimiters, line ends and doubled quotes. A .tsv
    file in which every line has as many fields as the first is read line by line, since there a double quote is often
    a character of the text; a field that is quoted as a whole loses its quotes there too.

    Args:
        path: A file whose name ends in one of ``SUFFIXES``, in upper or lower case, or in one of them and ".gz".
        header: Whether the first line of a table names its columns; else their names are "1", "2", ...
        encoding: Of the file.
        note: Called with one sentence if double quotes of a .tsv file leave a doubt where its rows end.

    Raises:
        UserError: If the file has another suffix or cannot be read; or, naming the line, if a row does not have one
            field for each column, a quote is never closed, a quoted field of a .tsv file spans lines that look like
            rows, or a line of a .jsonl file is not a JSON object.
    """
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path} is of an unknown kind; give a file whose name ends in {', '.join(SUFFIXES)}, or in one of these "
            "and .gz."
        )
    lines = io.StringIO(read_text(path, encoding), newline="").readlines()
    if suffix not in DELIMITERS:
        return _objects(path, lines)
    delimiter = DELIMITERS[suffix]
    rows = _rows_of_lines(path, lines, note) if delimiter == TAB else None
    return _table(path, _csv_rows(path, lines, delimiter, note) if rows is None else iter(rows), header)


def is_empty(values: Sequence[JSONValue]) -> bool:
    """Whether all values are None or white space."""
    return all(value is None or (isinstance(value, str) and not value.strip()) for value in values)


def _table(path: Path, rows: Iterator[Row], header: bool) -> Iterator[Record]:
    names: list[str] = []
    for line, fields in rows:
        if not names and not is_empty(fields):
            names = [name.strip() for name in fields] if header else [str(i + 1) for i in range(len(fields))]
            if header:
                continue
        if names and not is_empty(fields) and len(fields) != len(names):
            raise UserError(
                f"Line {line} of {path} begins a row with {len(fields)} instead of {len(names)} fields; put fields "
                "that contain a delimiter or a line end into double quotes."
            )
        if names:
            yield Record(line, names, list(fields))


def _rows_of_lines(path: Path, lines: list[str], note: Callable[[str], None]) -> list[Row] | None:
    """The rows of a .tsv file in which every line is a row of as many fields as the first; None for another file."""
    rows = [(number, line.rstrip("\r\n").split(TAB)) for number, line in enumerate(lines, start=1)]
    if len({len(fields) for _, fields in rows if not is_empty(fields)}) != 1:
        return None
    opened = sum(field.startswith('"') and not _QUOTED.fullmatch(field) for _, fields in rows for field in fields)
    if opened:
        fields = "1 field" if opened == 1 else f"{opened:,} fields"
        note(f"{path} has {fields} with an unclosed double quote; it is read as text, and every line as a row")
    return [(number, list(map(_unquoted, fields))) for number, fields in rows]


def _unquoted(field: str) -> str:
    match = _QUOTED.fullmatch(field)
    return match[1].replace('""', '"') if match else field


def _csv_rows(path: Path, lines: list[str], delimiter: str, note: Callable[[str], None]) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines))))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    spanning = 0
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise _not_parsed(path, lines, start, delimiter, error) from error
        if delimiter == TAB and reader.line_num > start:
            spanning += 1
            _refuse_swallowed_rows(path, lines, start, reader.line_num, len(fields))
        yield start, fields
    if spanning:
        rows = "1 row of {} spans" if spanning == 1 else f"{spanning:,} rows of {{}} span"
        note(f"{rows.format(path)} several lines, from a double quote that opens a field to the one that closes it")


def _refuse_swallowed_rows(path: Path, lines: list[str], start: int, end: int, columns: int) -> None:
    """UserError if the row from line ``start`` to line ``end`` of a .tsv file seems to hold other rows in a field."""
    rows = [number for number in range(start, end + 1) if lines[number - 1].count(TAB) == columns - 1]
    if columns > 1 and len(rows) > 1:
        raise UserError(
            f"The double quote that opens a field on line {start} of {path} is closed only on line {end}, though line "
            f"{rows[-1]} looks like a row of its own; give every line {columns} fields to have quotes read as text, "
            "or write the file as .csv."
        )


def _not_parsed(path: Path, lines: list[str], start: int, delimiter: str, error: csv.Error) -> UserError:
    opened = _open_quote(lines, start, delimiter)
    if opened is not None:
        return UserError(
            f"The double quote that opens a field on line {opened} of {path} is never closed; close it, or put "
            "the field into double quotes and double the quotes inside it."
        )
    return UserError(
        f"Line {start} of {path} begins a row that cannot be parsed ({error}); put a field that begins with a "
        "double quote into double quotes, and double the quotes inside it."
    )


def _open_quote(lines: list[str], start: int, delimiter: str) -> int | None:
    """The line of the quote that the record beginning on line ``start`` leaves open; None if it closes all quotes."""
    rest = "".join(lines[start - 1 :])
    whole_fields = rf'(?:(?:"(?:[^"]|"")*+"|[^"{delimiter}][^{delimiter}]*+|){delimiter})*+'
    end = re.match(whole_fields, rest).end()  # type: ignore[union-attr]  # it matches the empty string
    never_closed = re.fullmatch('"(?:[^"]|"")*+', rest[end:])
    return start - 1 + line_number(rest[:end]) if never_closed else None


def _objects(path: Path, lines: list[str]) -> Iterator[Record]:
    for line, content in enumerate(lines, start=1):
        try:
            record = json.loads(content) if content.strip() else {}
        except (ValueError, RecursionError) as error:
            raise UserError(f"Line {line} of {path} is not JSON ({error}); write one object on each line.") from error
        if not isinstance(record, dict):
            raise UserError(f"Line {line} of {path} is JSON, but not an object; write one object on each line.")
        yield Record(line, list(record), list(record.values()))
