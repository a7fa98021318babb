"""Sequences of one step, from data to report: there is no step back through time, and nothing fails for that."""

import numpy as np
import pytest
from command_line import SMALL, isolated_home, run_to_completion


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    with isolated_home(tmp_path_factory, monkeypatch):
        yield


def series(folder):
    rng = np.random.default_rng(0)
    np.savez(folder / "one.npz", x=rng.normal(size=(60, 1, 5)), y=rng.integers(0, 2, 60))
    return f"series --train {folder / 'one.npz'}"


def text(folder):
    rows = [f"a {word} film,{label}" for word, label in (("good", "for"), ("bad", "against")) * 30]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]))
    return f"text --train {folder / 'texts.csv'} --max-length 1"


def characters(folder):
    (folder / "book.txt").write_text("the quick brown fox. " * 100)
    return f"characters --file {folder / 'book.txt'} --window 1 --batch-size 40"


@pytest.mark.slow  # each compiles for itself
@pytest.mark.parametrize("task", [series, text, characters])
def test_sequences_of_one_step(task, tmp_path):
    arguments = task(tmp_path)
    small = SMALL.replace("--batch-size 8", "") if task is characters else SMALL
    run_to_completion(f"{arguments} {small}", tmp_path / "run")
