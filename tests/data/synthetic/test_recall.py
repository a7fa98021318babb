import numpy as np
import pytest

from rnnjax.data.synthetic.recall import FILLER, NEGATIVE, POSITIVE, recall, spaced_distances
from rnnjax.errors import UserError

SETTINGS = {
    "min_distance": 10,
    "max_distance": 200,
    "train_examples": 400,
    "validation_examples": 60,
    "test_per_distance": 5,
    "seed": 3,
}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_label_and_distance_can_be_read_off_the_words(split):
    dataset = recall(**SETTINGS)
    examples = getattr(dataset, split)
    words = np.array(dataset.vocabulary)
    for tokens, length, label, distance in zip(*examples, strict=True):
        first, *rest = words[tokens[:length]]
        assert first in (POSITIVE if label == 1 else NEGATIVE)
        assert len(rest) == distance
        assert set(rest) <= set(FILLER)
        assert not tokens[length:].any()
    assert all(array.dtype == np.int32 for array in examples)


def test_training_draws_every_distance_opinion_and_label():
    dataset = recall(**{**SETTINGS, "min_distance": 3, "max_distance": 9})
    assert set(dataset.train.distances) == set(range(3, 10))
    assert len(set(dataset.train.inputs[:, 0])) == len(POSITIVE + NEGATIVE)
    assert 0.4 < dataset.train.labels.mean() < 0.6


def test_test_split_is_balanced_at_each_of_twenty_distances():
    test = recall(**{**SETTINGS, "test_per_distance": 6}).test
    distances, counts = np.unique(test.distances, return_counts=True)
    assert distances.tolist() == list(range(10, 201, 10))
    assert set(counts) == {6}
    assert all(test.labels[test.distances == d].sum() == 3 for d in distances)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 3, [0, 1, 2, 3]),
        (7, 7, [7]),
        (0, 95, range(0, 96, 5)),
        (10, 200, range(10, 201, 10)),
        (190, 200, range(190, 201)),
    ],
)
def test_distances_are_evenly_spaced_from_the_smallest_to_the_largest(low, high, expected):
    assert spaced_distances(low, high).tolist() == list(expected)


def test_vocabulary_has_each_word_once_and_the_special_words_first():
    vocabulary = recall(**SETTINGS).vocabulary
    assert vocabulary[:2] == ("<pad>", "<unk>")
    assert len(set(vocabulary)) == len(vocabulary)
    assert {"horrifying", "wonderful"} <= set(vocabulary)


@pytest.mark.parametrize("wrong", [{"min_distance": -1}, {"min_distance": 201}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(UserError, match=str(next(iter(wrong.values())))):
        recall(**{**SETTINGS, **wrong})
