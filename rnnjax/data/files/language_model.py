"""Data for a character language model: a text cut into consecutive windows, labelled with the next characters."""

from pathlib import Path

import numpy as np

from rnnjax.data.dataset import SPECIAL_WORDS, UNKNOWN, Dataset, Examples, Objective
from rnnjax.data.files.file_reader import UTF8, read_text
from rnnjax.data.files.labels import check_split_arguments
from rnnjax.errors import UserError


def character_dataset(text: str, *, window: int, validation_fraction: float, test_fraction: float) -> Dataset:
    """Split ``text`` into training, validation and test, in this order, and cut each split into windows.

    The label of a step is the next character. An incomplete window at the end of a split is dropped. The windows of a
    split are consecutive, so that the state can be carried from each to the next.

    Args:
        text: As returned by ``read_text_file`` or ``tiny_shakespeare``.
        window: L, characters in a window, at least 1.
        validation_fraction: Fraction of the characters in the validation split, between 0 and 1.
        test_fraction: The same for the test split.

    Returns:
        Inputs and labels (N, L) int32, in the order of the text. Ids are "<pad>" (0, which never occurs), "<unk>"
        (1, for characters that do not occur in the training split), then the characters of the training split in the
        order of their code points. ``baseline`` is the cross-entropy of the test labels in nats a character under
        the frequencies of the training split, with one added to the count of every id but "<pad>".

    Raises:
        UserError: If an argument is out of range, or a split has fewer than window + 1 characters.
    """
    if window < 1:
        raise UserError(f"window is {window} characters; give a number of at least 1.")
    check_split_arguments(validation_fraction=validation_fraction, test_fraction=test_fraction, seed=0)
    codes = np.array([ord(character) for character in text], np.int64)
    ends = np.array([len(codes) - round(test_fraction * len(codes)), len(codes)])
    ends = np.insert(ends, 0, ends[0] - round(validation_fraction * len(codes)))

    known = np.unique(codes[: ends[0]])
    if len(known) == 0:
        raise _too_short(text, window)
    ranks = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    ids = np.where(known[ranks] == codes, len(SPECIAL_WORDS) + ranks, UNKNOWN).astype(np.int32)
    splits = np.split(ids, ends[:-1])
    if min(map(len, splits)) <= window:
        raise _too_short(text, window)

    vocabulary = (*SPECIAL_WORDS, *map(chr, known))
    train, validation, test = (_windows(split, window) for split in splits)
    counts = np.bincount(splits[0], minlength=len(vocabulary))[UNKNOWN:] + 1
    nats = -np.log(counts / counts.sum())
    return Dataset(
        train=train,
        validation=validation,
        test=test,
        vocabulary=vocabulary,
        objective=Objective.SYMBOLS,
        baseline=float(nats[test.labels - UNKNOWN].mean()),
        carried=True,
    )


def read_text_file(path: Path, encoding: str = UTF8) -> str:
    """The text of a file, plain or .gz, without a byte order mark and with line feeds as line ends.

    Raises:
        UserError: If the file cannot be read, is not in this encoding (see ``file_reader.read_text``), or is empty.
    """
    text = read_text(path, encoding).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UserError(f"{path} is empty; give a file with a long text.")
    return text


def _windows(split: np.ndarray, window: int) -> Examples:
    count = (len(split) - 1) // window
    inputs, labels = (part[: count * window].reshape(count, window) for part in (split, split[1:]))
    return Examples(inputs, np.full(count, window, np.int32), labels)


def _too_short(text: str, window: int) -> UserError:
    return UserError(
        f"{len(text):,} characters are too few: training, validation and test each need at least {window + 1:,}, one "
        "more than a window has; give a longer text, a smaller window or larger fractions."
    )
