"""``launch.py explain``: what it prints for a run, and one sentence for what is missing."""

import dataclasses
import json
import re

import flax.serialization
import jax
import numpy as np
import pytest
from sequences import normal_like

import launch
import rnnjax
from experiments.tasks.recall import Recall

WORDS = ("<pad>", "<unk>", "wonderful", "horrifying", "film", "scene")
MODELS = {
    "simplernn": rnnjax.SequenceClassifier(len(WORDS), 2, rnnjax.RNN(rnnjax.SimpleRNN(3))),
    "lstm": rnnjax.SequenceClassifier(len(WORDS), 2, rnnjax.RNN(rnnjax.LSTM(3))),
}


@pytest.fixture
def run(tmp_path):
    """A run folder of two cells, as training would leave it."""
    experiment = Recall(cells=("simple", "lstm"), features=3, embedding=2, min_distance=1, max_distance=4)
    config = {"experiment": "recall", "flags": dataclasses.asdict(experiment)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "vocabulary.json").write_text(json.dumps(WORDS))
    for name in MODELS:
        folder = tmp_path / "members" / f"{name}-seed0"
        folder.mkdir(parents=True)
        (folder / "params.msgpack").write_bytes(flax.serialization.to_bytes(params_of(name)))
    return tmp_path


def params_of(name):
    shapes = jax.eval_shape(MODELS[name].init, jax.random.key(0), np.zeros((1, 1), np.int32))
    return normal_like(shapes, 1)["params"]


def logits_of(name, *texts):
    model, tokens, lengths = MODELS[name], np.array(texts), np.full(len(texts), len(texts[0]))
    return jax.jit(lambda: model.apply({"params": params_of(name)}, tokens, lengths=lengths)[1][:, 0])().tolist()


def test_every_cell_is_shown_with_the_logits_of_its_parameters(run, capsys):
    assert launch.main(["explain", str(run), "--text", "HORRIFYING! A zebra film"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    legend, *cells = re.split(r"\n(?=SimpleRNN|LSTM)", output.out)
    assert "not in the vocabulary" in " ".join(legend.split())
    for name, title, shown in zip(MODELS, ("SimpleRNN, seed 0", "LSTM, seed 0"), cells, strict=True):
        with_it, without_it = logits_of(name, (3, 1, 1, 4), (1, 1, 1, 4))
        assert shown.startswith(title)
        assert re.search(r" horrifying(\[\d+\])? a\?(\[\d+\])? zebra\?(\[\d+\])? film(\[\d+\])? ", shown)
        assert re.search(rf"^logit .* {re.escape(f'{with_it:+.2f}')}$", shown, re.MULTILINE)
        assert re.search(rf"^{'positive' if with_it > 0 else 'negative'} \(", shown, re.MULTILINE)
        (row,) = re.findall(r"^horrifying +1 .*$", shown, re.MULTILINE)
        assert row.split()[-2] == f"{without_it:+.2f}"


def test_a_text_longer_than_training_is_reported(run, capsys):
    (run / "members" / "lstm-seed0" / "params.msgpack").unlink()
    assert launch.main(["explain", str(run), "--text", "film " * 6]) == 0
    assert "The text has 6 words; this run was trained on reviews of at most 5.\n" in (out := capsys.readouterr().out)
    assert "LSTM" not in out  # it was not validated


@pytest.mark.parametrize(
    ("text", "lost", "message"),
    [
        ("film", "vocabulary.json", "the run is older than this file, in which its words stand; run again"),
        ("film", "params.msgpack", "has not validated any cell yet"),
        ("film", "config.json", "is not a run folder"),
        ("zebra", None, "The run's vocabulary has no word of --text; give a text with words such as wonderful"),
        (" ", None, "There is no word in --text; give a text with words such as wonderful"),
    ],
)
def test_what_is_missing_is_one_sentence_with_status_1(text, lost, message, run, capsys):
    for file in run.rglob(lost or "nothing"):
        file.unlink()
    assert launch.main(["explain", str(run), "--text", text]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
