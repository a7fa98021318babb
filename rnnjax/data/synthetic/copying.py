"""The copy memory task: repeat ten symbols in order after a long delay."""

import math

import numpy as np

from rnnjax.data.dataset import BLANK, Dataset, Examples, Objective
from rnnjax.data.synthetic.sampling import draw_splits
from rnnjax.errors import UserError

SYMBOLS = tuple("abcdefgh")
VOCABULARY = ("<blank>", *SYMBOLS, "<go>")
REMEMBERED = 10  # number of symbols to repeat

_GO = VOCABULARY.index("<go>")


def copying(
    *,
    delay: int,
    train_examples: int,
    validation_examples: int,
    test_examples: int,
    seed: int,
) -> Dataset:
    """Inputs are ten symbols, blanks, a go sign and ten blanks; labels are blanks, then the ten symbols.

    Arjovsky, Shah & Bengio 2016, section 5.1, after Hochreiter & Schmidhuber 1997. Of the ``delay`` + 20 steps the
    first 10 show symbols drawn uniformly from 8, the next ``delay`` - 1 are blank, then comes the go sign, then 10
    blanks. The labels are blank for ``delay`` + 10 steps and then the 10 symbols, so each symbol must be remembered
    for ``delay`` + 10 steps. The baseline answers blank for the blank labels and gives all symbols the same probability
    afterwards: 10·ln 8 / (delay + 20) nats a step.

    Args:
        delay: At least 1.
        train_examples: Number of training sequences.
        validation_examples: Number of validation sequences.
        test_examples: Number of test sequences.
        seed: Not negative; determines every number in the result.

    Returns:
        A data set whose ``inputs`` and ``labels`` are (N, delay + 20) ids of the same vocabulary; ``distances`` is
        None, since they are all equal.

    Raises:
        UserError: If an argument is out of its range.
    """
    if delay < 1:
        raise UserError(f"delay is {delay} steps; give a number of at least 1.")
    length = delay + 2 * REMEMBERED

    def draw(rng: np.random.Generator, count: int) -> Examples:
        symbols = rng.integers(1, len(SYMBOLS), size=(count, REMEMBERED), dtype=np.int32, endpoint=True)
        inputs = np.full((count, length), BLANK, np.int32)
        inputs[:, :REMEMBERED] = symbols
        inputs[:, -REMEMBERED - 1] = _GO
        labels = np.full((count, length), BLANK, np.int32)
        labels[:, -REMEMBERED:] = symbols
        return Examples(inputs=inputs, lengths=np.full(count, length, np.int32), labels=labels)

    train, validation, test = draw_splits(
        draw,
        train_examples=train_examples,
        validation_examples=validation_examples,
        test_examples=test_examples,
        seed=seed,
    )
    return Dataset(
        train,
        validation,
        test,
        vocabulary=VOCABULARY,
        objective=Objective.SYMBOLS,
        baseline=REMEMBERED * math.log(len(SYMBOLS)) / length,
    )
