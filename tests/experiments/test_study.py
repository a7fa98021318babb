"""A study: its runs, their order and names, their models and data."""

import sys
import types

import pytest

import rnnjax
from experiments.run import train
from experiments.study import run_specs
from experiments.tasks.adding import Adding
from experiments.tasks.imdb import Imdb
from experiments.tasks.recall import Recall
from experiments.tasks.text import Text
from rnnjax.cells.initializers import Identity, Orthogonal
from rnnjax.config.execution import Execution
from rnnjax.config.training import TrainingSettings
from rnnjax.data.dataset import Sizes


def silent(line):
    raise AssertionError(line)


def study(*sweep, experiment=Recall, cells=("lstm",), seeds=1, **flags):
    training = flags.pop("training", TrainingSettings(seeds=seeds))
    return run_specs(experiment(cells=cells, sweep=sweep, training=training, **flags), silent)


def test_without_a_sweep_every_cell_is_trained_from_every_seed():
    trained = study(cells=("simple", "gru:chrono=9"), training=TrainingSettings(seed=4, seeds=2), features=3)
    assert [spec.name for spec in trained] == [
        "simplernn-seed4", "simplernn-seed5", "gru-chrono-9-seed4", "gru-chrono-9-seed5",
    ]  # fmt: skip
    assert [spec.label for spec in trained] == ["SimpleRNN"] * 2 + ["GRU chrono=9"] * 2
    assert [spec.seed for spec in trained] == [4, 5, 4, 5]
    assert [spec.cell for spec in trained] == [rnnjax.SimpleRNN(3)] * 2 + [rnnjax.GRU(3, chrono=9)] * 2
    assert all(spec.settings == TrainingSettings(seed=4, seeds=2) and spec.varied == {} for spec in trained)


def test_cells_go_slowest_then_sweeps_in_their_order_then_seeds():
    trained = study("learning-rate=3e-3,0.1", "cell.forget_bias=0,1.5", cells=("lstm", "lstm:zoneout=0.1"), seeds=2)
    labels = [
        f"{cell} forget_bias={bias} learning_rate={rate}"
        for cell in ("LSTM", "LSTM zoneout=0.1")
        for rate in (0.003, 0.1)
        for bias in ("0", "1.5")
        for _ in range(2)
    ]
    assert [spec.label for spec in trained] == labels
    assert [spec.seed for spec in trained] == [0, 1] * 8
    assert trained[2].name == "lstm-forget-bias-1.5-learning-rate-0.003-seed0"
    assert trained[2].varied == {"learning_rate": 0.003, "cell.forget_bias": 1.5}
    assert trained[2].cell == rnnjax.LSTM(64, forget_bias=1.5)
    assert [spec.settings.learning_rate for spec in trained] == ([0.003] * 4 + [0.1] * 4) * 2
    assert len({spec.name for spec in trained}) == 16


@pytest.mark.parametrize(
    ("sweep", "experiment", "values", "labels"),
    [
        ("features=3,5", Recall, [3, 5], ["features=3", "features=5"]),
        ("embedding_scale=1, 2.5", Recall, [1.0, 2.5], ["embedding_scale=1", "embedding_scale=2.5"]),
        ("schedule=cosine,constant", Recall, ["cosine", "constant"], ["schedule=cosine", "schedule=constant"]),
        ("learning_rate=1e-5,.2", Recall, [1e-5, 0.2], ["learning_rate=1e-05", "learning_rate=0.2"]),
        ("steps-per-program=1", Recall, [1], ["steps_per_program=1"]),
        ("keep=first,last", Imdb, ["first", "last"], ["keep=first", "keep=last"]),
        ("validation=0.2", Imdb, [0.2], ["validation=0.2"]),
        ("bidirectional=true,false", Recall, [True, False], ["bidirectional=true", "bidirectional=false"]),
        ("pooling=mean,last", Recall, ["mean", "last"], ["pooling=mean", "pooling=last"]),
        ("min_length=4,50", Adding, [4, 50], ["min_length=4", "min_length=50"]),
        ("cell.chrono=50,200", Recall, [50, 200], ["chrono=50", "chrono=200"]),
        ("cell.recurrent-init=identity,orthogonal*0.9", Recall, ["identity", "orthogonal*0.9"], None),
        ("cell.init=default,chrono", Recall, ["default", "chrono"], ["", "chrono=201"]),
    ],
)
def test_values_are_typed_and_stand_in_the_label(sweep, experiment, values, labels):
    name = sweep.partition("=")[0].replace("-", "_")
    trained = study(sweep, experiment=experiment)
    values_varied = [spec.varied[name] for spec in trained]
    assert values_varied == values
    assert list(map(type, values_varied)) == list(map(type, values))
    if labels:
        assert [spec.label for spec in trained] == [f"LSTM {label}".strip() for label in labels]


