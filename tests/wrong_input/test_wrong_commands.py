"""Every wrong command ends with status 1 and one sentence, and changes no file."""

import pytest
from cases_folders import SHOWN as FOLDERS
from cases_launch import SHOWN
from command_line import isolated_home
from folder import fill

import launch

CASES = [(arguments, message) for cases in (SHOWN | FOLDERS).values() for arguments, message in cases]
CONTINUED = {"environment.json"}  # resuming a run adds an entry to it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    fill(folder)
    return folder


@pytest.fixture(autouse=True)
def isolated(folder, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(folder)
    with isolated_home(tmp_path_factory, monkeypatch):
        yield


def tree(folder):
    """All paths below ``folder`` with their contents, without lock files."""
    files = [path for path in folder.rglob("*") if path.name != ".lock" and path.name not in CONTINUED]
    return {path: path.is_file() and path.read_bytes() for path in files}


def test_there_are_many_and_none_twice():
    assert len(CASES) == len({arguments for arguments, _ in CASES}) >= 60


@pytest.mark.parametrize(("arguments", "message"), CASES, ids=[arguments for arguments, _ in CASES])
def test_a_wrong_command_is_one_sentence_and_changes_nothing(arguments, message, folder, capsys):
    before = tree(folder)
    assert launch.main(arguments.split()) == 1
    assert capsys.readouterr().err.replace(str(folder), "/home/you") == f"error: {message}\n"
    assert tree(folder) == before


def test_a_folder_that_a_wrong_command_was_to_write_stays_free(folder, tmp_path, capsys):
    for arguments in ("series --train nan.npz", "text --train one.csv", "recall --cells lstn"):
        assert launch.main([*arguments.split(), "--out", str(tmp_path / "run")]) == 1
        assert not (tmp_path / "run").exists()
    assert "not empty" not in capsys.readouterr().err
