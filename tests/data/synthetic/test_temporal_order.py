import math

import numpy as np
import pytest

from rnnjax.data.dataset import Objective, Sizes
from rnnjax.data.synthetic.temporal_order import temporal_order
from rnnjax.errors import UserError

SETTINGS = {
    "min_length": 10,
    "max_length": 60,
    "marks": 2,
    "train_examples": 400,
    "validation_examples": 60,
    "test_examples": 50,
    "seed": 3,
}
SHARES = {2: [(0.1, 0.2), (0.5, 0.6)], 3: [(0.1, 0.2), (0.33, 0.43), (0.66, 0.76)]}


@pytest.mark.parametrize("marks", [2, 3])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_label_can_be_read_off_the_inputs(split, marks):
    dataset = temporal_order(**{**SETTINGS, "marks": marks})
    examples = getattr(dataset, split)
    symbols = np.array(dataset.vocabulary)
    assert len(examples.labels) == SETTINGS[f"{split}_examples"]
    for inputs, length, label in zip(*examples[:3], strict=True):
        shown = symbols[inputs[:length]]
        positions = np.flatnonzero(np.isin(shown, ["X", "Y"]))
        assert dataset.classes[label] == "".join(shown[positions])
        for position, (low, high) in zip(positions, SHARES[marks], strict=True):
            assert low * length - 1 < position <= high * length + 1e-9
        assert set(np.delete(shown, positions)) <= set("abcd")
        assert not inputs[length:].any()
    assert all(array.dtype == np.int32 for array in examples[:3])


@pytest.mark.parametrize(
    ("marks", "classes"),
    [(2, "XX XY YX YY"), (3, "XXX XXY XYX XYY YXX YXY YYX YYY")],
)
def test_the_properties_of_the_data_set(marks, classes):
    dataset = temporal_order(**{**SETTINGS, "marks": marks})
    assert dataset.objective is Objective.CLASSES
    assert dataset.classes == tuple(classes.split())
    assert set(dataset.vocabulary) == set("XYabcd")
    assert dataset.sizes == Sizes(vocabulary=6, features=0, outputs=2**marks)


@pytest.mark.parametrize("marks", [2, 3])
@pytest.mark.parametrize("length", range(10, 30))
def test_no_two_marks_meet_at_any_length(marks, length):
    train = temporal_order(**{**SETTINGS, "marks": marks, "min_length": length, "max_length": length}).train
    assert ((train.inputs >= 4).sum(1) == marks).all()


def test_training_draws_every_length_place_and_symbol():
    dataset = temporal_order(**{**SETTINGS, "min_length": 40, "max_length": 42, "train_examples": 4000})
    train = dataset.train
    assert set(train.lengths) == {40, 41, 42}
    inputs = train.inputs[train.lengths == 40]
    assert {tuple(np.flatnonzero(row >= 4)) for row in inputs} == {(i, j) for i in range(4, 9) for j in range(20, 25)}
    assert np.bincount(inputs[:, :40].ravel()).min() > 0.9 * len(inputs)


@pytest.mark.parametrize("marks", [2, 3])
def test_the_baseline_is_the_cross_entropy_of_the_best_constant(marks):
    dataset = temporal_order(**{**SETTINGS, "marks": marks, "train_examples": 20_000})
    shares = np.bincount(dataset.train.labels, minlength=2**marks) / 20_000
    assert -(shares * np.log(shares)).sum() == pytest.approx(dataset.baseline, rel=1e-3)
    assert dataset.baseline == pytest.approx(math.log(2**marks))


@pytest.mark.parametrize("wrong", [{"min_length": 9}, {"min_length": 61}, {"marks": 1}, {"marks": 4}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(UserError, match=str(next(iter(wrong.values())))):
        temporal_order(**{**SETTINGS, **wrong})
