import json
import re
from pathlib import Path

import pytest

from rnnjax.errors import UserError
from rnnjax.training.run_folder import create_run_folder, discard_run_folder

FLAGS = {"cells": ["lstm"], "out": None, "training": {"epochs": 1}}


def create(out):
    return create_run_folder(None if out is None else str(out), "recall", FLAGS, ["cpu:0 cpu"])


def tree(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_what_was_asked_and_on_what_it_ran_is_written_first(tmp_path):
    folder = create(tmp_path / "deep" / "run")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "environment.json", "members"]
    assert json.loads((folder / "config.json").read_text()) == {"experiment": "recall", "flags": FLAGS}
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["devices"] == ["cpu:0 cpu"]
    assert re.fullmatch(r"\d+\.\d+.*", environment["jax"])
    assert set(environment) >= {"started", "command", "python", "platform", "cpu_cores", "git_commit", "jaxlib"}


def test_an_empty_folder_is_used_and_without_a_name_one_is_made(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    assert create(tmp_path / "empty") == tmp_path / "empty"
    monkeypatch.chdir(tmp_path)
    assert re.fullmatch(r"runs/recall-\d{8}-\d{6}", create(None).as_posix())


@pytest.mark.parametrize(("name", "said"), [("config.json", "already holds a run"), ("holiday.jpg", "is not empty")])
def test_a_folder_that_holds_something_is_refused_and_left_as_it_is(tmp_path, name, said):
    (tmp_path / name).write_text("precious")
    before = tree(tmp_path)
    with pytest.raises(UserError, match=rf"{re.escape(str(tmp_path))} {said}; give another with --out"):
        create(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("out", ["file", "file/below", "x" * 300, "/proc/nothing/here"])
def test_a_place_that_cannot_be_written_is_said(tmp_path, out):
    (tmp_path / "file").write_text("precious")
    before = tree(tmp_path)
    with pytest.raises(
        UserError, match=r"^The output folder .* (is a file|cannot be written \(.*\)); give .* --out\.$"
    ):
        create(tmp_path / out)
    assert tree(tmp_path) == before


def test_what_came_to_nothing_is_taken_back(tmp_path):
    folder = create(tmp_path / "run")
    discard_run_folder(folder)
    assert not folder.exists()
    create(folder)
    (folder / "notes.txt").write_text("precious")
    discard_run_folder(folder)
    assert tree(tmp_path) == {folder: None, folder / "notes.txt": b"precious"}
    discard_run_folder(Path(tmp_path / "never made"))
