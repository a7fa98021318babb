"""``rnnjax.load`` and ``launch.py predict``: the answers that the parameters of a run give to its own test examples."""

import csv
import json
from functools import cache, partial

import flax.serialization
import jax
import numpy as np
import pytest
from sequences import normal_like

import launch
import rnnjax
from experiments.registry import experiment_from_config, experiment_to_config
from experiments.study import run_specs
from experiments.tasks.series import Series
from experiments.tasks.text import Text
from rnnjax.config.model import Architecture
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError
from rnnjax.nn.description import describe_model
from rnnjax.prediction import Prediction
from rnnjax.runs.member_schema import MemberInfo, ModelRecord
from rnnjax.runs.reader import read_config
from rnnjax.runs.schema import member_folder
from rnnjax.runs.writer import MemberWriter, write_config, write_vocabulary
from rnnjax.training.step.losses import score

pytestmark = pytest.mark.slow

WORDS = ("fine", "good", "dull", "bad", "odd", "plain", "film", "scene", "music", "don't")
CELLS = ("gru:chrono=5", "lstm:recurrent_dropout=0.5")
SEEDS = TrainingSettings(seeds=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with three runs as training leaves them, of texts, classes and numbers, and their files."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    for name, count in (("train", 60), ("test", 37)):
        _write_texts(folder / f"{name}-texts.csv", rng, count)
        _write_series(folder, name, rng, count)
    for name, experiment, suffix in (
        (
            "texts",
            partial(Text, text_column=("title", "body"), max_length=5, embedding=3, sweep=("keep=first,last",)),
            "csv",
        ),
        ("classes", partial(Series, architecture=Architecture(pooling="mean")), "npz"),
        ("numbers", partial(Series, architecture=Architecture(layers=2, bidirectional=True)), "npz"),
    ):
        train, test = (str(folder / f"{part}-{name}.{suffix}") for part in ("train", "test"))
        _write_run(folder / name, experiment(cells=CELLS, features=4, training=SEEDS, train=train, test=test))
    return folder


def _write_texts(path, rng, count):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["title", "body", "label"])
        for i in range(count):
            words = rng.choice(WORDS, size=rng.integers(1, 9))
            writer.writerow([rng.choice(["Naïve", "Lost"]), " ".join(words), ["bad", "good"][i % 2]])


def _write_series(folder, name, rng, count):
    lengths = rng.integers(1, 12, size=count)
    steps = rng.normal([1e3, -2, 7], [50, 0.1, 0], size=(lengths.sum(), 3))
    classes = np.array(["up", "down", "level"])[np.arange(count) % 3]
    np.savez(folder / f"{name}-classes.npz", x=steps, lengths=lengths, y=classes)
    np.savez(folder / f"{name}-numbers.npz", x=steps, lengths=lengths, y=rng.normal(5e4, 10, size=count))


def _write_run(folder, experiment):
    folder.mkdir()
    write_config(folder, experiment_to_config(experiment))
    for spec in run_specs(experiment, lambda line: None):
        member, dataset, model = member_folder(folder, spec.name), spec.make_dataset(), model_of(spec)
        member.mkdir(parents=True)
        writer = MemberWriter(member, tensorboard=False)
        writer.write_info(MemberInfo(label=spec.label, cell="", seed=spec.seed, parameters=1, steps=1))
        record = ModelRecord(
            model=describe_model(model),
            objective=dataset.objective,
            classes=dataset.classes,
            preprocessing=dataset.preprocessing,
        )
        writer.write_model(record)
        writer.write_params(flax.serialization.to_bytes(params_of(spec)))
        writer.close()
        write_vocabulary(folder, member, dataset.vocabulary)


def model_of(spec):
    return spec.make_model(spec.make_dataset().sizes, spec.cell)


def params_of(spec):
    inputs = spec.make_dataset().test.inputs[:1]
    shapes = jax.eval_shape(model_of(spec).init, jax.random.key(0), inputs)
    return normal_like(shapes, spec.seed + len(spec.label))["params"]


