"""All synthetic data sets: independent splits, determined by the seed."""

import numpy as np
import pytest

from rnnjax.data.synthetic.adding import adding
from rnnjax.data.synthetic.copying import copying
from rnnjax.data.synthetic.episodes import episodes
from rnnjax.data.synthetic.flipflop import flipflop
from rnnjax.data.synthetic.recall import recall
from rnnjax.data.synthetic.temporal_order import temporal_order
from rnnjax.errors import UserError

COUNTS = {"train_examples": 400, "validation_examples": 60, "seed": 3}
# a data set, its flags, and those of a test split that is as large as the validation split
TASKS = {
    "adding": (adding, {"min_length": 5, "max_length": 40, "test_examples": 50}, {"test_examples": 60}),
    "copying": (copying, {"delay": 30, "test_examples": 50}, {"test_examples": 60}),
    "episodes": (episodes, {"length": 30, "longest_episode": 9, "test_examples": 50}, {"test_examples": 60}),
    "temporal order": (
        temporal_order,
        {"min_length": 10, "max_length": 60, "marks": 2, "test_examples": 50},
        {"test_examples": 60},
    ),
    "flip-flop": (
        flipflop,
        {"channels": 2, "length": 9, "pulse_probability": 0.2, "test_examples": 50},
        {"test_examples": 60},
    ),
    "recall": (recall, {"min_distance": 10, "max_distance": 29, "test_per_distance": 5}, {"test_per_distance": 3}),
}


@pytest.fixture(params=TASKS)
def task(request):
    """(function that generates the data set with changed arguments, the change that gives all splits one size)."""
    draw, flags, alike = TASKS[request.param]
    return lambda **changes: draw(**{**COUNTS, **flags, **changes}), alike


def test_the_seed_determines_everything(task):
    draw, _ = task
    for a, b, other in zip(draw()[:3], draw()[:3], draw(seed=4)[:3], strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        assert not np.array_equal(a.inputs, other.inputs)


def test_the_splits_are_independent(task):
    draw, alike = task
    first, longer = draw(), draw(train_examples=500)
    assert np.array_equal(first.validation.inputs, longer.validation.inputs)
    assert np.array_equal(first.test.inputs, longer.test.inputs)
    train, validation, test = (split.inputs for split in draw(train_examples=60, **alike)[:3])
    assert train.shape == validation.shape == test.shape
    assert not np.array_equal(train, validation)
    assert not np.array_equal(validation, test)


@pytest.mark.parametrize(
    "wrong", [{"train_examples": 0}, {"validation_examples": -5}, {"test_examples": 0}, {"seed": -1}]
)
def test_wrong_arguments_are_named(task, wrong):
    draw, alike = task
    ((name, value),) = wrong.items()
    name = next(iter(alike)) if name == "test_examples" else name
    with pytest.raises(UserError, match=f"{name} is {value}"):
        draw(**{name: value})
