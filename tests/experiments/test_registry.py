"""Flags of an experiment: saved and read back, compared between two runs, and repeated."""

import dataclasses

import pytest
import tyro

from experiments.registry import config_differences, experiment_from_config, experiment_to_config
from experiments.tasks.imdb import Imdb
from experiments.tasks.recall import Recall
from experiments.tasks.text import Text
from rnnjax.config.execution import Execution
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError
from rnnjax.runs.codec import encode
from rnnjax.runs.schema import Config

SMALL = Recall(cells=("lstm", "gru:chrono=9"), features=3, embedding=2, training=TrainingSettings(seed=4, seeds=2))


@pytest.mark.parametrize(
    "experiment",
    [
        SMALL,
        Recall(),
        Recall(sweep=("learning_rate=1e-3,3e-3", "cell.init=chrono"), shard="2/3"),
        Imdb(cells=(), keep="first", data_dir="x", embedding_scale=1, training=TrainingSettings(tensorboard=True)),
    ],
)
def test_an_experiment_comes_back_from_its_flags(experiment):
    assert experiment_from_config(experiment_to_config(experiment)) == experiment


def test_flags_that_an_older_run_did_not_have_get_their_defaults():
    config = experiment_to_config(SMALL)
    for name in ("embedding_scale", "sweep", "shard"):
        del config.flags[name]
    for name in ("warmup_steps", "optimizer"):
        del config.flags["training"][name]
    assert experiment_from_config(config) == SMALL


def test_a_flag_of_older_runs_is_read_but_such_a_run_is_not_continued():
    config = experiment_to_config(SMALL)
    config.flags["training"]["buckets"] = 1
    assert experiment_from_config(config) == SMALL
    assert config_differences(config, experiment_to_config(SMALL)) == [
        "--buckets: in the folder, whose batches came in another order; it no longer exists"
    ]


def test_how_a_run_was_executed_is_not_kept():
    config = experiment_to_config(Recall(execution=Execution(devices=3, resume=True)))
    assert config == experiment_to_config(Recall())
    assert list(encode(config)) == ["format_version", "experiment", "flags", "contents"]
    assert config.experiment == "recall"
    assert config.flags["cells"] == ["simple", "lstm", "gru", "gru:chrono=200"]
    assert "execution" not in config.flags


@pytest.mark.parametrize("name", ["", "imagenet", ["imdb"]])
def test_an_unknown_experiment_is_refused(name):
    with pytest.raises(
        UserError, match=r"names the experiment .*, expected one of recall, imdb, .*; restore it or run again\.$"
    ):
        experiment_from_config(Config(experiment=name, flags={}))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (None, "None is not Imdb"),
        ([], "is not Imdb"),
        ({"features": "many"}, "'many' is not int"),
        ({"features": True}, "True is not int"),
        ({"features": 0}, "--features must be at least 1"),
        ({"cells": "lstm"}, "'lstm' is not"),
        ({"cells": ["lstm", 3]}, "3 is not str"),
        ({"keep": "middle"}, "'middle' is not"),
        ({"data_dir": 5}, "5 is not str"),
        ({"embedding_scale": None}, "None is not float"),
        ({"training": {"epochs": 1.5}}, "1.5 is not int"),
        ({"training": 3}, "3 is not TrainingSettings"),
        ({"colour": "red"}, "unknown: colour"),
    ],
)
def test_damaged_flags_are_refused(flags, message):
    with pytest.raises(UserError, match=r"config\.json are damaged or of another version \(.*; restore it") as error:
        experiment_from_config(Config(experiment="imdb", flags=flags))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Recall(), []),
        (Recall(out="x", execution=Execution(devices=2), training=Recall().training), []),
        (Recall(training=dataclasses.replace(Recall().training, tensorboard=True)), []),
        (
            Recall(training=dataclasses.replace(Recall().training, learning_rate=0.001, seeds=2)),
            ["--learning-rate: 0.003 in the folder, 0.001 asked for", "--seeds: 3 in the folder, 2 asked for"],
        ),
        (
            Recall(cells=("lstm", "gru"), max_distance=50, embedding_scale=1, shard="1/2", sweep=("features=1,2",)),
            [
                "--cells: simple lstm gru gru:chrono=200 in the folder, lstm gru asked for",
                "--sweep: none in the folder, features=1,2 asked for",
                "--shard: none in the folder, 1/2 asked for",
                "--embedding-scale: 0.5 in the folder, 1.0 asked for",
                "--max-distance: 200 in the folder, 50 asked for",
            ],
        ),
        (Imdb(), ["experiment: recall in the folder, imdb asked for"]),
    ],
)
def test_the_difference_names_the_flags_that_change_results(asked, message):
    old = experiment_to_config(Recall())
    assert config_differences(old, experiment_to_config(asked)) == message
    for name in ("architecture", "sweep", "shard", "embedding_scale"):  # as in a run that is older than they are
        del old.flags[name]
    assert config_differences(old, experiment_to_config(asked)) == message


def test_where_the_data_lie_makes_no_difference():
    assert (
        config_differences(experiment_to_config(Imdb(data_dir="here")), experiment_to_config(Imdb(data_dir="there")))
        == []
    )
    assert config_differences(experiment_to_config(Imdb()), experiment_to_config(Imdb(keep="first"))) == [
        "--keep: last in the folder, first asked for"
    ]


def test_a_file_of_the_user_counts_by_its_content(tmp_path):
    here, there = tmp_path / "here.tsv", tmp_path / "there.tsv"
    for path in (here, there):
        path.write_text("text\tlabel\n")
    old = experiment_to_config(Text(train=str(here)))
    assert config_differences(old, experiment_to_config(Text(train=str(there)))) == []
    assert config_differences(old, experiment_to_config(Text(train=str(here), test=str(there)))) == [
        f"--test: none in the folder, {there} asked for"
    ]
    here.write_text("text\tlabel\ngood\t1\n")
    assert config_differences(old, experiment_to_config(Text(train=str(here)))) == [
        "--train: the file's content has changed since the run"
    ]
    gone = experiment_to_config(Text(train="none.tsv"))
    assert gone.contents == {}
    assert config_differences(old, gone) == ["--train: none.tsv cannot be read from the current folder"]
    assert experiment_from_config(old) == Text(train=str(here))


@pytest.mark.parametrize("experiment", [Recall, Imdb])
def test_sweep_is_given_once_for_each_flag_and_execution_without_a_prefix(experiment):
    flags = "--sweep learning_rate=1e-3,3e-3 --shard 2/3 --sweep cell.init=chrono,orthogonal --devices 2 --epochs 5"
    parsed = tyro.cli(experiment, args=flags.split())
    assert parsed.sweep == ("learning_rate=1e-3,3e-3", "cell.init=chrono,orthogonal")
    assert parsed.shard == "2/3"
    assert parsed.execution == Execution(devices=2)
    assert parsed.training == dataclasses.replace(experiment().training, epochs=5)
    assert tyro.cli(experiment, args=[]) == experiment()
    assert (experiment().sweep, experiment().shard, experiment().execution) == ((), None, Execution())


@pytest.mark.parametrize("experiment", [Recall, Imdb])
def test_the_help_of_sweep_and_shard_shows_an_example(experiment, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit):
        tyro.cli(experiment, args=["--help"])
    text = capsys.readouterr().out
    assert "--sweep learning_rate=1e-3,3e-3 --sweep cell.init=chrono,orthogonal" in text
    assert "--shard 1/4" in text
