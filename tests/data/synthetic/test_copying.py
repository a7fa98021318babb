import math

import numpy as np
import pytest

from rnnjax.data.dataset import BLANK, Objective, Sizes
from rnnjax.data.synthetic.copying import REMEMBERED, SYMBOLS, VOCABULARY, copying
from rnnjax.errors import UserError

SETTINGS = {
    "delay": 30,
    "train_examples": 400,
    "validation_examples": 60,
    "test_examples": 50,
    "seed": 3,
}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("delay", [1, 30])
def test_the_answer_can_be_read_off_the_inputs(split, delay):
    examples = getattr(copying(**{**SETTINGS, "delay": delay}), split)
    words = np.array(VOCABULARY)
    assert len(examples.labels) == SETTINGS[f"{split}_examples"]
    for inputs, length, labels in zip(*examples[:3], strict=True):
        shown = words[inputs].tolist()
        assert set(shown[:10]) <= set(SYMBOLS)
        assert shown[10:] == ["<blank>"] * (delay - 1) + ["<go>"] + ["<blank>"] * 10
        assert words[labels].tolist() == ["<blank>"] * (delay + 10) + shown[:10]
        assert length == len(inputs) == len(labels) == delay + 20
    assert {array.dtype for array in examples[:3]} == {np.dtype(np.int32)}
    assert examples.distances is None


def test_the_properties_of_the_data_set():
    dataset = copying(**SETTINGS)
    assert dataset.objective is Objective.SYMBOLS
    assert dataset.vocabulary == ("<blank>", *"abcdefgh", "<go>")
    assert dataset.vocabulary[BLANK] == "<blank>"
    assert dataset.sizes == Sizes(vocabulary=10, features=0, outputs=10)


def test_every_symbol_is_drawn_at_every_place_as_often():
    inputs = copying(**{**SETTINGS, "train_examples": 8000}).train.inputs
    counts = [np.bincount(inputs[:, i], minlength=10)[1:9] for i in range(10)]
    assert np.array(counts).min() > 850
    assert np.array(counts).max() < 1150


def test_the_baseline_is_the_cross_entropy_of_knowing_no_symbol():
    dataset = copying(**{**SETTINGS, "train_examples": 20_000})
    labels = dataset.train.labels
    ends = labels.shape[1] - REMEMBERED
    assert (labels[:, :ends] == BLANK).all()
    probabilities = np.bincount(labels[:, ends:].ravel(), minlength=10) / labels[:, ends:].size
    losses = np.zeros(labels.shape)
    losses[:, ends:] = -np.log(probabilities[labels[:, ends:]])
    assert losses.mean() == pytest.approx(dataset.baseline, rel=1e-3)
    assert dataset.baseline == pytest.approx(10 * math.log(8) / 50)


def test_a_delay_is_needed():
    with pytest.raises(UserError, match="delay is 0"):
        copying(**{**SETTINGS, "delay": 0})
