from pathlib import Path

import numpy as np
import pytest

from rnnjax.data.dataset import Objective
from rnnjax.data.files.labels import class_ids, class_names, class_objective, quote_names, split_examples
from rnnjax.errors import UserError

FILE = Path("train.tsv")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["pos", "neg", "pos"], ("neg", "pos")),
        (["10", "9", "-1", "9"], ("-1", "9", "10")),
        (["10", "9", "x"], ("10", "9", "x")),
        (["01", "1", "+1"], ("+1", "01", "1")),
        (["1.5", "10.0"], ("1.5", "10.0")),
    ],
)
def test_classes_are_in_alphabetical_order_or_by_value(labels, expected):
    assert class_names(labels, FILE) == expected


def test_one_class_is_refused():
    with pytest.raises(UserError, match=r'train.tsv are "x"'):
        class_names(["x", "x"], FILE)


def test_two_classes_are_one_logit():
    assert class_objective(("a", "b")) is Objective.BINARY
    assert class_objective(("a", "b", "c")) is Objective.CLASSES


def test_an_unknown_label_is_named_with_its_place_and_ten_of_those_known():
    classes = [f"c{i}" for i in range(12)]
    assert class_ids(["c3", "c0"], classes, str, FILE).tolist() == [3, 0]
    with pytest.raises(UserError) as error:
        class_ids(["c3", "C0"], classes, lambda i: f"Example {i}", FILE)
    assert str(error.value).startswith('Example 1 has the label "C0"')
    assert '"c9" and 2 more' in str(error.value)
    assert "c10" not in str(error.value)


def test_long_names_are_cut():
    assert quote_names(["x" * 100, "y"]) == f'"{"x" * 40}", "y"'


@pytest.mark.parametrize("test_fraction", [None, 0.2])
def test_every_example_is_in_one_part_and_classes_keep_their_shares(test_fraction):
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [700, 250, 50])).astype(np.int32)
    parts = split_examples(labels, validation_fraction=0.1, test_fraction=test_fraction, seed=1)
    assert sorted(np.concatenate(parts)) == [*range(1000)]
    assert len(parts.validation) == 100
    assert len(parts.test) == (0 if test_fraction is None else 200)
    assert np.abs(np.bincount(labels[parts.validation]) - [70, 25, 5]).max() <= 1
    if test_fraction is not None:
        assert np.abs(np.bincount(labels[parts.test]) - [140, 50, 10]).max() <= 1
    assert (np.diff(parts.train) > 0).all()


def test_the_first_examples_that_are_held_out_stand_for_all():
    labels = np.repeat([0, 1], 400).astype(np.int32)  # as in a file that is sorted by label
    parts = split_examples(labels, validation_fraction=0.2, test_fraction=0.2, seed=0)
    for held_out in (parts.validation, parts.test):
        assert 8 <= labels[held_out[:32]].sum() <= 24  # within 2.8 standard deviations of half


def test_the_seed_determines_the_parts():
    labels = np.arange(60, dtype=np.int32) % 3

    def split(seed):
        return split_examples(labels, validation_fraction=0.2, test_fraction=0.2, seed=seed)

    assert all(np.array_equal(a, b) for a, b in zip(split(3), split(3), strict=True))
    assert not np.array_equal(split(3).validation, split(4).validation)
    taken = np.concatenate([split(seed).validation for seed in range(30)])
    assert set(taken) == {*range(60)}


def test_a_class_of_one_example_is_trained_on():
    labels = np.array([0] * 9 + [1], np.int32)
    for seed in range(20):
        assert 9 in split_examples(labels, validation_fraction=0.4, test_fraction=0.4, seed=seed).train


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 2, 3], [0, 0, 1]])
def test_too_few_examples_for_the_parts_are_refused(labels):
    with pytest.raises(UserError, match=f"{len(labels)} examples of .* too few"):
        split_examples(np.array(labels, np.int32), validation_fraction=0.3, test_fraction=0.3, seed=0)


def test_the_fewest_examples():
    parts = split_examples(np.array([0, 1, 1, 0], np.int32), validation_fraction=0.25, test_fraction=0.25, seed=0)
    assert [len(part) for part in parts] == [2, 1, 1]


@pytest.mark.parametrize(
    "wrong", [{"validation_fraction": 0.0}, {"test_fraction": 1.0}, {"validation_fraction": 0.9}, {"seed": -1}]
)
def test_wrong_arguments_are_named(wrong):
    arguments = {"validation_fraction": 0.1, "test_fraction": 0.1, "seed": 0, **wrong}
    with pytest.raises(UserError, match=str(next(iter(wrong.values())))):
        split_examples(np.arange(100, dtype=np.int32) % 2, **arguments)
