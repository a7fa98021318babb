"""The flags that a run's report adds to a remedy are flags of ``launch.py``, one for every action."""

import dataclasses
import re
from typing import get_args

import pytest

from experiments.tasks.imdb import Imdb
from experiments.tasks.recall import Recall
from rnnjax.cells.registry import cell_from_spec
from rnnjax.config.training import TrainingSettings
from rnnjax.diagnostics.alarms.evidence import Action, Alarm, Option
from rnnjax.report.text.remedies import FLAGS, flag, remedy_with_flags

FLAGS_OF_RUN = {"cells": [], "training": {"clip": 1.0, "clip_by": "norm", "flossing": 0.0, "learning_rate": 1e-3}}
SETTINGS = {field.name for kind in (Recall, Imdb, TrainingSettings) for field in dataclasses.fields(kind)}


def test_every_option_has_a_flag():
    assert set(FLAGS) == set(get_args(Option))


@pytest.mark.parametrize("option", get_args(Option))
def test_a_flag_is_one_of_launch_py_and_its_cells_exist(option):
    text = flag(Action(option, 9))
    assert re.findall(r"--[a-z-]+", text)
    assert {name[2:].replace("-", "_") for name in re.findall(r"--[a-z-]+", text)} <= SETTINGS
    assert all(cell_from_spec(spec, 4).features == 4 for spec in re.findall(r"(?:simple|lstm|gru):\S+", text))


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        ([("chrono", 201), ("flossing", None)], "--cells lstm:chrono=201 or gru:chrono=201; --flossing"),
        ([("orthogonal_scale", 0.9), ("clip", 1.0)], "--cells simple:recurrent_init=orthogonal*0.9; --clip 1"),
        ([("identity_init", None)], "--cells simple:activation=relu,recurrent_init=identity"),
        ([("learning_rate", None), ("clip", None)], "--learning-rate; --clip"),
    ],
)
def test_the_remedy_is_followed_by_its_flags(actions, text):
    alarm = Alarm("rule", "LSTM", "Wrong.", "Mend it.", {}, tuple(Action(*action) for action in actions))
    assert remedy_with_flags(alarm, FLAGS_OF_RUN) == f"Mend it. Flags: {text}"


def test_a_remedy_without_actions_has_no_flags():
    assert remedy_with_flags(Alarm("rule", "LSTM", "Wrong.", "Pass the lengths.", {}), {}) == "Pass the lengths."


def test_flags_that_the_experiment_does_not_have_are_left_out():
    actions = (Action("embedding_scale"), Action("learning_rate"))
    assert remedy_with_flags(Alarm("rule", "LSTM", "Wrong.", "Mend it.", {}, actions), FLAGS_OF_RUN).endswith(
        "Mend it. Flags: --learning-rate"
    )


def test_a_norm_to_clip_at_says_so_where_values_are_clipped():
    alarm = Alarm("rule", "LSTM", "Wrong.", "Mend it.", {}, (Action("clip", 1.0),))
    run = {"training": {"clip": 0.1, "clip_by": "value"}}
    assert remedy_with_flags(alarm, run) == "Mend it. Flags: --clip 1 --clip-by norm"
