import numpy as np
import pytest

from rnnjax.data.dataset import Objective, Sizes
from rnnjax.data.synthetic.adding import adding
from rnnjax.errors import UserError

SETTINGS = {
    "min_length": 5,
    "max_length": 40,
    "train_examples": 400,
    "validation_examples": 60,
    "test_examples": 50,
    "seed": 3,
}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_label_can_be_read_off_the_inputs(split):
    examples = getattr(adding(**SETTINGS), split)
    assert len(examples.labels) == SETTINGS[f"{split}_examples"]
    for numbers, length, label in zip(*examples[:3], strict=True):
        first, second = np.flatnonzero(numbers[:, 1])
        assert 0 <= first < length // 2 <= second < length
        assert numbers[[first, second], 1].tolist() == [1, 1]
        assert label == numbers[first, 0] + numbers[second, 0]
        assert not numbers[length:].any()
        assert (numbers[:, 0] >= 0).all()
        assert (numbers[:, 0] < 1).all()
    assert [array.dtype for array in examples[:3]] == [np.float32, np.int32, np.float32]


def test_the_properties_of_the_data_set():
    dataset = adding(**SETTINGS)
    assert dataset.objective is Objective.NUMBER
    assert dataset.sizes == Sizes(vocabulary=0, features=2, outputs=1)


def test_training_draws_every_length_and_every_place():
    train = adding(**{**SETTINGS, "min_length": 6, "max_length": 9, "train_examples": 2000}).train
    assert set(train.lengths) == {6, 7, 8, 9}
    places = {tuple(np.flatnonzero(row[:, 1])) for row in train.inputs[train.lengths == 7]}
    assert places == {(i, j) for i in range(3) for j in range(3, 7)}


def test_two_steps_are_both_marked():
    train = adding(**{**SETTINGS, "min_length": 2, "max_length": 2}).train
    assert (train.inputs[..., 1] == 1).all()


def test_the_baseline_is_the_squared_error_of_the_best_constant():
    dataset = adding(**{**SETTINGS, "train_examples": 40_000})
    labels = dataset.train.labels.astype(float)
    assert labels.mean() == pytest.approx(1, abs=0.01)
    assert np.mean((labels - 1) ** 2) == pytest.approx(dataset.baseline, rel=0.03)
    assert dataset.baseline == pytest.approx(1 / 6)


@pytest.mark.parametrize("wrong", [{"min_length": 1}, {"min_length": 41}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(UserError, match=str(next(iter(wrong.values())))):
        adding(**{**SETTINGS, **wrong})