@cache
def compiled(model):
    return jax.jit(model.apply)


def scores_of(experiment):
    """(cell, seed) -> loss and correctness of each test example, as training scores them."""
    scores = {}
    for spec in run_specs(experiment, lambda line: None):
        dataset = spec.make_dataset()
        test, apply = dataset.test, compiled(model_of(spec))
        _, outputs = apply({"params": params_of(spec)}, test.inputs, lengths=test.lengths)
        scores[spec.label, spec.seed] = score(dataset.objective, outputs, test.labels, test.lengths)
    return scores


def predicted(predictions):
    """(cell, seed) -> probabilities (N, C) or numbers (N,)."""
    return {(one.cell, seed): values for one in predictions for seed, values in zip(one.seeds, one.values, strict=True)}


def experiment_of(run):
    return experiment_from_config(read_config(run))


def split_series(path):
    arrays = np.load(path)
    return np.split(arrays["x"], np.cumsum(arrays["lengths"])[:-1]), arrays["y"]


def check_classes(runs, name, examples, labels):
    predictions = rnnjax.load(runs / name).predict(examples)
    index = np.array([predictions[0].classes.index(label) for label in labels])
    values, scores = predicted(predictions), scores_of(experiment_of(runs / name))
    assert values.keys() == scores.keys()
    for key, (losses, correct) in scores.items():
        np.testing.assert_allclose(values[key].sum(axis=1), 1)
        np.testing.assert_allclose(-np.log(values[key][np.arange(len(index)), index]), losses, rtol=1e-4)
        assert (values[key].argmax(axis=1) == index).tolist() == correct.astype(bool).tolist()


