"""The temporal order problem: classify the order of two or three marks that are far apart."""

import itertools
import math

import numpy as np

from rnnjax.data.dataset import Dataset, Examples, Objective
from rnnjax.data.synthetic.sampling import check_lengths, draw_splits
from rnnjax.errors import UserError

DISTRACTORS = ("a", "b", "c", "d")
RELEVANT = ("X", "Y")
MARK_RANGES = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}  # percent of the length, by number of marks
MIN_LENGTH = 10  # steps; at this length the ranges of the marks do not overlap


def temporal_order(
    *,
    min_length: int,
    max_length: int,
    marks: int,
    train_examples: int,
    validation_examples: int,
    test_examples: int,
    seed: int,
) -> Dataset:
    """Sequences of distractors with two or three marks, X or Y, among them; the label is the order of the marks.

    Hochreiter & Schmidhuber 1997, experiments 6a (two marks, 4 classes) and 6b (three marks, 8 classes), in the
    form of Pascanu, Mikolov & Bengio 2013, without symbols for start and end. Each mark is X or Y at random,
    at a random step: with two marks between 10% and 20%, and between 50% and 60% of the length; with three between
    10% and 20%, 33% and 43%, and 66% and 76%. Every other step is one of a, b, c, d. The baseline gives
    every class the same probability: ln(classes) nats.

    Args:
        min_length: Smallest number of steps, at least 10.
        max_length: Largest number of steps; lengths are uniform on [min_length, max_length].
        marks: Number of marks, 2 or 3.
        train_examples: Number of training sequences.
        validation_examples: Number of validation sequences.
        test_examples: Number of test sequences.
        seed: Not negative; determines every number in the result.

    Returns:
        A data set whose ``inputs`` are (N, max_length), 0 past the end; ``classes`` names the orders, as "XY".

    Raises:
        UserError: If an argument is out of its range.
    """
    check_lengths(min_length, max_length, at_least=MIN_LENGTH)
    if marks not in MARK_RANGES:
        raise UserError(f"marks is {marks}; give {' or '.join(map(str, MARK_RANGES))}.")

    def draw(rng: np.random.Generator, count: int) -> Examples:
        lengths = rng.integers(min_length, max_length, size=count, endpoint=True)
        return _orders(rng, lengths, marks, max_length)

    train, validation, test = draw_splits(
        draw,
        train_examples=train_examples,
        validation_examples=validation_examples,
        test_examples=test_examples,
        seed=seed,
    )
    classes = tuple("".join(order) for order in itertools.product(RELEVANT, repeat=marks))
    return Dataset(
        train,
        validation,
        test,
        vocabulary=DISTRACTORS + RELEVANT,
        objective=Objective.CLASSES,
        classes=classes,
        baseline=math.log(len(classes)),
    )


def _orders(rng: np.random.Generator, lengths: np.ndarray, marks: int, width: int) -> Examples:
    count = len(lengths)
    low, high = np.array(MARK_RANGES[marks]).T
    positions = rng.integers(low * lengths[:, None] // 100, high * lengths[:, None] // 100, endpoint=True)
    chosen = rng.integers(len(RELEVANT), size=(count, marks))
    inputs = rng.integers(len(DISTRACTORS), size=(count, width), dtype=np.int32)
    inputs[np.arange(count)[:, None], positions] = len(DISTRACTORS) + chosen
    inputs[np.arange(width) >= lengths[:, None]] = 0
    return Examples(
        inputs=inputs,
        lengths=lengths.astype(np.int32),
        labels=(chosen @ len(RELEVANT) ** np.arange(marks)[::-1]).astype(np.int32),
    )