def test_an_initialisation_by_name_is_that_of_the_option():
    trained = study("cell.init=default,chrono,orthogonal,identity*0.5", max_distance=99, min_distance=9, features=3)
    assert [spec.cell for spec in trained] == [
        rnnjax.LSTM(3),
        rnnjax.LSTM(3, chrono=100),
        rnnjax.LSTM(3, recurrent_init=Orthogonal()),
        rnnjax.LSTM(3, recurrent_init=Identity(0.5)),
    ]
    assert trained[3].label == "LSTM recurrent_init=identity*0.5"


@pytest.mark.parametrize(("experiment", "flag", "longest"), [(Recall, "max_distance", 1), (Imdb, "max_length", 0)])
def test_chrono_fits_the_longest_sequence_of_each_combination(experiment, flag, longest):
    trained = study(f"{flag}=50,90", "cell.init=chrono", experiment=experiment)
    assert [spec.cell.chrono for spec in trained] == [50 + longest, 90 + longest]
    assert [spec.label for spec in trained] == [
        f"LSTM chrono={50 + longest} {flag}=50",
        f"LSTM chrono={90 + longest} {flag}=90",
    ]


def test_a_cell_may_have_flags_of_its_own():
    cells = ("lstm", "lstm:chrono=50,pooling=mean,clip=0.5,features=3", "gru:layers=2,recurrent_dropout=0.1")
    plain, recipe, deep = study(cells=cells)
    assert [spec.label for spec in (plain, recipe, deep)] == [
        "LSTM", "LSTM chrono=50 pooling=mean clip=0.5 features=3", "GRU layers=2 recurrent_dropout=0.1",
    ]  # fmt: skip
    assert recipe.name == "lstm-chrono-50-pooling-mean-clip-0.5-features-3-seed0"
    assert (plain.cell, recipe.cell, deep.cell) == (
        rnnjax.LSTM(64), rnnjax.LSTM(3, chrono=50), rnnjax.GRU(64, recurrent_dropout=0.1),
    )  # fmt: skip
    assert [spec.settings.clip for spec in (plain, recipe, deep)] == [1.0, 0.5, 1.0]
    assert recipe.settings == TrainingSettings(clip=0.5)
    assert all(spec.varied == {} for spec in (plain, recipe, deep))
    models = [spec.make_model(Sizes(9, 0, 1), spec.cell) for spec in (plain, recipe, deep)]
    assert [model.pooling for model in models] == ["last", "mean", "last"]
    assert models[1].recurrent == rnnjax.RNN(recipe.cell)
    assert models[2].recurrent == rnnjax.Stack((rnnjax.RNN(deep.cell),) * 2)
    assert len({spec.task for spec in (plain, recipe, deep)}) == 3


def test_flags_of_a_cell_and_sweeps_go_together():
    trained = study("clip=1,2", "cell.forget_bias=0,1", cells=("lstm:omega=2,bidirectional=true", "lstm"))
    assert [spec.label for spec in trained[:2]] == [
        "LSTM omega=2 bidirectional=true forget_bias=0 clip=1",
        "LSTM omega=2 bidirectional=true forget_bias=1 clip=1",
    ]
    assert [spec.settings.omega for spec in trained] == [2.0] * 4 + [0.0] * 4
    assert [spec.settings.clip for spec in trained] == [1.0, 1.0, 2.0, 2.0] * 2
    assert trained[0].varied == {"clip": 1.0, "cell.forget_bias": 0.0}
    lengths = [spec.cell.chrono for spec in study("cell.init=chrono", cells=("lstm:max_distance=50", "lstm"))]
    assert lengths == [51, 201]


def test_flags_that_depend_on_each_other_are_swept_together():
    trained = study("min_distance=300", "max_distance=300,400", max_distance=20)
    assert [spec.make_dataset.func.__self__.longest for spec in trained] == [301, 401]


def test_the_default_initialisation_adds_nothing_to_the_label():
    assert [spec.label for spec in study("cell.init=default,identity", cells=("simple",))] == [
        "SimpleRNN",
        "SimpleRNN recurrent_init=identity",
    ]


