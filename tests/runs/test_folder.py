"""A run folder: begun, gone on with, refused, and taken back when nothing came of it."""

import contextlib
import json
import re

import pytest

from rnnjax.errors import UserError
from rnnjax.runs.codec import encode
from rnnjax.runs.folder import current_environment, run_folder, scratch_folder
from rnnjax.runs.schema import FORMAT_VERSION, Config

CONFIG = Config(
    format_version=FORMAT_VERSION,
    experiment="recall",
    flags={"cells": ["lstm"], "out": None, "training": {"epochs": 1}},
)


def differing(old):
    return [] if old == CONFIG else ["--epochs: 2 in the folder, 1 asked for", "--steps: 3 in the folder, 4 asked for"]


def enter(out, *, resume=False, config=CONFIG, device="cpu:0 cpu"):
    out = None if out is None else str(out)
    return run_folder(out, config, current_environment([device], "highest"), resume=resume, difference=differing)


def train(folder, name="lstm-seed0"):
    """What a run leaves that has begun to train."""
    member = folder / "members" / name
    member.mkdir()
    (member / "metrics.jsonl").write_text("precious")


def begun(out, **options):
    """The folder of a run that was stopped."""
    with enter(out, **options) as folder:
        train(folder)
    return folder


def tree(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*") if path.name != ".lock"}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_asked_and_on_what_it_ran_is_written_first(tmp_path):
    with enter(tmp_path / "deep" / "run") as folder:
        assert names(folder) == [".lock", "config.json", "environment.json", "members"]
        assert json.loads((folder / "config.json").read_text()) == encode(CONFIG)
        environment = json.loads((folder / "environment.json").read_text())
        assert (environment["devices"], environment["matmul_precision"]) == (["cpu:0 cpu"], "highest")
        assert re.fullmatch(r"\d+\.\d+.*", environment["jax"])
        assert set(environment) >= {"started", "command", "python", "platform", "cpu_cores", "git_commit", "jaxlib"}
        assert "resumed" not in environment
        train(folder)
    assert {"config.json", "environment.json", "members"} <= set(names(folder))


def test_an_empty_folder_is_used_and_without_a_name_one_is_made(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    assert begun(tmp_path / "empty") == tmp_path / "empty"
    assert "resumed" not in json.loads((begun(tmp_path / "new", resume=True) / "environment.json").read_text())
    monkeypatch.chdir(tmp_path)
    assert re.fullmatch(r"runs/recall-\d{8}-\d{6}", begun(None).as_posix())


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_holds_something_else_is_refused_and_left_as_it_is(tmp_path, resume):
    (tmp_path / "holiday.jpg").write_text("precious")
    before = tree(tmp_path)
    said = (
        rf"^The output folder {re.escape(str(tmp_path))} is not empty; give another with --out, or remove it first\.$"
    )
    with pytest.raises(UserError, match=said), enter(tmp_path, resume=resume):
        pass
    assert tree(tmp_path) == before
    assert names(tmp_path) == ["holiday.jpg"]


def test_a_run_that_is_there_is_refused_with_a_hint_at_resume(tmp_path):
    folder = begun(tmp_path / "run")
    before = tree(folder)
    with (
        pytest.raises(UserError, match=r"run already holds a run; continue it with --resume, give another with --out"),
        enter(folder),
    ):
        pass
    assert tree(folder) == before


def test_resuming_goes_on_in_the_folder_and_notes_where(tmp_path):
    folder = begun(tmp_path / "run")
    config = (folder / "config.json").read_bytes()
    first = json.loads((folder / "environment.json").read_text())
    for count, device in enumerate(("cpu:1 cpu", "gpu:0 card"), 1):
        with enter(folder, resume=True, device=device) as again:
            assert again == folder
            environment = json.loads((folder / "environment.json").read_text())
            assert {name: value for name, value in environment.items() if name != "resumed"} == first
            assert [one["devices"] for one in environment["resumed"]] == [["cpu:1 cpu"], ["gpu:0 card"]][:count]
            assert set(environment["resumed"][-1]) == set(first)
    assert (folder / "members" / "lstm-seed0" / "metrics.jsonl").read_text() == "precious"
    assert (folder / "config.json").read_bytes() == config


def test_resuming_wants_the_name_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(UserError, match=r"^--resume needs the folder .*; name it with --out\.$"),
        enter(None, resume=True),
    ):
        pass
    assert not names(tmp_path)


def test_resuming_with_other_flags_is_refused_with_the_difference(tmp_path):
    folder = begun(tmp_path / "run", config=Config(experiment="recall", flags={}))
    before = tree(folder)
    said = (
        r"was started with other flags \(--epochs: 2 in the folder, 1 asked for; --steps: 3 in the folder, 4 asked "
        r"for\); give the same, or another folder with --out\.$"
    )
    with pytest.raises(UserError, match=said), enter(folder, resume=True):
        pass
    assert tree(folder) == before


@pytest.mark.parametrize("resume", [False, True])
def test_what_a_kill_before_the_first_step_leaves_is_no_obstacle(tmp_path, resume):
    """``config.json`` is written last, so what stands there without it never trained."""
    for name in (".lock", "environment.json", "environment.json.partial", "config.json.partial"):
        (tmp_path / name).write_text("{torn")
    (tmp_path / "members").mkdir()
    folder = begun(tmp_path, resume=resume)
    assert json.loads((folder / "config.json").read_text()) == encode(CONFIG)
    assert json.loads((folder / "environment.json").read_text())["devices"] == ["cpu:0 cpu"]


@pytest.mark.parametrize("out", ["file", "file/below", "x" * 300, "/proc/nothing/here"])
def test_a_place_that_cannot_be_written_is_said(tmp_path, out):
    (tmp_path / "file").write_text("precious")
    before = tree(tmp_path)
    with (
        pytest.raises(UserError, match=r"^The output folder .* (is a file|cannot be written \(.*\)); give .* --out\.$"),
        enter(tmp_path / out),
    ):
        pass
    assert tree(tmp_path) == before


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_what_came_to_nothing_is_taken_back(tmp_path, error):
    with pytest.raises(error), enter(tmp_path / "run"):
        raise error
    assert not names(tmp_path)


def test_what_was_trained_before_an_error_stays(tmp_path):
    folder = tmp_path / "run"
    with contextlib.suppress(KeyError), enter(folder):
        train(folder)
        raise KeyError
    assert (folder / "members" / "lstm-seed0" / "metrics.jsonl").read_text() == "precious"


def test_what_someone_else_put_there_stays(tmp_path):
    folder = tmp_path / "run"
    with contextlib.suppress(KeyError), enter(folder):
        (folder / "notes.txt").write_text("precious")
        raise KeyError
    assert tree(tmp_path) == {folder: None, folder / "notes.txt": b"precious"}


def test_a_run_that_goes_on_is_not_taken_back(tmp_path):
    with enter(tmp_path / "run") as folder:
        pass
    with pytest.raises(KeyError), enter(folder, resume=True):
        raise KeyError
    assert {"config.json", "environment.json", "members"} <= set(names(folder))


def test_no_one_else_works_in_it(tmp_path):
    with enter(tmp_path / "run") as folder:
        train(folder)
        before = tree(folder)
        with (
            pytest.raises(UserError, match=r"^Another process .* is working in the run folder"),
            enter(folder, resume=True),
        ):
            pass
        assert tree(folder) == before
    with enter(folder, resume=True):
        pass


def test_a_process_that_only_takes_part_writes_into_a_folder_that_vanishes():
    with scratch_folder() as folder:
        train(folder)
    assert not folder.exists()
