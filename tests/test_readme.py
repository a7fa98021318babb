"""The README and CONTRIBUTING.md hold: examples run, the map of the code is complete, CI runs the test command."""

import re
import subprocess
import tomllib
import types
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest
import rich
from test_imports import FLOORS

import rnnjax

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)
MOST_LINES = 110  # of the README: two screens


def test_the_readme_is_short():
    assert len(README.splitlines()) <= MOST_LINES


def test_every_example_has_its_test_below():
    assert len(EXAMPLES) == 3


def test_the_example_runs_and_prints_a_half_life(capsys):
    exec(compile(EXAMPLES[0], "README.md", "exec"), {})
    half_life = float(re.search(r"halves every ([0-9.]+) steps", capsys.readouterr().out)[1])
    assert 1 < half_life < 50


def test_three_lines_look_into_two_layers_of_flax(capsys):
    namespace = {"jax": jax, "nn": nn, "rich": rich, "rnnjax": rnnjax, "xs": np.ones((3, 12, 2), np.float32)}
    assert len(EXAMPLES[1].strip().splitlines()) == 3
    exec(compile(EXAMPLES[1], "README.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "half-life" in printed
    assert printed.count("carry[0]") == printed.count("carry[1]") == 2


@pytest.mark.slow  # four directions are compiled; what it is made of is tested in tests/interop/ and test_diagnosis.py
def test_a_network_of_pytorch_is_diagnosed(tmp_path, monkeypatch, capsys):
    """With the recorded weights of a two-layer bidirectional LSTM in place of PyTorch's module."""
    arrays = np.load(ROOT / "tests/interop/origins.npz")
    start = "torch_lstm_deep_bidirectional/weights/"
    weights = {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
    assert len(weights) == 16
    monkeypatch.chdir(tmp_path)
    namespace = {
        "lstm": types.SimpleNamespace(state_dict=lambda: weights),
        "xs": arrays["xs"],
        "rnnjax": rnnjax,
        "rich": rich,
    }
    exec(compile(EXAMPLES[2], "README.md", "exec"), namespace)
    assert len(namespace["result"].diagnosis.layers) == 4
    assert "LSTM" in capsys.readouterr().out
    assert (tmp_path / "diagnosis.html").exists()


def test_the_map_and_the_pictures_name_what_is_there():
    paths = set(re.findall(r"^\| `([^`]+)` \|", CONTRIBUTING.split("## Where a change goes")[1], re.M))
    assert len(paths) >= 10
    for path in [*paths, *re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", README)]:
        assert (ROOT / path).exists(), path


def test_the_map_holds_every_folder_of_source():
    paths = set(re.findall(r"^\| `([^`]+)` \|", CONTRIBUTING, re.M))
    source = {path.parent for name in ("rnnjax", "experiments") for path in (ROOT / name).rglob("__init__.py")}
    folders = {f"{folder.relative_to(ROOT).as_posix()}/" for folder in source} - {"rnnjax/"}
    assert folders <= paths


def test_the_floors_are_those_of_the_import_test():
    section = CONTRIBUTING.split("The floors, lowest first:")[1].split("The map:")[0]
    floors = re.findall(r"`([^`]+)`", section)
    assert [name.removesuffix(".py") for name in floors] == [room for floor in FLOORS for room in floor]


def test_ci_finds_the_test_command():
    extract = re.search(r"test_command=\$\((.*)\)\n", (ROOT / ".ci/run").read_text(encoding="utf-8"))[1]
    command = subprocess.run(["bash", "-c", extract], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert command.rstrip().endswith("pytest")
    assert len(command.strip().splitlines()) == 1


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert project["version"] == rnnjax.__version__
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == rnnjax.__version__


def test_the_workflow_runs_ci_and_every_session_of_nox():
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert "run: .ci/run" in workflow
    for session in ("newest-3.11", "newest-3.12", "newest-3.13", "colab"):
        assert f"session: {session}" in workflow
