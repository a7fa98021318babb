"""Reads labelled texts from the user's .tsv, .csv and .jsonl files."""

import json
from pathlib import Path
from typing import NamedTuple

from rnnjax.data.files.labels import quote_names
from rnnjax.data.files.record_reader import Record, is_empty, read_records
from rnnjax.errors import UserError

TEXT_NAMES = ("text", "sentence", "review", "content")
LABEL_NAMES = ("label", "class", "sentiment", "target", "category")


class Row(NamedTuple):
    """One labelled text."""

    text: str
    label: str  # not empty, without surrounding white space
    line: int  # first line of the row, counted from 1


def read_rows(path: Path, *, text_column: str | None, label_column: str | None) -> tuple[list[Row], int]:
    """The labelled texts of a file, and the number of empty rows skipped.

    The first line of a .tsv or .csv file names its columns; a field may be in double quotes, and may then contain
    delimiters, line ends and doubled quotes. A .jsonl file has one JSON object on each line.

    Args:
        path: A UTF-8 file, with or without a byte order mark.
        text_column: The column, or key, of the texts; None means "text" in upper or lower case, or else the only
            column that is in ``TEXT_NAMES``.
        label_column: The same for the labels and ``LABEL_NAMES``. In JSON, labels are strings, integers or
            booleans.

    Raises:
        UserError: If the file has another suffix, cannot be read, or lacks rows or these columns; or, naming the line
            on which the row begins, if a row has too few or too many fields, no label, or cannot be parsed.
    """
    rows: list[Row] = []
    skipped = 0
    for record in read_records(path):
        if is_empty(record.values):
            skipped += 1
            continue
        if not rows:
            text_name = _column(path, record.names, text_column, TEXT_NAMES, "--text-column")
            label_name = _column(path, record.names, label_column, LABEL_NAMES, "--label-column")
            if text_name == label_name:
                raise UserError(
                    f'"{text_name}" cannot hold both the texts and the labels of {path}; give two columns with '
                    "--text-column and --label-column."
                )
        rows.append(_row(path, record, text_name, label_name))
    if not rows:
        raise UserError(
            f"{path} has no labelled text; give texts with labels under a first line that names the columns, or one "
            "JSON object on each line of a .jsonl file."
        )
    return rows, skipped


def _column(path: Path, names: list[str], requested: str | None, usual: tuple[str, ...], flag: str) -> str:
    if requested is None:
        matching = [name for name in names if name.lower() == usual[0]]
        matching = matching or [name for name in names if name.lower() in usual]
    else:
        matching = [name for name in names if name == requested]
    if len(matching) != 1:
        expected = f'"{requested}"' if requested is not None else f"{', '.join(usual[:-1])} or {usual[-1]}"
        raise UserError(
            f"{'More than one' if matching else 'No'} column of {path} is called {expected}: its first line (or first "
            f"JSON object) names {quote_names(names)}; give one of these with {flag}, or rename a column."
        )
    return matching[0]


def _row(path: Path, record: Record, text_name: str, label_name: str) -> Row:
    values = dict(zip(record.names, record.values, strict=True))
    location = f"Line {record.line} of {path}"
    for name in (text_name, label_name):
        if name not in values:
            raise UserError(f'{location} has no key "{name}"; give each object a text and a label.')
    text, label = values[text_name], values[label_name]
    if not isinstance(text, str):
        raise UserError(f'{location} has no string under "{text_name}"; put the text there.')
    if isinstance(label, int):
        label = json.dumps(label)
    if label is None or (isinstance(label, str) and not label.strip()):
        raise UserError(f'{location} has no label under "{label_name}"; give one, or delete the row.')
    if not isinstance(label, str):
        raise UserError(f'{location} has neither a string nor an integer under "{label_name}"; put the label there.')
    return Row(text, label.strip(), record.line)
