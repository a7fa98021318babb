"""What the synthetic tasks have in common: three splits drawn from independent streams of one seed."""

from collections.abc import Callable

import numpy as np

from rnnjax.data.dataset import Examples
from rnnjax.errors import UserError

MOST = 2**31 - 1  # examples; their places are int32


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
    counts = (train_examples, validation_examples, test_examples)
    streams = streams_of(
        seed, train_examples=train_examples, validation_examples=validation_examples, test_examples=test_examples
    )
    train, validation, test = (draw(rng, count) for rng, count in zip(streams, counts, strict=True))
    return train, validation, test


def streams_of(seed: int, **counts: int) -> list[np.random.Generator]:
    """A stream of its own for each of ``counts``, which say how many examples will be drawn from it.

    Raises:
        UserError: If there would be no example of one of them, or ``seed`` is negative.
    """
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{name} is {count}; give a number of at least 1.")
        if count > MOST:
            raise UserError(f"{name} is {count}, more than {MOST}; give fewer --steps or a smaller --batch-size.")
    if seed < 0:
        raise UserError(f"seed is {seed}; give a number that is not negative.")
    return [np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(len(counts))]


def check_lengths(min_length: int, max_length: int, *, at_least: int) -> None:
    """UserError unless ``at_least`` <= ``min_length`` <= ``max_length``, all in steps."""
    if not at_least <= min_length <= max_length:
        raise UserError(
            f"The lengths {min_length} to {max_length} steps are no range; give {at_least} <= min_length <= max_length."
        )
