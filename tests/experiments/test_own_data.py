"""The user's own texts and series with ``launch.py``: valid files, and files that cannot be read."""

import contextlib
import io
import json
import os

import numpy as np
import pytest
from command_line import SMALL, error_line, isolated_home, read_json, run_to_completion

import launch
import rnnjax
from experiments.registry import config_differences, experiment_from_config, experiment_to_config
from experiments.tasks.text import Text

pytestmark = pytest.mark.slow

TABLE = (
    "text\tlabel\n"
    + 'plain words, "quoted" in the middle\tgood\n'
    + '"a tab\there and a ""quote"""\tbad\n"two\nlines"\tbad\n\n\t\n'
    + "".join(f"{'so ' * (i % 4)}{word} number {i}\t{word}\n" for i in range(12) for word in ("good", "bad"))
)
WORDS = "--embedding 3 --max-length 8 --vocabulary 30 --validation 0.25"


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch):
    with isolated_home(tmp_path_factory, monkeypatch):
        yield


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_text_of_a_table_with_quotes_tabs_and_empty_rows(tmp_path):
    train, test = write(tmp_path / "train.tsv", TABLE), write(tmp_path / "test.tsv", TABLE)
    task, _ = run_to_completion(f"text {SMALL} --cells gru {WORDS} --train {train} --test {test}", tmp_path / "run")
    assert (task["step"], task["example"], task["objective"]) == ("word", "text", "binary")
    assert task["classes"] == ["bad", "good"]
    assert {"plain", "quote", "number"} & set(read_json(tmp_path / "run" / "vocabulary.json"))
    check_predictions(tmp_path / "run", ["so good a number", "plain words"], {"good", "bad"})
    status, output = start_explain(tmp_path / "run", "so good a number")
    assert status == 0
    assert "good" in output


def check_predictions(run, examples, classes):
    (prediction,) = rnnjax.load(run).predict(examples)
    assert set(prediction.classes) == classes
    assert prediction.values.shape == (1, len(examples), len(classes))


def start_explain(folder, text):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        status = launch.main(["explain", str(folder), "--text", text])
    return status, output.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test.tsv", TABLE + "what is this\tugly\n", "Line 32 of {path}"),
        ("test.csv", b"text,label\nfine,good\ncaf\xe9,bad\n", "Line 3 of {path} is not UTF-8 (byte 0xe9)"),
        ("test.jsonl", '{"text": "fine", "label": "good"}\n{"text": \n', "Line 2 of {path} is not JSON"),
        ("test.tsv", "text\tlabel\nfine\tgood\ttoo many\n", "Line 2 of {path}"),
    ],
    ids=["label", "bytes", "json", "fields"],
)
def test_text_that_cannot_be_read_is_one_sentence_and_leaves_nothing(name, content, message, tmp_path, capsys):
    train, path = write(tmp_path / "train.tsv", TABLE), write(tmp_path / name, content)
    line = error_line(f"text {SMALL} {WORDS} --train {train} --test {path}", tmp_path, capsys)
    assert line.startswith(f"error: {message.format(path=path)}")


@pytest.mark.parametrize("flags", ["text --train a.tsv", "series --train a.npz", "characters --file a.tsv --window 9"])
def test_fractions_that_leave_nothing_are_refused_before_any_combination_is_trained(
    flags, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.tsv", TABLE * 2)
    make_series(tmp_path / "a.npz", np.arange(60) % 2, ragged=True)
    line = error_line(f"{flags} {SMALL} --test-share 0.1 --sweep validation=0.2,0.95", tmp_path, capsys)
    assert line == (
        "error: A validation fraction of 0.95 and a test fraction of 0.1 leave no training examples; give smaller "
        "fractions."
    )


def make_series(path, labels, *, ragged):
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 9, size=len(labels)) if ragged else np.full(len(labels), 5)
    values = rng.normal(size=(lengths.sum(), 2)) + np.repeat(np.arange(len(labels)) % 3, lengths)[:, None]
    arrays = {"x": values, "lengths": lengths} if ragged else {"x": values.reshape(len(labels), 5, 2)}
    np.savez(path, y=labels, **arrays)
    return path


@pytest.mark.slow
def test_series_of_unlike_lengths_with_classes(tmp_path):
    train = make_series(tmp_path / "train.npz", np.array(["low", "mid", "high"] * 14), ragged=True)
    flags = f"--train {train} --validation 0.2 --test-share 0.2 --pooling max --sweep cell.init=chrono"
    task, _ = run_to_completion(f"series {SMALL} {flags}", tmp_path / "run")
    assert (task["step"], task["example"], task["objective"]) == ("step", "series", "classes")
    assert sorted(task["classes"]) == ["high", "low", "mid"]
    check_predictions(tmp_path / "run", [np.ones((3, 2)), np.zeros((1, 2))], {"high", "low", "mid"})


