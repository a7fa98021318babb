"""Random generators for synthetic tasks: three splits from independent streams of one seed."""

from collections.abc import Callable

import numpy as np

from rnnjax.data.dataset import Examples
from rnnjax.errors import UserError

MAX_EXAMPLES = 2**31 - 1  # indices of examples are int32


def draw_splits(
    draw: Callable[[np.random.Generator, int], Examples],
    *,
    train_examples: int,
    validation_examples: int,
    test_examples: int,
    seed: int,
) -> tuple[Examples, Examples, Examples]:
    """Call ``draw(rng, count)`` for the training, validation and test split, each with its own random stream.

    Raises:
        UserError: If a number of examples is out of range, or ``seed`` is negative.
    """
    counts = (train_examples, validation_examples, test_examples)
    generators = split_generators(
        seed, train_examples=train_examples, validation_examples=validation_examples, test_examples=test_examples
    )
    train, validation, test = (draw(rng, count) for rng, count in zip(generators, counts, strict=True))
    return train, validation, test


def split_generators(seed: int, **counts: int) -> list[np.random.Generator]:
    """Independent random generators, one for each of ``counts``, the numbers of examples to draw.

    Raises:
        UserError: If a number of examples is out of range, or ``seed`` is negative.
    """
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{name} is {count}; give a number of at least 1.")
        if count > MAX_EXAMPLES:
            raise UserError(
                f"{name} is {count}, more than {MAX_EXAMPLES}; give fewer --steps or a smaller --batch-size."
            )
    if seed < 0:
        raise UserError(f"seed is {seed}; give 0 or more.")
    return [np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(len(counts))]


def check_lengths(min_length: int, max_length: int, *, at_least: int) -> None:
    """UserError unless ``at_least`` <= ``min_length`` <= ``max_length``, all in steps."""
    if not at_least <= min_length <= max_length:
        raise UserError(
            f"The lengths {min_length} to {max_length} steps are not a range; "
            f"give {at_least} <= min_length <= max_length."
        )
