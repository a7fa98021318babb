"""A text as consecutive windows of characters, each to be foretold from those before it."""

from pathlib import Path

import numpy as np

from rnnjax.data.dataset import SPECIAL_WORDS, UNKNOWN, Dataset, Examples, Objective
from rnnjax.data.files.labels import check_split
from rnnjax.data.files.record_reader import read_utf8
from rnnjax.errors import UserError


def characters(text: str, *, window: int, validation_fraction: float, test_fraction: float) -> Dataset:
    """``text`` as one long sequence of characters: three stretches, cut into windows whose state is carried over.

    The training stretch comes first, then that for validation, then that for the test. The label of a step is the
    character after it. What is left over at the end of a stretch and fills no window is dropped.

    Args:
        text: What ``read_text_file`` or ``tiny_shakespeare`` returns.
        window: L, characters in a window, at least 1.
        validation_fraction: Part of the characters in the validation stretch, between 0 and 1.
        test_fraction: The same for the test stretch.

    Returns:
        Inputs and labels (N, L) int32, in the order of the text. Ids are "<pad>" (0, which never occurs), "<unk>"
        (1, characters that the training stretch does not have), then the characters of the training stretch in the
        order of their code points. ``baseline`` is the cross-entropy of the test labels in nats a character under
        the frequencies of the training stretch, with one added to the count of every id but "<pad>".

    Raises:
        UserError: If an argument is out of its range, or a stretch is too short for a window and one more character.
    """
    if window < 1:
        raise UserError(f"window is {window} characters; give a number of at least 1.")
    check_split(validation_fraction=validation_fraction, test_fraction=test_fraction, seed=0)
    codes = np.array([ord(character) for character in text], np.int64)
    ends = np.array([len(codes) - round(test_fraction * len(codes)), len(codes)])
    ends = np.insert(ends, 0, ends[0] - round(validation_fraction * len(codes)))

    known = np.unique(codes[: ends[0]])
    if len(known) == 0:
        raise _too_short(text, window)
    places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    ids = np.where(known[places] == codes, len(SPECIAL_WORDS) + places, UNKNOWN).astype(np.int32)
    stretches = np.split(ids, ends[:-1])
    if min(map(len, stretches)) <= window:
        raise _too_short(text, window)

    vocabulary = (*SPECIAL_WORDS, *map(chr, known))
    train, validation, test = (_windows(stretch, window) for stretch in stretches)
    counts = np.bincount(stretches[0], minlength=len(vocabulary))[UNKNOWN:] + 1
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


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; a newline character alone ends its lines.

    Raises:
        UserError: If there is no such file, it cannot be read, is empty, holds a NUL byte, or is not UTF-8; the
            message names the line.
    """
    text = read_utf8(path).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise UserError(f"{path} is empty; give a file with a long text.")
    return text


def _windows(stretch: np.ndarray, window: int) -> Examples:
    count = (len(stretch) - 1) // window
    inputs, labels = (part[: count * window].reshape(count, window) for part in (stretch, stretch[1:]))
    return Examples(inputs, np.full(count, window, np.int32), labels)


def _too_short(text: str, window: int) -> UserError:
    return UserError(
        f"{len(text):,} characters are too few for a training, a validation and a test part of at least one window of "
        f"{window:,} characters and one more; give a longer text, a smaller window or larger fractions."
    )
