"""Restoring the experiment and models of a run folder, and encoding texts as the run does."""

import dataclasses
import json

import flax.serialization
import jax
import numpy as np
import pytest
from sequences import assert_same, normal_like

import rnnjax
from experiments.registry import experiment_to_config
from experiments.restore import RestoredRun, check_contents, encode_text, restore_run
from experiments.study import run_specs
from experiments.tasks.imdb import Imdb
from experiments.tasks.recall import Recall
from experiments.tasks.series import Series
from experiments.tasks.text import Text
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError
from rnnjax.runs.writer import write_config

WORDS = ("<pad>", "<unk>", "wonderful", "horrifying", "film", "don't")
EXPERIMENT = Recall(cells=("lstm", "gru:chrono=9"), features=3, embedding=2, training=TrainingSettings(seed=4, seeds=2))


@pytest.fixture
def run(tmp_path):
    """Of the LSTM seed 4 was not validated; of the GRU both were."""
    write_config(tmp_path, experiment_to_config(EXPERIMENT))
    (tmp_path / "vocabulary.json").write_text(json.dumps(WORDS))
    (tmp_path / "members" / "lstm-seed4").mkdir(parents=True)
    cells = {"lstm": rnnjax.LSTM(3), "gru-chrono-9": rnnjax.GRU(3, chrono=9)}
    for slug, seed in (("lstm", 5), ("gru-chrono-9", 4), ("gru-chrono-9", 5)):
        folder = tmp_path / "members" / f"{slug}-seed{seed}"
        folder.mkdir(parents=True)
        (folder / "params.msgpack").write_bytes(flax.serialization.to_bytes(params_of(cells[slug], seed)))
    return tmp_path


def params_of(cell, seed):
    model = rnnjax.SequenceClassifier(len(WORDS), 2, rnnjax.RNN(cell))
    return normal_like(jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1), np.int32)), seed)["params"]


def test_the_first_validated_seed_of_every_cell_comes_back(run):
    restored = restore_run(run)
    (task,) = restored.tasks
    assert (task.longest, task.features, task.embedding) == (EXPERIMENT.longest, 3, 2)
    assert restored.vocabulary == WORDS
    assert [(member.label, member.seed) for member in restored.members] == [("LSTM", 5), ("GRU chrono=9", 4)]
    for member, cell in zip(restored.members, (rnnjax.LSTM(3), rnnjax.GRU(3, chrono=9)), strict=True):
        assert_same(member.params, params_of(cell, member.seed))
        assert member.model == rnnjax.SequenceClassifier(len(WORDS), 2, rnnjax.RNN(cell), embedding_scale=0.5)
        _, logits = member.model.apply({"params": member.params}, np.array([[3, 2]]), lengths=np.array([2]))
        assert logits.shape == (1, 1)


def test_a_cell_without_parameters_is_left_out(run):
    (run / "members" / "lstm-seed5" / "params.msgpack").unlink()
    assert [member.label for member in restore_run(run).members] == ["GRU chrono=9"]


def test_every_combination_of_a_sweep_comes_back(tmp_path):
    swept = dataclasses.replace(EXPERIMENT, cells=("lstm",), sweep=("features=3,2", "cell.forget_bias=0"))
    write_config(tmp_path, experiment_to_config(swept))
    (tmp_path / "vocabulary.json").write_text(json.dumps(WORDS))
    cells = {"features-3-seed5": rnnjax.LSTM(3, forget_bias=0.0), "features-2-seed4": rnnjax.LSTM(2, forget_bias=0.0)}
    for name, cell in cells.items():
        folder = tmp_path / "members" / f"lstm-forget-bias-0-{name}"
        folder.mkdir(parents=True)
        (folder / "params.msgpack").write_bytes(flax.serialization.to_bytes(params_of(cell, 1)))
    members = restore_run(tmp_path).members
    expected = [("LSTM forget_bias=0 features=3", 5), ("LSTM forget_bias=0 features=2", 4)]
    assert [(member.label, member.seed) for member in members] == expected
    for member, cell in zip(members, cells.values(), strict=True):
        assert member.model.recurrent.cell == cell
        assert_same(member.params, params_of(cell, 1))


@pytest.mark.parametrize(
    ("experiment", "name"),
    [
        (Imdb(sweep=("features=2", "max-length=50,100")), "max_length"),
        (Imdb(cells=("lstm", "lstm:keep=first")), "keep"),
        (Imdb(cells=("lstm:vocabulary=50", "gru")), "vocabulary"),
        (Text(train="a.tsv", sweep=("test_share=0.1,0.5",)), "test_share"),
    ],
)
def test_a_run_whose_cells_encode_a_text_differently_is_refused(experiment, name, tmp_path):
    write_config(tmp_path, experiment_to_config(experiment))
    message = f"differ in {name}, so they encode a text differently; name a run with one {name}"
    with pytest.raises(UserError, match=message):
        restore_run(tmp_path)