def test_predictions_of_texts_are_those_of_the_runs_test(runs):
    with (runs / "test-texts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    check_classes(runs, "texts", [f"{row['title']} {row['body']}" for row in rows], [row["label"] for row in rows])
    assert len(rnnjax.load(runs / "texts").members) == 8  # two cells, two ends of a longer text, two seeds


def test_predictions_of_series_are_those_of_the_runs_test(runs):
    check_classes(runs, "classes", *split_series(runs / "test-classes.npz"))


def test_predicted_numbers_are_in_the_unit_of_the_labels(runs):
    series, labels = split_series(runs / "test-numbers.npz")
    _, learnt = split_series(runs / "train-numbers.npz")
    predictions = rnnjax.load(runs / "numbers").predict(series)
    assert [(one.classes, one.labels) for one in predictions] == [((), ())] * 2
    values = predicted(predictions)
    for key, (losses, _) in scores_of(experiment_of(runs / "numbers")).items():
        deviation = np.sqrt((values[key] - labels) ** 2 / losses)
        np.testing.assert_allclose(deviation, deviation[0], rtol=1e-3)
        assert deviation[0] == pytest.approx(learnt.std(), rel=0.1)  # a tenth of them is not trained on
        assert abs(values[key].mean() - learnt.mean()) < 10 * deviation[0]


def test_mean_and_spread_over_the_seeds(runs):
    first, *_ = rnnjax.load(runs / "classes").predict([np.ones((4, 3))])
    np.testing.assert_allclose(first.mean, (first.values[0] + first.values[1]) / 2)
    np.testing.assert_allclose(first.spread, abs(first.values[0] - first.values[1]) / np.sqrt(2))
    assert first.labels == (first.classes[first.mean[0].argmax()],)
    one = Prediction("LSTM", (0,), first.classes, first.values[:1])
    assert np.isnan(one.spread).all()


def test_a_batch_more_or_less_changes_no_prediction(runs):
    run, rng = rnnjax.load(runs / "classes"), np.random.default_rng(1)
    series = [rng.normal(1e3, 50, size=(length, 3)) for length in rng.integers(1, 40, size=150)]
    together = run.predict(series)[0].values
    for i in (0, 149):
        np.testing.assert_allclose(run.predict(series[i : i + 1])[0].values[:, 0], together[:, i], rtol=1e-5)


def test_a_file_of_predictions(runs, tmp_path, capsys):
    for out in ("a.csv", "a.jsonl"):
        assert (
            launch.main(["predict", str(runs / "texts"), str(runs / "test-texts.csv"), "--out", str(tmp_path / out)])
            == 0
        )
        assert capsys.readouterr().out == f"37 examples, 4 cells: {tmp_path / out}\n"
    objects = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["line", "cell", "seeds", "label", "probability", "spread", "P(bad)", "P(good)"]
    assert [row["line"] for row in rows[::4]] == [str(line) for line in range(2, 39)]
    assert [{**row, **{"P(bad)": 0, "P(good)": 0}} for row in rows] == [
        {name: str(one[name]) for name in ("line", "cell", "seeds", "label", "probability", "spread")}
        | {"P(bad)": 0, "P(good)": 0}
        for one in objects
    ]
    for row, one in zip(rows, objects, strict=True):
        assert {name: float(row[f"P({name})"]) for name in ("bad", "good")} == one["probabilities"]
        assert one["probability"] == max(one["probabilities"].values()) == one["probabilities"][one["label"]]


def test_a_file_of_predicted_numbers(runs, tmp_path):
    series, _ = split_series(runs / "test-numbers.npz")
    np.savez(tmp_path / "new.npz", x=np.concatenate(series), lengths=list(map(len, series)))  # without labels
    arguments = ["predict", str(runs / "numbers"), str(tmp_path / "new.npz"), "--out", str(tmp_path / "a.jsonl")]
    assert launch.main(arguments) == 0
    objects = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [one["example"] for one in objects[::2]] == list(range(37))
    for prediction in rnnjax.load(runs / "numbers").predict(series):
        of_cell = [one for one in objects if one["cell"] == prediction.cell]
        np.testing.assert_allclose([one["value"] for one in of_cell], prediction.mean, rtol=1e-5)
        np.testing.assert_allclose([one["spread"] for one in of_cell], prediction.spread, rtol=1e-5)


def test_lines_of_a_text_file_and_unknown_words(runs, tmp_path, capsys):
    (tmp_path / "new.txt").write_text("fine film\n\nzebra xylophone quagga\n")
    out = tmp_path / "a.csv"
    assert launch.main(["predict", str(runs / "texts"), str(tmp_path / "new.txt"), "--out", str(out)]) == 0
    warning = f"warning: 60% of the words of {tmp_path / 'new.txt'} are not in the vocabulary of the run"
    assert capsys.readouterr().out.splitlines()[0] == warning
    assert [line.partition(",")[0] for line in out.read_text().splitlines()] == ["line", *"1111", *"3333"]


@pytest.mark.parametrize(
    ("run", "file", "flags", "message"),
    [
        (
            "texts",
            "new.txt",
            ["--text-column", "body"],
            "--text-column has no meaning here, since {file} is a txt file",
        ),
        ("texts", "new.txt", ["--no-header"], "--no-header has no meaning here, since {file} is a txt file"),
        ("numbers", "new.npz", ["--encoding", "latin-1"], "--encoding has no meaning here, since {file} is a file of"),
    ],
)
def test_a_flag_without_meaning_for_the_file_is_refused(runs, tmp_path, capsys, run, file, flags, message):
    path, out = tmp_path / file, tmp_path / "a.csv"
    path.write_text("a fine film")
    assert launch.main(["predict", str(runs / run), str(path), "--out", str(out), *flags]) == 1
    assert message.format(file=path) in capsys.readouterr().err
    assert not out.exists()


def test_files_of_a_folder_are_named(runs, tmp_path):
    (tmp_path / "new" / "b").mkdir(parents=True)
    for name in ("b/2.txt", "1.txt"):
        (tmp_path / "new" / name).write_text("a fine film")
    out = tmp_path / "a.csv"
    assert launch.main(["predict", str(runs / "texts"), str(tmp_path / "new"), "--out", str(out)]) == 0
    assert [line.partition(",")[0] for line in out.read_text().splitlines()[::4]] == ["file", "1.txt", "b/2.txt"]


@pytest.mark.parametrize(
    ("run", "examples", "message"),
    [
        ("texts", "a film", "examples must be a list of texts, at least one, got 'a film'"),
        ("texts", [], "examples must be a list of texts, at least one, got list"),
        ("texts", ["a film", 3], "examples must be a list of texts, but example 1 is 3"),
        (
            "classes",
            ["a film"],
            r"examples must be a list of arrays, each \(T, D\) or \(T,\), but example 0 is 'a film'",
        ),
        (
            "classes",
            [np.ones((4, 3)), np.ones(4)],
            r"example 1 must be \(T, 3\) with .* 3 features a step, got .* \(4,\)",
        ),
        ("classes", [np.ones((0, 3))], "with at least one step"),
        ("classes", [np.full((2, 3), np.nan)], "example 0 holds NaN or infinity"),
    ],
)
def test_wrong_examples(run, examples, message, runs):
    with pytest.raises(ValueError, match=message):
        rnnjax.load(runs / run).predict(examples)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("params.msgpack", "has not validated any cell yet; wait until it has, or name another run"),
        (
            "model.json",
            "is older than this file, which describes the model, or its cell is neither one of rnnjax nor a class in a "
            "file of your own; run again",
        ),
        ("config.json", "is not a run folder"),
    ],
)
def test_what_is_missing_is_one_sentence(lost, message, runs, tmp_path, capsys):
    copy = copied(runs / "texts", tmp_path)
    for file in copy.rglob(lost):
        file.unlink()
    with pytest.raises(UserError, match=message):
        rnnjax.load(copy)
    assert launch.main(["predict", str(copy), str(runs / "test-texts.csv"), "--out", str(tmp_path / "a.csv")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def copied(run, folder):
    for file in filter(lambda path: path.is_file(), run.rglob("*")):
        to = folder / "copy" / file.relative_to(run)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(file.read_bytes())
    return folder / "copy"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.json", {"model": {"class": "os"}}, "model.json' is damaged, objective is missing"),
        ("model.json", {"model": {"class": "os"}, "objective": "binary"}, "damaged, it describes no model of rnnjax"),
        ("vocabulary.json", [1], "vocabulary.json' is damaged"),
        ("params.msgpack", {}, "params.msgpack' are damaged"),
    ],
)
def test_a_damaged_run_is_one_sentence(file, content, message, runs, tmp_path):
    copy = copied(runs / "texts", tmp_path)
    for path in copy.rglob(file):
        path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        rnnjax.load(copy).predict(["a film"])


