"""The recall task: remember the opinion word at the start of a review through the neutral words after it."""

import numpy as np

from rnnjax.data.dataset import PADDING, SPECIAL_WORDS, Dataset, Examples
from rnnjax.data.synthetic.sampling import split_generators
from rnnjax.errors import UserError

POSITIVE = ("wonderful", "brilliant", "delightful", "masterful")
NEGATIVE = ("horrifying", "dreadful", "tedious", "unwatchable")
_FILLER_LINES = (
    "the a an this that it its of in on at by from with and as then when while where who which was is "
    "had has were be been film movie scene story actor actress director camera screen plot role cast "
    "script music score sound shot cut hour minute year summer city house street train door window "
    "table night morning man woman child family friend doctor king soldier sister brother dog river "
    "road letter picture sequel ending opening dialogue audience"
)
FILLER = tuple(_FILLER_LINES.split())
TEST_DISTANCES = 20

_FIRST_POSITIVE = len(SPECIAL_WORDS)
_FIRST_NEGATIVE = _FIRST_POSITIVE + len(POSITIVE)
_FIRST_FILLER = _FIRST_NEGATIVE + len(NEGATIVE)


def recall(
    *,
    min_distance: int,
    max_distance: int,
    train_examples: int,
    validation_examples: int,
    test_per_distance: int,
    seed: int,
) -> Dataset:
    """Reviews of one opinion word followed by d neutral words; the label is the opinion's polarity.

    A review with distance d has d + 1 words, so the opinion lies d words before the end. Labels, opinion
    words, distances and neutral words are drawn independently and uniformly; the three splits use independent
    streams of ``seed``.

    Args:
        min_distance: Smallest d in words, at least 0.
        max_distance: Largest d in words, at least ``min_distance``.
        train_examples: Number of training reviews, d uniform on [min_distance, max_distance].
        validation_examples: Number of validation reviews, drawn in the same way.
        test_per_distance: Number of test reviews, half of each label, at each of ``spaced_distances``.
        seed: Not negative; determines every number in the result.

    Returns:
        A data set whose ``inputs`` are (N, max_distance + 1), with ``distances`` given; label 1 is positive.

    Raises:
        UserError: If an argument is out of its range.
    """
    if not 0 <= min_distance <= max_distance:
        raise UserError(
            f"The distances {min_distance} to {max_distance} words are not a range; "
            "give 0 <= min_distance <= max_distance."
        )
    train_rng, validation_rng, test_rng = split_generators(
        seed,
        train_examples=train_examples,
        validation_examples=validation_examples,
        test_per_distance=test_per_distance,
    )

    def draw(rng: np.random.Generator, count: int) -> Examples:
        distances = rng.integers(min_distance, max_distance, size=count, endpoint=True)
        return _reviews(rng, distances, rng.integers(2, size=count), max_distance + 1)

    positive, negative = range(_FIRST_POSITIVE, _FIRST_NEGATIVE), range(_FIRST_NEGATIVE, _FIRST_FILLER)
    distances = np.repeat(spaced_distances(min_distance, max_distance), test_per_distance)
    labels = np.arange(len(distances)) % test_per_distance % 2
    return Dataset(
        train=draw(train_rng, train_examples),
        validation=draw(validation_rng, validation_examples),
        test=_reviews(test_rng, distances, labels, max_distance + 1),
        vocabulary=SPECIAL_WORDS + POSITIVE + NEGATIVE + FILLER,
        opposites=dict(zip((*positive, *negative), (*negative, *positive), strict=True)),
    )


def spaced_distances(min_distance: int, max_distance: int) -> np.ndarray:
    """Up to 20 distances in words from the smallest to the largest, evenly spaced, ascending; (D,) int64."""
    return np.unique(np.linspace(min_distance, max_distance, TEST_DISTANCES).round().astype(int))


def _reviews(rng: np.random.Generator, distances: np.ndarray, labels: np.ndarray, width: int) -> Examples:
    count = len(distances)
    tokens = rng.integers(_FIRST_FILLER, _FIRST_FILLER + len(FILLER), size=(count, width), dtype=np.int32)
    positive = _FIRST_POSITIVE + rng.integers(len(POSITIVE), size=count)
    negative = _FIRST_NEGATIVE + rng.integers(len(NEGATIVE), size=count)
    tokens[:, 0] = np.where(labels == 1, positive, negative)
    tokens[np.arange(width) > distances[:, None]] = PADDING
    return Examples(
        inputs=tokens,
        lengths=(distances + 1).astype(np.int32),
        labels=labels.astype(np.int32),
        distances=distances.astype(np.int32),
    )
