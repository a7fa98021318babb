"""Fills the folder in which the commands of ``cases_launch.py`` run: wrong files, and damaged run folders."""

import dataclasses
import gzip
import json
import os

import flax.serialization
import jax
import numpy as np

import rnnjax
from experiments.registry import experiment_to_config
from experiments.tasks.adding import Adding
from experiments.tasks.recall import Recall
from experiments.tasks.series import Series
from rnnjax.runs.codec import encode

WORDS = ("<pad>", "<unk>", "wonderful", "horrifying", "film")
SMALL = Recall(cells=("lstm",), training=dataclasses.replace(Recall().training, seeds=1))
MOVED = Series(train="gone.npz")
MEMBER = {"label": "LSTM", "cell": "lstm", "seed": 0, "parameters": 9, "steps": 4}
TABLE = "text,label\n" + "a fine film,good\na dull film,bad\n" * 20


def fill(folder):
    """Create all files in ``folder``, which is empty."""
    (folder / "notes.txt").write_text("precious")
    (folder / "own_cells.py").write_text(
        "import rnnjax\n\n\nclass Unfinished(rnnjax.Cell):\n    pass\n\n\nclass Plain:\n    pass\n"
    )
    for name in ("empty", "photos"):
        (folder / name).mkdir()
    (folder / "photos" / "holiday.jpg").write_text("precious")
    _tables(folder)
    _arrays(folder)
    _runs(folder)


def _tables(folder):
    (folder / "good.csv").write_text(TABLE)
    (folder / "one.csv").write_text("text,label\n" + "a fine film,good\n" * 9)
    (folder / "latin.csv").write_bytes("text,label\nnaïf,good\n".encode("latin-1"))
    (folder / "swallowed.tsv").write_text('text\tlabel\n"a film\tgood\ndull\tbad\n"\tgood\nlost\n')
    (folder / "surrogate.jsonl").write_text('{"text": "a film", "label": "sad \\ud83d"}\n')
    (folder / "half.csv.gz").write_bytes(gzip.compress(TABLE.encode())[:-9])
    (folder / "sound.wav").write_bytes(b"RIFF")
    os.mkfifo(folder / "pipe.csv")
    (folder / "few.csv").write_text("text,label\na fine film,good\na dull film,bad\n")
    (folder / "other.csv").write_text("text,label\na strange film,ugly\n")
    (folder / "columns.csv").write_text("text,stars\na fine film,5\n")


def _arrays(folder):
    numbers, labels = np.zeros((5, 4, 2)), np.arange(5) % 2
    holes = numbers.copy()
    holes[2, 1] = np.nan
    for name, arrays in {
        "nan": {"x": holes, "y": labels},
        "no-y": {"x": numbers},
        "words": {"x": numbers.astype("U1"), "y": labels},
        "shapes": {"x": numbers[:3, :, 0], "y": labels},
        "lengths": {"x": numbers[:2], "y": labels[:2], "lengths": np.array([4.0, 2.0])},
        "no-steps": {"x": numbers[:2], "y": labels[:2], "lengths": np.array([4, 0])},
    }.items():
        np.savez(folder / f"{name}.npz", **arrays)


def _runs(folder):
    for name, broken in {
        "run": {},
        "broken-config": {"config.json": ""},
        "other-version": {"config.json": _with_another_flag(encode(experiment_to_config(SMALL)))},
        "broken-environment": {"environment.json": {"resumed": 3}},
        "broken-failure": {"members/lstm-seed0/failure.json": {}},
        "broken-flags": {"config.json": {"experiment": "recall", "flags": [1]}},
        "broken-task": {"task.json": {"objective": "guess"}},
        "deep-task": {"task.json": "[" * 65 + "]" * 65},
        "broken-name": {"config.json": encode(experiment_to_config(SMALL)) | {"\ud83d": 1}},
        "huge-model": {
            "members/lstm-seed0/params.msgpack": b"",
            "members/lstm-seed0/model.json": {"model": {"class": "LSTM", "features": 2**31}, "objective": "binary"},
        },
        "broken-member": {"members/lstm-seed0/member.json": {name: MEMBER[name] for name in ("label", "cell", "seed")}},
        "broken-result": {"members/lstm-seed0/result.json": ""},
        "folder-for-file": {"members/lstm-seed0/metrics.jsonl": None},
        "no-words": {"members/lstm-seed0/params.msgpack": b""},
        "broken-params": {"members/lstm-seed0/params.msgpack": _params(3), "vocabulary.json": list(WORDS)},
        "trained": {"members/lstm-seed0/params.msgpack": _params(SMALL.features), "vocabulary.json": list(WORDS)},
        "moved": {"config.json": encode(experiment_to_config(MOVED)) | {"contents": {"train": "1a"}}},
        "adding": {"config.json": encode(experiment_to_config(Adding()))},
    }.items():
        whole = {
            "config.json": encode(experiment_to_config(SMALL)),
            "environment.json": {},
            "members/lstm-seed0/member.json": MEMBER,
        }
        for file, content in (whole | broken).items():
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir()
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content if isinstance(content, str) else json.dumps(content))


def _with_another_flag(config):
    return config | {"flags": config["flags"] | {"colour": "red"}}


def _params(features):
    """Serialized parameters of a model with ``features`` units, all zero."""
    cell = rnnjax.RNN(rnnjax.LSTM(features))
    model = rnnjax.SequenceClassifier(len(WORDS), SMALL.embedding, cell)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1), np.int32))["params"]
    return flax.serialization.to_bytes(jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes))
