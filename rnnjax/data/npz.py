"""Reads arrays from .npz files that others may have made: nothing is unpickled, and unpacked sizes are bounded."""

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from rnnjax.regular_files import open_regular, too_large

MOST_BYTES = 1 << 34  # of a file, and of all its arrays unpacked


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name.

    Raises:
        Exception: of many types: the file is no regular file, is too large, or as ``load_npz``.
    """
    with open_regular(path, MOST_BYTES, follow_links=True) as file:
        return load_npz(file)


def load_npz(file: IO[bytes]) -> dict[str, np.ndarray]:
    """The arrays of the content of an .npz file by name.

    Raises:
        Exception: of many types: it is too large when unpacked, is damaged, or holds an array of Python objects.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:  # no more than this is unpacked
                raise too_large(MOST_BYTES)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded}
