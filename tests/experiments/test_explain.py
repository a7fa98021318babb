"""``launch.py explain`` on runs of several classes, of characters, of series and of symbols, with drawn parameters."""

import contextlib
import io
import json
import re

import flax.serialization
import jax
import numpy as np
import pytest
from command_line import isolated_home
from sequences import normal_like

import launch
from experiments.registry import experiment_to_config
from experiments.study import run_specs
from experiments.tasks.adding import Adding
from experiments.tasks.characters import Characters
from experiments.tasks.copying import Copying
from experiments.tasks.flipflop import Flipflop
from experiments.tasks.series import Series
from experiments.tasks.text import Text
from rnnjax.data.dataset import Objective, Sizes
from rnnjax.runs.schema import TaskInfo
from rnnjax.runs.writer import write_config, write_task

SMALL = {"cells": ("gru", "simple"), "features": 3}
ONE = SMALL | {"cells": ("gru",)}
CLASSES = ("bad", "good", "so so")


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch):
    with isolated_home(tmp_path_factory, monkeypatch):
        yield


def write_run(folder, experiment, objective, sizes=None, vocabulary=(), classes=()):
    """A run folder with drawn parameters of every cell."""
    folder.mkdir()
    write_config(folder, experiment_to_config(experiment))
    write_task(folder, TaskInfo(objective=objective, classes=classes))
    if vocabulary:
        (folder / "vocabulary.json").write_text(json.dumps(vocabulary))
    for spec in run_specs(experiment, lambda line: None):
        shapes = sizes or spec.make_dataset().sizes
        inputs = np.zeros((1, 1), np.int32) if shapes.vocabulary else np.zeros((1, 1, shapes.features), np.float32)
        params = normal_like(jax.eval_shape(spec.make_model(shapes, spec.cell).init, jax.random.key(0), inputs), 1)
        member = folder / "members" / spec.name
        member.mkdir(parents=True)
        (member / "params.msgpack").write_bytes(flax.serialization.to_bytes(params["params"]))
    return folder


def explained(folder, *flags):
    """Exit status and the two streams."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = launch.main(["explain", str(folder), *flags])
    return status, out.getvalue(), err.getvalue()


def test_of_several_classes_the_answer_is_explained(tmp_path):
    words = ("<pad>", "<unk>", "film", "a")
    experiment = Text(train="none.tsv", embedding=2, **SMALL)
    run = write_run(tmp_path / "run", experiment, Objective.CLASSES, Sizes(4, 0, 3), words, CLASSES)
    status, shown, _ = explained(run, "--text", "a film, a foo")
    assert status == 0
    assert "minus the largest of the other" in " ".join(shown.split())
    answers = re.findall(r"^(.+) \(probability of (.+): ([\d.]+)%\)", shown, re.MULTILINE)
    assert len(answers) == 2
    for answer, named, percent in answers:
        assert answer == named
        assert answer in CLASSES
        assert float(percent) > 100 / 3  # the most probable of three


def test_of_characters_the_next_one_is_explained(tmp_path):
    symbols = ("<pad>", "<unk>", "\n", " ", "a", "t")
    experiment = Characters(file="none.txt", window=4, **ONE)
    run = write_run(tmp_path / "run", experiment, Objective.SYMBOLS, Sizes(6, 0, 6), symbols)
    status, shown, _ = explained(run, "--text", "at\na #")
    assert status == 0
    assert "The text has 6 characters; this run was trained on windows of 4." in shown
    assert re.search(r"^ at?.*\\n.*#\?", re.sub(r"\[\d+\]", "", shown), re.MULTILINE)
    assert re.search(r"^(<pad>|<unk>|\\n| |a|t) \(probability of", shown, re.MULTILINE)
    assert explained(run, "--text", "###")[::2] == (
        1, "error: The run's vocabulary has no character of --text; give a text like that of the training.\n",
    )  # fmt: skip


def write_series(path, labels):
    x = np.random.default_rng(0).normal(size=(30, 4, 2))
    np.savez(path, x=x, y=labels)
    return str(path)


def test_of_series_the_steps_of_a_test_example_are_explained(tmp_path):
    experiment = Series(train=write_series(tmp_path / "s.npz", np.tile(CLASSES, 10)), **SMALL)
    run = write_run(tmp_path / "run", experiment, Objective.CLASSES, classes=CLASSES)
    status, shown, _ = explained(run, "--example", "2")
    assert status == 0
    assert re.search(r"Example 2 of the test data, 4 steps, is labelled (bad|good|so so)\.", shown)
    assert shown.count("share of largest connectivity") == 2
    assert "when zeros take their place" in " ".join(shown.split())
    count = len(next(iter(run_specs(experiment, lambda line: None))).make_dataset().test.lengths)
    assert explained(run, "--example", str(count))[::2] == (
        1, f"error: --example is {count}, but the test data has the examples 0 to {count - 1}.\n",
    )  # fmt: skip
    assert explained(run, "--example", "-1")[0] == 1


def test_of_series_that_have_changed_nothing_is_explained(tmp_path):
    """The numbers of an example would be scaled by those of another file than in training."""
    file = write_series(tmp_path / "s.npz", np.tile(CLASSES, 10))
    run = write_run(tmp_path / "run", Series(train=file, **SMALL), Objective.CLASSES, classes=CLASSES)
    write_series(file, np.tile(CLASSES[::-1], 10))
    assert explained(run, "--example", "2")[::2] == (
        1, f"error: The data of the run '{run}' has changed (the content of train); restore it or run again.\n",
    )  # fmt: skip


def test_of_numbers_the_number_is_explained(tmp_path):
    experiment = Series(train=write_series(tmp_path / "s.npz", np.linspace(0, 1, 30)), **SMALL)
    run = write_run(tmp_path / "run", experiment, Objective.NUMBER)
    status, shown, _ = explained(run, "--example", "0")
    assert status == 0
    assert "probability" not in shown
    assert "crosses zero" not in shown
    (first, last) = re.findall(r"^number .* ([+-][\d.]+)$", shown, re.MULTILINE)
    answers = re.findall(r"^(-?[\d.]+)$", shown, re.MULTILINE)
    np.testing.assert_allclose([float(x) for x in answers], [float(first), float(last)], atol=0.006)


@pytest.mark.parametrize(
    ("experiment", "objective"),
    [
        (Adding(steps=2, length=6, **ONE), Objective.NUMBER),
        (Copying(steps=2, delay=3, **ONE), Objective.SYMBOLS),
        (Flipflop(steps=2, length=6, channels=2, **ONE), Objective.SIGNALS),
    ],
)
def test_of_other_tasks_too(experiment, objective, tmp_path):
    vocabulary = next(iter(run_specs(experiment, lambda line: None))).make_dataset().vocabulary
    run = write_run(tmp_path / "run", experiment, objective, vocabulary=vocabulary)
    status, shown, error = explained(run, "--example", "0")
    assert (status, error) == (0, "")
    assert "Example 0 of the test data" in shown
    if objective is Objective.SIGNALS:
        note = r"is labelled -?1, -?1 at its last step; the first of these numbers is explained\."
        assert re.search(note, " ".join(shown.split()))
