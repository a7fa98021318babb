"""Reads texts, with or without labels, from the user's .tsv, .csv, .jsonl and .txt files and folders."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rnnjax.data.files.class_folders import read_class_folders, text_files
from rnnjax.data.files.file_reader import UTF8, read_text, suffix_of
from rnnjax.data.files.labels import check_label, quote_names
from rnnjax.data.files.record_reader import Record, is_empty, read_records
from rnnjax.errors import UserError

TEXT_NAMES = ("text", "sentence", "review", "content")
LABEL_NAMES = ("label", "class", "sentiment", "target", "category")


class TextFormat(NamedTuple):
    """Where the texts and labels of a file stand.

    Of a table without a header line, the names of the columns are "1", "2", ...
    """

    # columns, or keys, whose contents are joined by line ends to one text; none of them means "text" in upper or lower
    # case, or else the only column that is in ``TEXT_NAMES``
    text_columns: tuple[str, ...] = ()
    # the same for the labels and ``LABEL_NAMES``
    label_column: str | None = None
    header: bool = True  # whether the first line of a table names its columns
    encoding: str = UTF8


class Row(NamedTuple):
    """One text."""

    text: str
    label: str  # not empty, without surrounding white space; empty where labels are not read
    line: int  # first line of the row, counted from 1
    file: Path | None = None  # where each text is a file of its own

    def place(self, path: Path) -> str:
        """Where the text stands in the file or folder ``path``, to begin a sentence."""
        return str(self.file or f"Line {self.line} of {path}")


def read_rows(
    path: Path, form: TextFormat, *, labelled: bool = True, note: Callable[[str], None] = lambda message: None
) -> tuple[list[Row], int]:
    """The texts of a file or folder, and the number of empty rows skipped.

    The first line of a .tsv or .csv file names its columns (see ``read_records`` for double quotes). A .jsonl file has
    one JSON object on each line; labels in it are strings, integers or booleans. A folder holds a folder of .txt files
    for each class. Any of these files may be compressed, with ".gz" at the end of its name.

    Args:
        path: A file or a folder.
        form: Columns and encoding; without effect on folders but for the encoding.
        labelled: Whether to read labels, and not those texts of a .txt file, one a line, or of a folder of .txt files.
        note: Called with one sentence for each thing about the file that the user should know.

    Raises:
        UserError: If the file has another suffix, cannot be read, or lacks rows or these columns; or, naming the line
            on which the row begins, if a row has too few or too many fields, no label, or cannot be parsed.
    """
    if path.is_dir():
        return _folder_rows(path, form.encoding, labelled, note), 0
    if not labelled and suffix_of(path) == ".txt":
        lines = [line.rstrip("\r\n") for line in io.StringIO(read_text(path, form.encoding), newline="")]
        kept = [Row(line, "", number) for number, line in enumerate(lines, start=1) if line.strip()]
        return _not_empty(kept, path, labelled), len(lines) - len(kept)
    rows: list[Row] = []
    skipped = 0
    for record in read_records(path, header=form.header, encoding=form.encoding, note=note):
        if is_empty(record.values):
            skipped += 1
            continue
        if not rows:
            text_names, label_name = _columns(path, record.names, form, labelled)
        rows.append(_row(path, record, text_names, label_name))
    return _not_empty(rows, path, labelled), skipped


def _folder_rows(path: Path, encoding: str, labelled: bool, note: Callable[[str], None]) -> list[Row]:
    if not labelled:
        rows = [Row(read_text(file, encoding), "", 1, file) for file in text_files(path, deep=True)]
        return _not_empty(rows, path, labelled)
    return [
        Row(file.text, check_label(label, str(file.path)), 1, file.path)
        for label, file in read_class_folders(path, encoding, note)
    ]


def _not_empty(rows: list[Row], path: Path, labelled: bool) -> list[Row]:
    if not rows and labelled:
        raise UserError(
            f"{path} has no labelled text; give texts with labels under a first line that names the columns, or one "
            "JSON object on each line of a .jsonl file."
        )
    if not rows:
        raise UserError(f"{path} has no text; give a .txt file with one text on each line, or a .csv, .tsv or .jsonl.")
    return rows


def _columns(path: Path, names: list[str], form: TextFormat, labelled: bool) -> tuple[tuple[str, ...], str | None]:
    """The columns of the text, and that of the label if it is read."""
    text_names = tuple(
        _column(path, names, name, TEXT_NAMES, "--text-column", form.header) for name in form.text_columns or (None,)
    )
    if not labelled:
        return text_names, None
    label_name = _column(path, names, form.label_column, LABEL_NAMES, "--label-column", form.header)
    if label_name in text_names:
        raise UserError(
            f'"{label_name}" cannot hold both the texts and the labels of {path}; give two columns with '
            "--text-column and --label-column."
        )
    return text_names, label_name


def _column(
    path: Path, names: list[str], requested: str | None, usual: tuple[str, ...], flag: str, header: bool
) -> str:
    if not header and requested is None:
        raise UserError(
            f"Without a header line the columns of {path} are {quote_names(names)}; give the number of one of them "
            f"with {flag}."
        )
    if requested is None:
        matching = [name for name in names if name.lower() == usual[0]]
        matching = matching or [name for name in names if name.lower() in usual]
    else:
        matching = [name for name in names if name == requested]
    if len(matching) != 1:
        expected = f'"{requested}"' if requested is not None else f"{', '.join(usual[:-1])} or {usual[-1]}"
        first = "its first line (or first JSON object) names" if header else "without a header line they are"
        remedy = f"give one of these with {flag}"
        if header:
            remedy += ", or rename a column" if requested is not None else ", rename a column, or give --no-header"
        raise UserError(
            f"{'More than one' if matching else 'No'} column of {path} is called {expected}: {first} "
            f"{quote_names(names)}; {remedy}."
        )
    return matching[0]


def _row(path: Path, record: Record, text_names: tuple[str, ...], label_name: str | None) -> Row:
    values = dict(zip(record.names, record.values, strict=True))
    place = f"Line {record.line} of {path}"
    for name in (*text_names, *filter(None, [label_name])):
        if name not in values:
            raise UserError(f'{place} has no key "{name}"; give each object a text and a label.')
    texts = []
    for name in text_names:
        text = values[name]
        if not isinstance(text, str):
            raise UserError(f'{place} has no string under "{name}"; put the text there.')
        texts.append(text)
    label = "" if label_name is None else _label(values[label_name], label_name, place)
    return Row("\n".join(texts), label, record.line)


def _label(label: object, name: str, place: str) -> str:
    if isinstance(label, int):
        label = json.dumps(label)
    if label is None or (isinstance(label, str) and not label.strip()):
        raise UserError(f'{place} has no label under "{name}"; give one, or delete the row.')
    if not isinstance(label, str):
        raise UserError(f'{place} has neither a string nor an integer under "{name}"; put the label there.')
    return check_label(label.strip(), place)
