"""What the synthetic tasks have in common: three splits drawn from independent streams of one seed."""

from collections.abc import Callable

import numpy as np

from rnnjax.data.examples import Examples
from rnnjax.errors import UserError


def draw_splits(
    draw: Callable[[np.random.Generator, int], Examples],
    *,
    train_examples: int,
    validation_examples: int,
    test_examples: int,
    seed: int,
) -> tuple[Examples, Examples, Examples]:
    """``draw(rng, count)`` for the training, validation and test split, each with a stream of its own.

    Raises:
        UserError: If there would be a split without examples, or ``seed`` is negative.
    """
    counts = {
        "train_examples": train_examples,
        "validation_examples": validation_examples,
        "test_examples": test_examples,
    }
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{name} is {count}; give a number of at least 1.")
    if seed < 0:
        raise UserError(f"seed is {seed}; give a number that is not negative.")
    train, validation, test = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(3))
    return draw(train, train_examples), draw(validation, validation_examples), draw(test, test_examples)


def check_lengths(min_length: int, max_length: int, *, at_least: int) -> None:
    """UserError unless ``at_least`` <= ``min_length`` <= ``max_length``, all in steps."""
    if not at_least <= min_length <= max_length:
        raise UserError(
            f"The lengths {min_length} to {max_length} steps are no range; give {at_least} <= min_length <= max_length."
        )
