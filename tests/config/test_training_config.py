import dataclasses

import pytest

from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError

DEFAULT = TrainingSettings()


@pytest.mark.parametrize(
    ("name", "wrong", "least"),
    [
        ("epochs", 0, 1),
        ("batch_size", -3, 1),
        ("sorted_batches", 0, 1),
        ("steps_per_program", 0, 1),
        ("seeds", 0, 1),
        ("warmup_steps", -1, 0),
        ("log_gradients_every", -1, 0),
        ("validate_every", -1, 0),
        ("seed", -1, 0),
        ("clip", -0.5, 0.0),
        ("clip", float("nan"), 0.0),
        ("omega", -0.1, 0.0),
        ("flossing", float("nan"), 0.0),
        ("learning_rate", 0.0, 1e-9),
        ("learning_rate", float("nan"), 1e-9),
        ("learning_rate", float("inf"), 1e-9),
    ],
)
def test_a_number_out_of_range_is_named_by_its_flag(name, wrong, least):
    flag = "--" + name.replace("_", "-")
    with pytest.raises(
        UserError, match=rf"^{flag} must be (at least 1|0 or more|a number above 0), but {wrong} was given\.$"
    ):
        dataclasses.replace(DEFAULT, **{name: wrong})
    assert getattr(dataclasses.replace(DEFAULT, **{name: least}), name) == least


@pytest.mark.parametrize("name", ["learning_rate", "clip", "omega", "flossing"])
def test_numbers_that_single_precision_cannot_hold_are_refused(name):
    for value in (1e-50, 1e39):
        with pytest.raises(UserError, match=rf"^--{name.replace('_', '-')} must be from 1\.2e-38 to 3\.4e38, which "):
            dataclasses.replace(DEFAULT, **{name: value})
    assert getattr(dataclasses.replace(DEFAULT, **{name: 3e38}), name) == 3e38


def test_seeds_that_jax_would_fold_into_each_other_are_refused():
    dataclasses.replace(DEFAULT, seed=2**32 - 2, seeds=2)
    with pytest.raises(UserError, match=r"^--seed must be at most 2\^32 with --seeds added"):
        dataclasses.replace(DEFAULT, seed=2**32 - 1, seeds=2)
