"""Trainings of different data and cells that do their work raise no alarm. Slow: each trains a network."""

import numpy as np
import pytest
from command_line import isolated_home

import launch
from rnnjax.report.summary.alarm_evidence import group_alarms
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.summary.task import skill
from rnnjax.runs.reader import load_run

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def isolated(optimized, tmp_path_factory, monkeypatch):
    with isolated_home(tmp_path_factory, monkeypatch):
        yield


def write_texts(path, words, label, lengths, count=600):
    """A table of texts of random ``words`` and the label that a function finds in their ids."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(len(words), size=rng.integers(*lengths)) for _ in range(count)]
    lines = [f"{' '.join(words[i] for i in row)}\t{label(row)}" for row in rows]
    path.write_text("\n".join(["text\tlabel", *lines]) + "\n")
    return f"--train {path} --embedding 16 --validation 0.2"


def many_words(path):
    """A text is good if more of its words are from the first tenth than from the second one."""
    return write_texts(
        path, [f"w{i}" for i in range(200)], lambda row: (row < 20).sum() > (row // 20 == 1).sum(), (10, 30)
    )


def two_letters(path):
    """Random texts of two words and 20 steps, of which the more frequent one is asked."""
    return write_texts(path, ["a", "b"], lambda row: row.sum() > 10, (20, 21))


def numbers(path):
    """Random walks, and 50 times their mean plus some noise as a label that is a number."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 25, 2)).cumsum(axis=1).astype(np.float32)
    np.savez(path.with_suffix(".npz"), x=x, y=50 * x.mean(axis=(1, 2)) + rng.normal(size=600) + 300.0)
    return f"--train {path.with_suffix('.npz')} --validation 0.2"


def novel(path):
    """Numbered sentences."""
    rng = np.random.default_rng(0)
    path.write_text("".join(f"line {i}: the cat is {rng.choice(['red', 'blue'])}\n" for i in range(2500)))
    return f"--file {path} --window 40 --batch-size 8"


RUNS = {
    "recall, LSTM": "recall --cells lstm --max-distance 30 --steps 300",
    "recall, GRU": "recall --cells gru --max-distance 10 --steps 300",
    "adding, GRU": "adding --cells gru --length 15 --steps 250 --epochs 4",
    "copying, LSTM": "copying --cells lstm --delay 3 --steps 400",
    "temporal order, GRU": "temporal --cells gru --length 15 --steps 300 --epochs 4",
    "text, pooled, GRU": "text --cells gru --pooling mean --epochs 12",
    "text, both directions, SimpleRNN": "text --cells simple --pooling mean --bidirectional --epochs 12",
    "text of two letters, GRU": "text --cells gru --pooling mean --epochs 12",
    "regression, GRU": "series --cells gru --epochs 15",
    "regression, SimpleRNN": "series --cells simple --pooling mean --epochs 15",
    "language model, GRU": "characters --cells gru --epochs 2",
    "language model, LSTM": "characters --cells lstm --epochs 2",
}
DATA = {"series": numbers, "characters": novel, "text": many_words}
FLAGS = "--features 24 --seeds 1 --learning-rate 0.01 --log-gradients-every 50 --devices 1 --compilation-cache off"


@pytest.mark.parametrize("name", RUNS)
def test_a_network_that_does_its_work_raises_no_alarm(name, tmp_path):
    experiment, *flags = RUNS[name].split()
    make = two_letters if "two letters" in name else DATA.get(experiment)
    data = make(tmp_path / "data.tsv").split() if make else []
    assert launch.main([experiment, *flags, *data, *FLAGS.split(), "--out", str(tmp_path / "run")]) == 0
    run = load_run(tmp_path / "run")
    (member,) = run.members
    assert skill(member) > 0.25
    raised = {one.alarm.name for one in group_alarms(run, seed_groups(run))}
    assert not raised
