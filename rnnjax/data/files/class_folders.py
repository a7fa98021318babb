"""Reads labelled texts from a folder that holds one folder of text files for each class, as IMDB's does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from rnnjax.data.files.file_reader import read_text, suffix_of
from rnnjax.errors import UserError

UNLABELLED = "unsup"  # the folder of texts without a label in IMDB's archive


class TextFile(NamedTuple):
    """A file that holds one text."""

    path: Path
    text: str


def read_class_folders(folder: Path, encoding: str, note: Callable[[str], None]) -> Iterator[tuple[str, TextFile]]:
    """(class, text) of each ``folder``/CLASS/NAME.txt, plain or .txt.gz, in the order of the names.

    Args:
        folder: Of the folders of the classes; the folder "unsup" and other files are left out.
        encoding: Of the text files.
        note: Called with one sentence if "unsup" is left out.

    Raises:
        UserError: If there is no such text file, or one cannot be read.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and text_files(path, deep=False))
    if not classes:
        raise UserError(
            f"{folder} does not hold a folder of .txt files for each class, as in {folder.name}/good/1.txt; give the "
            "folder that holds the folders of the classes, or a file."
        )
    for path in classes:
        if path.name == UNLABELLED:
            note(f"left out {path}, whose texts have no label")
            continue
        for file in text_files(path, deep=False):
            yield path.name, TextFile(file, read_text(file, encoding))


def text_files(folder: Path, *, deep: bool) -> list[Path]:
    """The .txt and .txt.gz files in a folder, or also in those below it, in the order of their names."""
    paths = folder.rglob("*") if deep else folder.iterdir()
    return sorted(
        path for path in paths if suffix_of(path) == ".txt" and not path.name.startswith(".") and path.is_file()
    )
