"""Every wrong command ends with status 1 and one sentence, and leaves nothing that the next one trips over."""

import pytest
from cases_folders import SHOWN as FOLDERS
from cases_launch import SHOWN
from folder import fill
from command_line import away_from_home

import launch

CASES = [(arguments, said) for cases in (SHOWN | FOLDERS).values() for arguments, said in cases]
CONTINUED = {"environment.json"}  # of a run that is to go on: it notes where


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    fill(folder)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(place, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(place)
    with away_from_home(tmp_path_factory, monkeypatch):
        yield


def tree(folder):
    """Everything below, with its content; locks stay, and are given back."""
    files = [path for path in folder.rglob("*") if path.name != ".lock" and path.name not in CONTINUED]
    return {path: path.is_file() and path.read_bytes() for path in files}


def test_there_are_many_and_none_twice():
    assert len(CASES) == len({arguments for arguments, _ in CASES}) >= 60


@pytest.mark.parametrize(("arguments", "said"), CASES, ids=[arguments for arguments, _ in CASES])
def test_a_wrong_command_is_one_sentence_and_changes_nothing(arguments, said, place, capsys):
    before = tree(place)
    assert launch.main(arguments.split()) == 1
    assert capsys.readouterr().err.replace(str(place), "/home/you") == f"error: {said}\n"
    assert tree(place) == before


def test_what_is_refused_in_one_place_is_no_obstacle_to_the_next(place, tmp_path, capsys):
    """A folder that a refused command was to write is free for another."""
    for arguments in ("series --train nan.npz", "text --train one.csv", "recall --cells lstn"):
        assert launch.main([*arguments.split(), "--out", str(tmp_path / "run")]) == 1
        assert not (tmp_path / "run").exists()
    assert "not empty" not in capsys.readouterr().err
