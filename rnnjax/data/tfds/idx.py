"""Reads the four files of MNIST, which are in the idx format (LeCun, Cortes & Burges 1998, "The MNIST database")."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from rnnjax.errors import UserError
from rnnjax.regular_files import open_regular, read_bounded

FILES = {  # split -> names of the image file and of the label file
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
SIDE = 28  # pixels
DIGITS = 10
MOST_BYTES = 1 << 28  # of a file, packed or unpacked; the largest of MNIST has 47 MB

_UNSIGNED_BYTES = 8  # code of the data type in the header


def read_digits(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The images (N, 28, 28) and labels (N,) of "train" or "test", uint8.

    Raises:
        UserError: If a file in ``folder`` is damaged or has unexpected content.
    """
    images_path, labels_path = (folder / name for name in FILES[split])
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.shape[1:] != (SIDE, SIDE) or len(images) == 0:
        raise _unexpected(images_path, f"{_shape(images)} numbers instead of images of {SIDE} x {SIDE}")
    if labels.shape != images.shape[:1]:
        raise _unexpected(
            labels_path, f"{_shape(labels)} numbers instead of one label for each of {len(images)} images"
        )
    if labels.max() >= DIGITS:
        raise _unexpected(labels_path, f"the label {labels.max()}, which is not a digit")
    return images, labels


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in a gzipped idx file; UserError if it is damaged or holds something else.

    The format: two zero bytes, the code of the data type, the number of dimensions, each dimension as a big-endian
    32-bit integer, then the array in row-major order.
    """
    try:
        with open_regular(path, MOST_BYTES, follow_links=True) as packed, gzip.open(packed) as file:
            content = read_bounded(file, MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path} cannot be read to its end ({reason}), so it is not the expected file, or truncated or damaged: "
            "delete it and start again to download it, or replace it by a complete copy."
        ) from error
    if len(content) < 4 or content[:3] != bytes((0, 0, _UNSIGNED_BYTES)):
        raise _unexpected(path, "no idx header for unsigned bytes")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise _unexpected(path, "an idx header that is cut off")
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    numbers = np.frombuffer(content[start:], np.uint8)
    if np.prod(shape, dtype=object) != len(numbers):
        raise _unexpected(path, f"{len(numbers)} numbers where its header says {' x '.join(map(str, shape))}")
    return numbers.reshape(shape)


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))


def _unexpected(path: Path, content: str) -> UserError:
    return UserError(f"{path} has {content}, so it is not the expected file: replace it by {path.name} of MNIST.")
