"""What every task hands to training: three splits of padded sequences, and what their labels mean."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

PADDING = 0
UNKNOWN = 1
SPECIAL_WORDS = ("<pad>", "<unk>")
BLANK = 0  # the label of a step at which a symbol task wants nothing said: counted in the loss, not in the accuracy
TOLERANCE = 0.04  # a number counts as right within it (Hochreiter & Schmidhuber 1997, section 5.4)


class Objective(enum.Enum):
    """What the labels of a task are, and with it loss and accuracy of an example."""

    BINARY = "binary"  # (N,) int32 in {0, 1}: one logit, cross-entropy of its sigmoid in nats
    CLASSES = "classes"  # (N,) int32 in 0..C-1: C logits, cross-entropy of their softmax in nats
    NUMBER = "number"  # (N,) float32: one number, squared error; right is what is within TOLERANCE
    SYMBOLS = "symbols"  # (N, L) int32 in 0..V-1: V logits a step, mean cross-entropy over the valid steps


class Examples(NamedTuple):
    """One split: N sequences of at most L steps, left-aligned."""

    # (N, L) int32 word or symbol ids, 0 = padding after the end, 1 = unknown word; or (N, L, D) float32 numbers,
    # or (N, L, D) uint8, which are read as 0..1
    inputs: np.ndarray
    lengths: np.ndarray  # (N,) int32, >= 1
    labels: np.ndarray  # see Objective
    # (N,) int32, steps between what must be remembered and the end; synthetic tasks only
    distances: np.ndarray | None = None


class Sizes(NamedTuple):
    """What a model must fit."""

    vocabulary: int  # ids, 0 where inputs are numbers
    numbers: int  # D, 0 where inputs are ids
    outputs: int  # logits, or numbers, of an example or of a step


class Dataset(NamedTuple):
    """The three splits of one task, and what is in them."""

    train: Examples
    validation: Examples
    test: Examples
    # id -> word or symbol, ([0], [1]) = SPECIAL_WORDS where they are words; empty where inputs are numbers
    vocabulary: tuple[str, ...] = ()
    opposites: Mapping[int, int] | None = None  # id of a planted word -> that of one which turns the label around
    objective: Objective = Objective.BINARY
    classes: tuple[str, ...] = ()  # names of the labels, for BINARY (negative, positive) and CLASSES
    baseline: float | None = None  # loss of the best answer that remembers nothing
    chance: float | None = None  # accuracy of the best answer that remembers nothing, where classes differ in size
    explained: bool = True  # after training, what single words do to the answer is measured, where there are words
    carried: bool = False  # examples are consecutive windows of one long sequence, and the state is carried over

    @property
    def sizes(self) -> Sizes:
        """What a model for it must fit."""
        numbers = self.train.inputs.shape[2] if self.train.inputs.ndim == 3 else 0
        many = {Objective.CLASSES: len(self.classes), Objective.SYMBOLS: len(self.vocabulary)}
        return Sizes(0 if numbers else len(self.vocabulary), numbers, many.get(self.objective, 1))