@pytest.mark.parametrize(
    ("run", "change", "message"),
    [
        ("texts", {"classes": ["good"]}, "classes: 1 names, expected 2"),
        ("classes", {"classes": ["a", "b"]}, "classes: 2 names, expected 3"),
        (
            "texts",
            {"preprocessing": {"kind": "words", "max_length": -1, "keep": "last"}},
            "preprocessing.max_length: exp",
        ),
        (
            "classes",
            {"preprocessing": {"kind": "numbers", "mean": [1.0], "deviation": []}},
            "preprocessing: mean and dev",
        ),
        (
            "texts",
            {"model": {"class": "LSTM", "features": 2**31}},
            "it describes no model of rnnjax .its whole numbers",
        ),
    ],
)
def test_a_model_that_could_not_predict_is_named(run, change, message, runs, tmp_path):
    copy = copied(runs / run, tmp_path)
    path = next(copy.rglob("model.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=f"model.json' is damaged, {message}"):
        rnnjax.load(copy)


def test_nothing_is_overwritten(runs, tmp_path, capsys):
    (tmp_path / "notes.csv").write_text("precious")
    for out, message in (("notes.csv", "exists; name another file"), ("notes.txt", "must end in .csv or .jsonl")):
        arguments = ["predict", str(runs / "texts"), str(runs / "test-texts.csv"), "--out", str(tmp_path / out)]
        assert launch.main(arguments) == 1
        assert message in capsys.readouterr().err
    assert (tmp_path / "notes.csv").read_text() == "precious"
