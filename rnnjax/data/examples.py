"""What every task hands to training: three splits of padded word ids, and the words behind the ids."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

PADDING = 0
UNKNOWN = 1
SPECIAL_WORDS = ("<pad>", "<unk>")


class Examples(NamedTuple):
    """One split: N examples of at most L words."""

    tokens: np.ndarray  # (N, L) int32, left-aligned, 0 = padding after the end, 1 = unknown word
    lengths: np.ndarray  # (N,) int32, >= 1
    labels: np.ndarray  # (N,) int32 in {0, 1}
    # (N,) int32, words between the planted word and the end; synthetic tasks only
    distances: np.ndarray | None = None


class Dataset(NamedTuple):
    """The three splits of one task and its vocabulary."""

    train: Examples
    validation: Examples
    test: Examples
    vocabulary: tuple[str, ...]  # id -> word; [0] = "<pad>", [1] = "<unk>"
    opposites: Mapping[int, int] | None = None  # id of a planted word -> that of one which turns the label around
