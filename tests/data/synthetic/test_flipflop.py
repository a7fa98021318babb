import numpy as np
import pytest

from rnnjax.data.dataset import Objective, Sizes
from rnnjax.data.synthetic.flipflop import flipflop
from rnnjax.errors import UserError

SETTINGS = {
    "channels": 3,
    "length": 40,
    "pulse_probability": 0.15,
    "train_examples": 400,
    "validation_examples": 60,
    "test_examples": 50,
    "seed": 3,
}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_label_is_the_sign_of_the_last_pulse_of_its_channel(split):
    examples = getattr(flipflop(**SETTINGS), split)
    assert len(examples.inputs) == SETTINGS[f"{split}_examples"]
    assert set(np.unique(examples.inputs)) == {-1, 0, 1}
    assert (examples.inputs[:, 0] != 0).all()
    expected = np.zeros_like(examples.inputs[:, 0])
    for t in range(SETTINGS["length"]):
        expected = np.where(examples.inputs[:, t] == 0, expected, examples.inputs[:, t])
        np.testing.assert_array_equal(examples.labels[:, t], expected)
    assert examples.inputs.dtype == examples.labels.dtype == np.float32
    assert (examples.lengths == 40).all()


def test_the_properties_of_the_data_set():
    dataset = flipflop(**SETTINGS)
    assert (dataset.objective, dataset.vocabulary, dataset.fixed_points) == (Objective.SIGNALS, (), True)
    assert dataset.sizes == Sizes(vocabulary=0, features=3, outputs=3)


def test_pulses_are_as_frequent_as_asked_and_of_either_sign():
    inputs = flipflop(**{**SETTINGS, "train_examples": 4000}).train.inputs
    after = inputs[:, 1:]
    assert (after != 0).mean(axis=(0, 1)) == pytest.approx([0.15] * 3, rel=0.03)
    assert inputs.mean(axis=(0, 1)) == pytest.approx([0] * 3, abs=0.01)
    pairs = np.corrcoef(after[..., 0].ravel(), after[..., 1].ravel())
    assert abs(pairs[0, 1]) < 0.01


def test_the_baseline_is_the_loss_of_repeating_pulses():
    dataset = flipflop(**{**SETTINGS, "train_examples": 20_000})
    errors = (dataset.train.inputs - dataset.train.labels) ** 2
    assert errors.mean() == pytest.approx(dataset.baseline, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "value"), [("channels", 0), ("length", 1), ("pulse_probability", 0.0), ("pulse_probability", 1.5)]
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(UserError, match=f"{name} is {value}"):
        flipflop(**{**SETTINGS, name: value})
