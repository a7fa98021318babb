"""The adding problem: output the sum of two marked numbers at the end of a sequence."""

import numpy as np

from rnnjax.data.dataset import Dataset, Examples, Objective
from rnnjax.data.synthetic.sampling import check_lengths, draw_splits

BASELINE = 1 / 6  # squared error of the constant answer 1: the variance of the sum of two uniform numbers


def adding(
    *,
    min_length: int,
    max_length: int,
    train_examples: int,
    validation_examples: int,
    test_examples: int,
    seed: int,
) -> Dataset:
    """Sequences of numbers, two of them marked; the label is the sum of those two.

    Hochreiter & Schmidhuber 1997, experiment 4, in the form of Le, Jaitly & Hinton 2015. Column 0 of the inputs
    holds numbers uniform on [0, 1); column 1 is 1 at one random step of the first half of the sequence and at one
    of the second half, and 0 elsewhere. The middle step of an odd length belongs to the second half.

    Args:
        min_length: Smallest number of steps, at least 2.
        max_length: Largest number of steps; lengths are uniform on [min_length, max_length].
        train_examples: Number of training sequences.
        validation_examples: Number of validation sequences.
        test_examples: Number of test sequences.
        seed: Not negative; determines every number in the result.

    Returns:
        A data set whose ``inputs`` are (N, max_length, 2) float32, zero past the end.

    Raises:
        UserError: If an argument is out of its range.
    """
    check_lengths(min_length, max_length, at_least=2)

    def draw(rng: np.random.Generator, count: int) -> Examples:
        return _sums(rng, rng.integers(min_length, max_length, size=count, endpoint=True), max_length)

    train, validation, test = draw_splits(
        draw,
        train_examples=train_examples,
        validation_examples=validation_examples,
        test_examples=test_examples,
        seed=seed,
    )
    return Dataset(train, validation, test, objective=Objective.NUMBER, baseline=BASELINE)


def _sums(rng: np.random.Generator, lengths: np.ndarray, width: int) -> Examples:
    rows = np.arange(len(lengths))
    first = rng.integers(lengths // 2)
    second = rng.integers(lengths // 2, lengths)
    inputs = np.zeros((len(lengths), width, 2), np.float32)
    inputs[..., 0] = rng.random((len(lengths), width), np.float32)
    inputs[np.arange(width) >= lengths[:, None]] = 0
    inputs[rows, first, 1] = inputs[rows, second, 1] = 1
    return Examples(
        inputs=inputs,
        lengths=lengths.astype(np.int32),
        labels=inputs[rows, first, 0] + inputs[rows, second, 0],
    )