@pytest.mark.slow
def test_series_with_numbers_have_errors_in_the_unit_of_their_labels(tmp_path):
    """The same labels in another unit: the training is the same, and RMSE and MAE are in that unit."""
    results, scale = [], 1024.0
    for unit in (1.0, scale):
        rng = np.random.default_rng(1)
        train, test = (
            make_series(tmp_path / f"{name}{unit}.npz", unit * rng.normal(size=count), ragged=False)
            for name, count in (("train", 30), ("test", 9))
        )
        flags = f"series {SMALL} --cells gru --train {train} --test {test} --validation 0.2"
        task, (result,) = run_to_completion(flags, tmp_path / f"run{unit}")
        assert (task["objective"], task["loss"]) == ("number", "mean squared error")
        results.append((task["label_scale"], result))
    (scales, small), (large_scales, large) = results
    assert large_scales == [scale * number for number in scales]
    assert large["test_loss"] == small["test_loss"]
    for split in ("test", "validation"):
        of_small, of_large = small[f"{split}_errors"], large[f"{split}_errors"]
        assert of_large == {"rmse": scale * of_small["rmse"], "mae": scale * of_small["mae"], "r2": of_small["r2"]}
        assert of_small["rmse"] == pytest.approx(scales[1] * np.sqrt(small[f"{split}_loss"]))
        assert of_small["rmse"] >= of_small["mae"] > 0
    (*_, last) = (tmp_path / "run1.0").glob("members/*/metrics.jsonl")
    validations = [json.loads(line) for line in last.read_text().splitlines() if '"validation"' in line]
    assert validations[-1]["errors"] == small["validation_errors"]


@pytest.mark.slow
def test_series_with_numbers_and_one_test_file(tmp_path):
    rng = np.random.default_rng(1)
    train, test = (
        make_series(tmp_path / f"{name}.npz", rng.normal(size=count), ragged=False)
        for name, count in (("train", 30), ("test", 9))
    )
    task, (result,) = run_to_completion(
        f"series {SMALL} --cells gru --train {train} --test {test} --validation 0.2", tmp_path / "run"
    )
    assert (task["objective"], task["loss"]) == ("number", "mean squared error")
    arrays = np.load(test)
    (prediction,) = rnnjax.load(tmp_path / "run").predict([*arrays["x"]])
    deviation = read_json(next(tmp_path.rglob("model.json")))["preprocessing"]["label_deviation"]
    errors = (prediction.mean - arrays["y"]) / deviation
    assert np.mean(errors**2) == pytest.approx(result["test_loss"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["series --train one.npz", "text --train a.tsv --max-length 1 --embedding 3"])
def test_sequences_of_one_step(flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.tsv", TABLE)
    np.savez("one.npz", x=np.random.default_rng(0).normal(size=(60, 1, 5)), y=np.arange(60) % 2)
    run_to_completion(f"{flags} {SMALL} --validation 0.25", tmp_path / "run")


def test_a_pipe_is_refused_before_it_is_waited_for(tmp_path, capsys):
    for command, name in (("characters --file", "a.txt"), ("text --train", "a.csv"), ("series --train", "a.npz")):
        os.mkfifo(tmp_path / name)
        line = error_line(f"{command} {tmp_path / name} {SMALL}", tmp_path, capsys)
        assert f"{name} cannot be read (it is a pipe, not a regular file); give a readable file." in line


def test_the_content_of_a_folder_counts_when_a_run_is_continued(tmp_path):
    (tmp_path / "pos").mkdir()
    write(tmp_path / "pos" / "1.txt", "fine")
    experiment = Text(train=str(tmp_path))
    first, again = (experiment_to_config(experiment) for _ in range(2))
    write(tmp_path / "pos" / "1.txt", "dull")
    assert config_differences(first, again) == []
    assert config_differences(first, experiment_to_config(experiment)) == [
        "--train: the file's content has changed since the run"
    ]


def test_flags_of_older_runs_are_read():
    config = experiment_to_config(Text(train="a.tsv", text_column=("body",)))
    config.flags["text_column"] = "body"  # before several columns could be given
    del config.flags["encoding"]
    assert experiment_from_config(config) == Text(train="a.tsv", text_column=("body",))
