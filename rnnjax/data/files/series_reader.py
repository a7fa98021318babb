"""Reads labelled time series from .npz files, without unpickling objects."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnjax.data.files.file_reader import read_bytes
from rnnjax.data.npz import load_npz
from rnnjax.errors import UserError

LARGEST = np.finfo(np.float32).max
BYTES_PER_NUMBER = 56  # at most, while series are read, scaled and copied to the devices
MANY_NUMBERS, MOSTLY_PADDING = 1 << 23, 4  # padded numbers, and multiple of the valid ones, from which a line is due
RECIPE = "docs/how-to/own-data.md makes one of .ts, .wav and .csv files in a few lines."


class Series(NamedTuple):
    """The N labelled series of a file."""

    values: np.ndarray  # (N, L, D) float64, 0 after the end
    lengths: np.ndarray  # (N,) int32, >= 1
    labels: np.ndarray  # (N,) integers, booleans, strings or floating-point numbers

    @property
    def valid(self) -> np.ndarray:
        """(N, L) bool, True up to the end of each series."""
        return np.arange(self.values.shape[1]) < self.lengths[:, None]

    @property
    def has_numbers(self) -> bool:
        """Whether the labels are regression targets instead of classes."""
        return self.labels.dtype.kind == "f"


def read_series(path: Path, progress: Callable[[str], None] | None = None, *, labelled: bool = True) -> Series:
    """The series x and the labels y of an .npz file, plain or .npz.gz.

    x is (N, T, D) or (N, T), optionally with an array ``lengths`` (N,) of the numbers of valid steps; or
    (sum of lengths, D), the concatenated series, with ``lengths``. y is (N,).

    Args:
        path: of the file.
        progress: Called with one line before series of which most are far shorter than the longest are padded to it.
        labelled: Whether y is read; without it all labels are 0.

    Raises:
        UserError: If the file cannot be read, lacks x or y, or holds pickled objects; if the shapes do not fit, there
            are no examples, or a series has no steps; if x or y holds NaN, infinity or numbers too large for float32;
            if the machine has too little memory for series that are padded to the longest.
    """
    arrays = _arrays(path)
    if not labelled and "x" in arrays:
        arrays["y"] = np.zeros(len(np.atleast_1d(arrays.get("lengths", arrays["x"]))), np.int32)
    for name, kinds, expected in (
        ("x", "biuf", "numbers"),
        ("y", "biufU", "integers, strings or floating-point numbers"),
    ):
        if name not in arrays:
            raise UserError(f"{path} must hold arrays x and y, but holds {', '.join(arrays) or 'none'}.")
        if arrays[name].dtype.kind not in kinds:
            raise UserError(f"{name} of {path} has dtype {arrays[name].dtype}; save {expected}.")
    x, y = arrays["x"], arrays["y"]
    if y.ndim != 1 or len(y) == 0:
        raise UserError(f"y of {path} has the shape {y.shape}; give one label for each of at least one example.")
    lengths = _lengths(path, arrays, y)
    if lengths is None:
        values = x[:, :, None] if x.ndim == 2 else x
        lengths = np.full(len(y), values.shape[1] if values.ndim == 3 else 0)
    elif x.ndim in (1, 2) and len(x) == lengths.sum():
        _check_padding(path, lengths, x.size // len(x), progress or (lambda line: None))
        values = np.zeros((len(y), lengths.max(), x.size // len(x)))
        values[np.arange(lengths.max()) < lengths[:, None]] = x.reshape(len(x), -1)
    else:
        values = x[:, :, None] if x.ndim == 2 else x
    if values.ndim != 3 or len(values) != len(y) or 0 in values.shape or values.shape[1] < lengths.max():
        raise UserError(
            f"x of {path} has the shape {x.shape}, which does not fit {len(y):,} labels"
            f"{f' and lengths that sum to {lengths.sum():,}' if 'lengths' in arrays else ''}; "
            "give (N, T, D), (N, T), or with lengths (sum of lengths, D), without axes of length 0."
        )
    values = values[:, : lengths.max()].astype(np.float64)
    series = Series(values, lengths.astype(np.int32), y)
    _check_finite(path, series)
    return series._replace(values=np.where(series.valid[:, :, None], values, 0.0))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.is_dir():
        raise UserError(f"{path} is a folder; give an .npz file. {RECIPE}")
    content = io.BytesIO(read_bytes(path))
    if not content.getvalue().startswith((b"PK\x03\x04", b"PK\x05\x06")):  # of a zip archive, full and empty
        raise UserError(
            f"{path} is not an .npz file, the kind that series are read from; write one with numpy.savez. {RECIPE}"
        )
    try:
        return load_npz(content)
    except Exception as error:  # damaged files raise many types of exceptions in numpy and zipfile
        if "Object arrays" in str(error):
            raise UserError(
                f"{path} holds an array of Python objects, which is not opened because unpickling can run code; save "
                "the concatenated series with their lengths:\n"
                "    lengths = np.array([len(x) for x in series])\n"
                '    np.savez("data.npz", x=np.concatenate(series), lengths=lengths, y=np.array(labels))'
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read as an .npz file ({reason}); write it with numpy.savez.") from error


def _lengths(path: Path, arrays: dict[str, np.ndarray], y: np.ndarray) -> np.ndarray | None:
    lengths = arrays.get("lengths")
    if lengths is None:
        return None
    if lengths.shape != y.shape or lengths.dtype.kind not in "iu":
        raise UserError(
            f"lengths of {path} has dtype {lengths.dtype} and shape {lengths.shape}; give an integer for each of the "
            f"{len(y):,} labels."
        )
    if lengths.min() < 1:
        example = int(np.argmax(lengths < 1))
        raise UserError(
            f"Example {example} of {path} has the length {lengths[example]}; every series needs at least one step."
        )
    return lengths.astype(np.int64)


def _check_padding(path: Path, lengths: np.ndarray, features: int, progress: Callable[[str], None]) -> None:
    """Say how much memory padding takes where it is most of the data; UserError where the machine has less."""
    longest, numbers = int(lengths.max()), len(lengths) * int(lengths.max()) * features
    needed, memory = numbers * BYTES_PER_NUMBER, _memory()
    shape = (
        f"the longest of the {len(lengths):,} series of {path} has {longest:,} steps, half of them have at most "
        f"{int(np.median(lengths)):,}, and all are padded to the longest, which takes about {needed / 1e9:,.1f} GB"
    )
    if memory is not None and needed > memory:
        shape = shape[:1].upper() + shape[1:]
        raise UserError(f"{shape} of {memory / 1e9:,.1f} GB; cut the longest into parts or remove them.")
    if numbers > MANY_NUMBERS and numbers > MOSTLY_PADDING * int(lengths.sum()) * features:
        progress(f"{shape}; cut the longest into parts, or remove them, to need less")


def _memory() -> int | None:
    """Bytes of memory of the machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _check_finite(path: Path, series: Series) -> None:
    with np.errstate(invalid="ignore"):
        fits = np.abs(series.values) <= LARGEST  # also False for NaN
        wrong = (~fits & series.valid[:, :, None]).any(axis=(1, 2))
        wrong_label = ~(np.abs(series.labels) <= LARGEST) if series.has_numbers else np.zeros(len(wrong), bool)
    for name, invalid in (("x", wrong), ("y", wrong_label)):
        if invalid.any():
            raise UserError(
                f"{name} of {path} holds NaN, infinity or a number too large for float32 in example "
                f"{int(np.argmax(invalid))}, counted from 0; correct or remove it."
            )
