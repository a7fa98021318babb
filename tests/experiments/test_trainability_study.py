"""Trainability: its runs, which of them share a program, and a small study from flags to map."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest

import launch
import rnnjax
from experiments.registry import config_differences, experiment_from_config, experiment_to_config
from experiments.study import run_specs
from experiments.tasks.trainability import Trainability
from rnnjax.cells.initializers import Orthogonal
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError
from rnnjax.report.sections.trainability import rich_trainability, sections
from rnnjax.report.summary.trainability import trainability_runs
from rnnjax.runs.reader import load_run
from rnnjax.training.ensemble import load_ensembles, plan_ensembles

SMALL = Trainability(
    cells=("simple", "lstm"), gains=(0.5, 1.0, 1.5), forget_biases=(-1.0, 3.0), distances=(2, 4, 9), steps=2,
    training=TrainingSettings(seeds=2),
)  # fmt: skip


def silent(line):
    raise AssertionError(line)


def test_the_study_is_gains_or_biases_times_distances():
    trained = run_specs(SMALL, silent)
    assert len(trained) == (3 + 2) * 3 * 2
    assert trained[0].label == "SimpleRNN recurrent_init=orthogonal*0.5 distance=2"
    assert [trial.seed for trial in trained[:4]] == [0, 1, 0, 1]
    assert trained[0].cell == rnnjax.SimpleRNN(32, recurrent_init=Orthogonal(0.5))
    assert trained[-1].cell == rnnjax.LSTM(32, forget_bias=3.0)
    assert trained[-1].varied == {"cell.forget_bias": 3.0, "distance": 9}
    for trial in (trained[0], trained[-1]):
        data = trial.make_dataset()
        assert {int(d) for split in data[:3] for d in split.distances} == {trial.varied["distance"]}


def test_all_initialisations_of_one_cell_and_distance_share_a_program():
    planned = plan_ensembles(run_specs(SMALL, silent))
    assert [len(some) for some in planned] == [3 * 2] * 3 + [2 * 2] * 3
    assert [len(load_ensembles(some)) for some in planned] == [1] * 6


def test_recipes_and_other_sweeps_are_kept():
    study = Trainability(cells=("gru:zoneout=0.1",), sweep=("learning_rate=0.1,0.2",), gains=(1.0,), distances=(3,))
    assert [trial.settings.learning_rate for trial in run_specs(study, silent)] == [0.1, 0.2]
    assert run_specs(study, silent)[0].cell == rnnjax.GRU(32, zoneout=0.1, recurrent_init=Orthogonal(1.0))


def test_flags_come_back_and_differ():
    assert experiment_from_config(experiment_to_config(SMALL)) == SMALL
    lines = config_differences(experiment_to_config(SMALL), experiment_to_config(Trainability(distances=(5,))))
    assert "--distances: 2 4 9 in the folder, 5 asked for" in lines


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"gains": (1.0, 1.0)}, "--gains must be one or more different numbers above 0"),
        ({"gains": (0.0,)}, "--gains must be one or more different numbers above 0"),
        ({"distances": (3, 0)}, "--distances must be one or more different numbers of at least 1"),
        ({"forget_biases": (float("nan"),)}, "--forget-biases must be one or more different finite numbers"),
        ({"distances": ()}, "--distances must be one or more"),
        ({"embedding_scale": 0.0}, "--embedding-scale must be a number above 0"),
        ({"steps": 0}, "--steps must be at least 1"),
    ],
)
def test_flags_that_cannot_be_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        Trainability(**flags)


def test_a_shard_is_a_part_of_the_whole_study():
    whole = run_specs(SMALL, silent)
    shards = [run_specs(dataclasses.replace(SMALL, shard=f"{i}/3"), silent) for i in (1, 2, 3)]
    assert [trial.name for shard in shards for trial in shard] == [trial.name for trial in whole]
    assert [len(shard) for shard in shards] == [10, 10, 10]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"cells": ()}, "--cells must be one or more cells, but none was given"),
        ({"sweep": ("cell.init=chrono",)}, "--sweep cell.init varies what this study varies already; set --gains"),
        ({"sweep": ("cell.forget_bias=1,2",)}, "varies already; set --forget-biases"),
        ({"sweep": ("distance=5,6",)}, "--sweep distance varies what this study varies already; set --distances"),
        ({"cells": ("lstm:chrono=20",)}, "chrono replaces forget_bias; give one of the two"),
        ({"cells": ("lstm:forget_bias=2",)}, "sets forget_bias, which this study varies; set --forget-biases"),
        ({"cells": ("gru:recurrent_init=identity",)}, "sets recurrent_init, which this study varies; set --gains"),
        ({"cells": ("gru:distance=9",)}, "sets distance, which this study varies; set --distances"),
        ({"cells": ("mingru",)}, "The cell 'mingru' has no recurrent_init, which --gains vary; choose other cells"),
        ({"cells": ("slstm",)}, "The cell 'slstm' has no recurrent_init, which --gains vary; choose other cells"),
    ],
)
def test_a_study_that_cannot_be_is_refused(flags, message):
    with pytest.raises(UserError, match=message):
        run_specs(dataclasses.replace(SMALL, **flags), silent)


RUN = (
    "trainability --cells simple --gains 0.01 1.5 --distances 20 --steps 20 --features 8 --learning-rate 0.03"
    " --compilation-cache off"
)


@pytest.mark.slow
def test_a_small_study_runs_from_flags_to_map(tmp_path):
    folder = tmp_path / "run"
    with contextlib.redirect_stdout(io.StringIO()):
        assert launch.main([*RUN.split(), "--out", str(folder)]) == 0
    run = load_run(folder)
    assert len(sections(run)) == 2
    assert (folder / "figures" / "trainability.png").stat().st_size > 0
    told = json.loads((folder / "trainability.json").read_text())
    assert len(told["runs"]) == 2
    small, large = sorted(trainability_runs(run), key=lambda one: one.value)
    assert small.gradient == -12 < large.gradient
    assert small.exponent < np.log(0.02) < large.exponent
    assert small.belt == large.belt == 0
    assert rich_trainability(run) is not None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert launch.main(["explain", str(folder), "--text", "a wonderful film"]) == 0
    assert "wonderful" in out.getvalue()