@pytest.mark.parametrize("parts", range(1, 13))
def test_shards_make_up_the_study(parts):
    flags = {"cells": ("lstm", "gru"), "seeds": 3}
    names = [spec.name for spec in study("features=2,3", **flags)]
    shards = [[spec.name for spec in study("features=2,3", shard=f"{i}/{parts}", **flags)] for i in range(1, parts + 1)]
    assert len(names) == 12
    assert [name for shard in shards for name in shard] == names
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    if parts in (2, 4):  # seeds of one setting stay together
        assert all(len({name.rpartition("-seed")[0] for name in shard}) == 4 // parts for shard in shards)


def test_tasks_are_equal_where_models_and_data_are():
    alike = study(
        "learning_rate=0.1,0.2", "cell.forget_bias=0,1", "sorted_batches=1,2", cells=("lstm", "lstm:zoneout=0.1")
    )
    assert len(alike) == 16
    assert len({spec.task for spec in alike}) == 1
    assert {spec.task for spec in study(cells=("gru",), shard="1/1", out="x", execution=Execution(devices=2))} == {
        alike[0].task
    }
    for sweep in ("batch_size=32,64", "features=2,3", "embedding=2,3", "steps=2,3", "max_distance=20,30"):
        assert len({spec.task for spec in study(sweep, seeds=2)}) == 2
    assert study(experiment=Imdb)[0].task != alike[0].task


def test_models_and_data_are_those_of_the_combination():
    flags = {"min_distance": 0, "max_distance": 4, "embedding": 2}
    trained = study("features=2,3", "steps=1,2", training=TrainingSettings(seed=5, batch_size=8), **flags)
    for spec in trained:
        model = spec.make_model(Sizes(9, 0, 1), spec.cell)
        assert (model.vocabulary, model.embedding) == (9, 2)
        assert model.recurrent == rnnjax.RNN(rnnjax.LSTM(spec.varied["features"]))
        made = Recall(steps=spec.varied["steps"], training=spec.settings, **flags).dataset(5, silent)
        data = spec.make_dataset()
        assert data.train.inputs.shape == (8 * spec.varied["steps"], 5)
        assert (data.train.inputs == made.train.inputs).all()


def test_real_reviews_are_read_once_for_equal_flags(monkeypatch):
    read = []

    def imdb(**flags):
        read.append(flags)
        return object()

    monkeypatch.setattr("rnnjax.data.tfds.imdb.imdb", imdb)
    sweep, training = ("max_length=7,9", "learning_rate=0.1,0.2"), TrainingSettings(seeds=2)
    progress = [].append
    trained = run_specs(Imdb(cells=("lstm", "gru"), sweep=sweep, training=training), progress)
    made = [spec.make_dataset() for spec in trained]
    assert len(made) == 16
    assert [flags["max_length"] for flags in read] == [7, 9]
    assert all(flags["seed"] == 0 and flags["progress"] is progress for flags in read)
    assert made == [made[0]] * 4 + [made[4]] * 4 + [made[0]] * 4 + [made[4]] * 4
    assert made[0] is not made[4]


def test_own_texts_are_read_once_whatever_is_built_around_the_cells(monkeypatch):
    read = []

    def text_dataset_from_files(**flags):
        read.append(flags)
        return object()

    monkeypatch.setattr("rnnjax.data.files.text_classification.text_dataset_from_files", text_dataset_from_files)
    cells, sweep = ("lstm", "gru:layers=2,embedding=3"), ("features=2,3", "keep=first,last")
    made = [spec.make_dataset() for spec in run_specs(Text(cells=cells, sweep=sweep, train="a.tsv"), print)]
    assert [flags["keep"] for flags in read] == ["first", "last"]
    assert made == [made[0], made[1]] * 4


@pytest.mark.parametrize("experiment", [Recall, Imdb])
def test_run_trains_the_study_into_the_folder(experiment, tmp_path, monkeypatch):
    seen = []
    job = types.SimpleNamespace(run_study=lambda *arguments: seen.append(arguments))
    monkeypatch.setitem(sys.modules, "rnnjax.training.study", job)
    view = types.SimpleNamespace(line=silent)
    wanted = experiment(sweep=("features=2,3",), shard="2/2", execution=Execution(devices=2))
    train(wanted, tmp_path, view)
    ((folder, trained, execution, shown),) = seen
    assert (folder, execution, shown) == (tmp_path, Execution(devices=2), view)
    assert [spec.name for spec in trained] == [spec.name for spec in run_specs(wanted, silent)]