def test_a_run_without_parameters_is_refused(run):
    for file in run.rglob("params.msgpack"):
        file.unlink()
    with pytest.raises(UserError, match="has not validated any cell yet"):
        restore_run(run)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "is not a run folder"),
        ("config.json", "{", "not valid JSON"),
        ("config.json", "[]", "expected object, got array"),
        ("vocabulary.json", None, "the run is older than this file, in which its words stand; run again"),
        ("vocabulary.json", "[1]", "expected str, got int"),
        ("vocabulary.json", '["<pad>", "<unk>"]', "their shapes are not those of the run's flags and vocabulary"),
        ("members/lstm-seed5/params.msgpack", "", "The parameters in"),
        ("members/lstm-seed5/params.msgpack", "nonsense", "The parameters in"),
    ],
)
def test_a_missing_or_damaged_file_is_named(name, content, message, run):
    (run / name).unlink()
    if content is not None:
        (run / name).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        restore_run(run)
    assert str(run) in str(error.value)


def test_torn_parameters_are_reported(run):
    file = run / "members" / "gru-chrono-9-seed4" / "params.msgpack"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"The parameters in '.*seed4/params\.msgpack' are damaged"):
        restore_run(run)


def run_of(*tasks):
    return RestoredRun(tasks, WORDS, ("no", "yes"), ())


def test_what_a_cell_sets_for_itself_counts(run):
    own = Recall(cells=("lstm:max_distance=9", "lstm:max_distance=1"), min_distance=0)
    tasks = dict.fromkeys(spec.task for spec in run_specs(own, print))
    assert encode_text(run_of(*tasks), "film " * 3).note.endswith("was trained on reviews of at most 2 or 10.")
    (task,) = {spec.task for spec in run_specs(Imdb(cells=("lstm:max_length=2",)), print)}
    assert encode_text(run_of(task), "wonderful film horrifying").words == ("film", "horrifying")


def test_a_text_is_read_as_the_reviews_were():
    read = encode_text(run_of(EXPERIMENT), "A HORRIFYING film,<br />don't!")
    assert read.words == ("a", "horrifying", "film", "don't")
    assert read.tokens.tolist() == [1, 3, 4, 5]
    assert read.note == ""


def test_a_longer_text_is_cut_by_imdb_and_read_whole_by_recall():
    text = "wonderful film horrifying"
    last = encode_text(run_of(Imdb(max_length=2)), text)
    assert (last.words, last.tokens.tolist()) == (("film", "horrifying"), [4, 3])
    assert last.note == "The text has 3 words; this run reads the last 2 of a review."
    first = encode_text(run_of(Imdb(max_length=2, keep="first")), text)
    assert (first.words, first.tokens.tolist()) == (("wonderful", "film"), [2, 4])
    assert "reads the first 2" in first.note
    assert encode_text(run_of(Imdb(max_length=3)), text).note == ""
    whole = encode_text(run_of(Recall(min_distance=0, max_distance=1)), text)
    assert whole.tokens.tolist() == [2, 4, 3]
    assert whole.note == "The text has 3 words; this run was trained on reviews of at most 2."
    assert encode_text(run_of(Recall(min_distance=0, max_distance=2)), text).note == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no word in --text"),
        ("... !", "There is no word in --text"),
        ("foo <unk>", "vocabulary has no word of --text"),
    ],
)
def test_a_text_without_a_known_word_is_refused(text, message):
    with pytest.raises(UserError, match=rf"{message}; give a text with words such as wonderful, horrifying, film\.$"):
        encode_text(run_of(EXPERIMENT), text)


def test_a_text_whose_known_words_are_cut_away_is_refused():
    with pytest.raises(UserError, match="vocabulary has no word of the last 2 words"):
        encode_text(run_of(Imdb(max_length=2)), "wonderful foo bar")


def test_a_file_that_is_not_here_is_told_from_one_that_has_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"series")
    experiment = Series(train="a.npz")
    config = experiment_to_config(experiment)
    check_contents(experiment, tmp_path / "run", config)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UserError) as error:
        check_contents(experiment, tmp_path / "run", config)
    assert str(error.value) == (
        "--train a.npz cannot be read from the current folder; go to the folder in which the run was trained, or "
        "restore the file."
    )
    (tmp_path / "elsewhere" / "a.npz").write_bytes(b"others")
    with pytest.raises(UserError, match=r"has changed \(the content of train\); restore it or run again\.$"):
        check_contents(experiment, tmp_path / "run", config)
