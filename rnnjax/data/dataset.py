"""The data set of a task: three splits of padded sequences, and the meaning of their labels."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rnnjax.data.preprocessing import Preprocessing, SeriesPreprocessing

PADDING = 0
UNKNOWN = 1
SPECIAL_WORDS = ("<pad>", "<unk>")
BLANK = 0  # label of steps without an answer in symbol tasks: counted in the loss, not in the accuracy
TOLERANCE = 0.04  # absolute error up to which a number counts as right (Hochreiter & Schmidhuber 1997, section 5.4)


class Objective(enum.Enum):
    """The kind of labels, which determines the model's outputs, the loss and the accuracy."""

    BINARY = "binary"  # (N,) int32 in {0, 1}: one logit, cross-entropy of its sigmoid in nats
    CLASSES = "classes"  # (N,) int32 in 0..C-1: C logits, cross-entropy of their softmax in nats
    NUMBER = "number"  # (N,) float32: one number, squared error; right within TOLERANCE
    SYMBOLS = "symbols"  # (N, L) int32 in 0..V-1: V logits at every step, mean cross-entropy over the valid steps
    SIGNALS = "signals"  # (N, L, K) float32: K numbers at every step, mean squared error; right where its sign is


class Examples(NamedTuple):
    """One split: N sequences of at most L steps, left-aligned."""

    # (N, L) int32 word or symbol ids, 0 = padding after the end, 1 = unknown word; or (N, L, D) float32 numbers,
    # or (N, L, D) uint8, which are scaled to 0..1
    inputs: np.ndarray
    lengths: np.ndarray  # (N,) int32, >= 1
    labels: np.ndarray  # see Objective
    # (N,) int32, steps from the input to be remembered to the end; synthetic tasks only
    distances: np.ndarray | None = None


class Sizes(NamedTuple):
    """Sizes of a model's inputs and outputs."""

    vocabulary: int  # number of word or symbol ids; 0 if inputs are numbers
    features: int  # D, numbers a step; 0 if inputs are ids
    outputs: int  # logits or numbers for each example, or for each step


class Dataset(NamedTuple):
    """The three splits of one task, and how to read them."""

    train: Examples
    validation: Examples
    test: Examples
    # id -> word or symbol, beginning with SPECIAL_WORDS for words; empty if inputs are numbers
    vocabulary: tuple[str, ...] = ()
    opposites: Mapping[int, int] | None = None  # id of a decisive word -> id of a word of the opposite class
    objective: Objective = Objective.BINARY
    classes: tuple[str, ...] = ()  # names of the labels, for BINARY (negative, positive) and CLASSES
    baseline: float | None = None  # loss of the best answer without memory
    chance: float | None = None  # its accuracy, if classes differ in size
    explained: bool = True  # whether word attribution is measured after training, if inputs are words
    fixed_points: bool = False  # whether fixed points under inputs of zeros are searched for after training
    preprocessing: Preprocessing | None = None  # what was done to texts or series from files
    episode_words: tuple[int, ...] = ()  # ids with which an episode inside of a sequence begins
    carried: bool = False  # whether examples are consecutive windows of one sequence, with the state carried over

    @property
    def splits(self) -> tuple[Examples, Examples, Examples]:
        """Training, validation and test."""
        return self.train, self.validation, self.test

    @property
    def label_scale(self) -> tuple[float, float] | None:
        """Mean and deviation by which NUMBER labels were standardised; None where they were not."""
        if self.objective is not Objective.NUMBER or not isinstance(self.preprocessing, SeriesPreprocessing):
            return None
        return self.preprocessing.label_mean, self.preprocessing.label_deviation

    @property
    def sizes(self) -> Sizes:
        """The sizes that a model for this data set must have."""
        features = self.train.inputs.shape[2] if self.train.inputs.ndim == 3 else 0
        outputs = {Objective.CLASSES: len(self.classes), Objective.SYMBOLS: len(self.vocabulary)}
        outputs[Objective.SIGNALS] = self.train.labels.shape[-1]
        return Sizes(0 if features else len(self.vocabulary), features, outputs.get(self.objective, 1))
