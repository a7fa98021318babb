"""Whole runs of ``launch.py`` with cells in files of the user's own, and with every built-in cell."""

import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from test_launch import start

import rnnjax
from rnnjax.cells.registry import CELLS
from rnnjax.runs.json_io import read_records

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FLAGS = (
    " --features 8 --embedding 8 --steps 6 --batch-size 8 --min-distance 2 --max-distance 8 --log-gradients-every 3"
    " --validate-every 3 --compilation-cache off"
)
OWN = "multiplicative_lstm:MultiplicativeLSTM:forget_bias=2"
RECALL = f"recall --cells lstm {OWN}{FLAGS}"
GATES = {"gates", "gates_of_the_detour", "into_gates"}
PANELS = {
    "accuracy_by_distance", "belt_and_detour", "belt_share", "gradient_by_lag", "gradient_over_training",
    "learning_curves", "lyapunov", "swaps", "updates",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A working directory with a cell of the user's own, and a run that has trained it beside an LSTM."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(ROOT / "examples/multiplicative_lstm.py", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        status, output = start([*RECALL.split(), "--seeds", "2", "--out", "run"])
    assert status == 0
    assert "MultiplicativeLSTM forget_bias=2" in output
    return folder


@pytest.fixture
def here(home, monkeypatch):
    monkeypatch.chdir(home)
    return home


def test_the_records_of_a_cell_of_the_users_own(here):
    names = {path.name for path in Path("run/members").iterdir()}
    assert names == {f"{cell}-seed{i}" for cell in ("lstm", "multiplicativelstm-forget-bias-2") for i in range(2)}
    member = Path("run/members/multiplicativelstm-forget-bias-2-seed0")
    assert {record["state"] for record in read_records(member / "gradients.jsonl")} == {"h", "c"}
    diagnosis = json.loads((member / "diagnosis-end.json").read_text())
    assert [layer["name"] for layer in diagnosis["layers"]] == ["recurrent, state c", "recurrent, state h"]
    assert json.loads(Path("run/config.json").read_text())["contents"].keys() == {"multiplicative_lstm.py"}


def test_the_report_has_every_panel_that_applies(here):
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert {path.stem for path in Path("run/figures").glob("*.png")} == PANELS | GATES  # the gates are the LSTM's
    assert "In a cell that is not elementwise the belt is every path that meets no matrix product" in page
    assert "(recurrent, state c)" in page


def test_a_report_executes_no_code_of_the_user(here, tmp_path, monkeypatch, capsys):
    copy = shutil.copytree("run", tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "multiplicative_lstm", raising=False)
    Path("multiplicative_lstm.py").write_text("raise SystemExit('executed')\nclass MultiplicativeLSTM: pass\n")
    assert start(["report", str(copy)])[0] == 0
    assert start(["compare", str(copy), str(shutil.copytree(copy, "another"))])[0] == 0
    for command in (["explain", str(copy), "--text", "wonderful film"], ["predict", str(copy), "new.txt"]):
        assert start(command)[0] == 1
        assert "multiplicative_lstm.py is not the file that the run" in capsys.readouterr().err
    assert "multiplicative_lstm" not in sys.modules


def test_the_trained_models_are_explained_and_loaded(here):
    status, output = start(["explain", "run", "--text", "wonderful film"])
    assert status == 0
    assert "MultiplicativeLSTM forget_bias=2, seed 0" in output
    run = rnnjax.load("run")
    kinds = [type(member.model.recurrent.cell).__name__ for member in run.members]
    assert sorted(kinds) == ["LSTM"] * 2 + ["MultiplicativeLSTM"] * 2
    for member in run.members:
        logits = member.model.apply({"params": member.params}, np.array([[2, 3, 4]]), lengths=np.array([3]))[1]
        assert np.isfinite(logits).all()


def test_resuming_needs_the_same_file(here, tmp_path, monkeypatch, capsys):
    copy = shutil.copytree(here, tmp_path / "copy")
    monkeypatch.chdir(copy)
    arguments = [*RECALL.split(), "--seeds", "2", "--out", "run", "--resume"]
    monkeypatch.delitem(sys.modules, "multiplicative_lstm", raising=False)
    assert start(arguments)[0] == 0  # has ended already
    with open("multiplicative_lstm.py", "a") as file:
        file.write("# changed\n")
    assert start(arguments)[0] == 1
    assert "multiplicative_lstm.py: the file's content has changed since the run" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert start(["explain", "copy/run", "--text", "wonderful"])[0] == 1
    assert "there is no file multiplicative_lstm.py in the working directory" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["omega", "flossing"])
def test_penalties_are_for_elementwise_cells(flag, here, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "multiplicative_lstm", raising=False)
    assert start([*RECALL.split(), f"--{flag}", "0.1", "--out", "other"])[0] == 1
    message = f"--{flag} reads the equations of an elementwise cell, which '{OWN}' is not; leave it out, or choose"
    assert message in capsys.readouterr().err


def test_an_exception_in_the_step_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = (ROOT / "examples/multiplicative_lstm.py").read_text()
    Path("broken_cell.py").write_text(source.replace('self.project(n, params["w_n"])', 'self.project(n, params["b"])'))
    assert start(["recall", "--cells", "broken_cell:MultiplicativeLSTM", *FLAGS.split(), "--out", "run"])[0] == 1
    error = capsys.readouterr().err
    assert error.startswith("error: The cell MultiplicativeLSTM fails (broken_cell.py, line 43, in step): ")
    assert "Traceback" not in error


@pytest.mark.parametrize("name", CELLS)
def test_every_built_in_cell_is_trained_and_reported(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, output = start([*f"recall --cells {name}{FLAGS}".split(), "--seeds", "1", "--out", "run"])
    assert status == 0
    assert CELLS[name].__name__ in output
    assert {path.stem for path in Path("run/figures").glob("*.png")} - GATES == PANELS
    (member,) = Path("run/members").iterdir()
    losses = [record["loss"] for record in read_records(member / "metrics.jsonl") if record["kind"] == "train"]
    assert len(losses) == 6
    assert np.isfinite(losses).all()
    state = jax.eval_shape(CELLS[name](8).initial_state)
    assert {record["state"] for record in read_records(member / "gradients.jsonl")} == set(state._fields)
    assert rnnjax.load("run").members[0].model.recurrent.cell == CELLS[name](8)
