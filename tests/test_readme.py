"""What the README says is so: its example runs, its map names what is there, CI runs its test command."""

import re
import subprocess
import types
from pathlib import Path

import numpy as np
import rich

import rnnjax

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.S)


def test_every_example_has_its_test_below():
    assert len(EXAMPLES) == 2


def test_the_example_runs_and_prints_a_half_life(capsys):
    exec(compile(EXAMPLES[0], "README.md", "exec"), {})
    halves = float(re.search(r"halves every ([0-9.]+) steps", capsys.readouterr().out)[1])
    assert 1 < halves < 50


def test_a_network_of_pytorch_is_diagnosed(tmp_path, monkeypatch, capsys):
    """With the recorded weights of a two-layer bidirectional LSTM in the place of PyTorch's module."""
    arrays = np.load(ROOT / "tests/interop/origins.npz")
    start = "torch_lstm_deep_bidirectional/weights/"
    weights = {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
    assert len(weights) == 16
    monkeypatch.chdir(tmp_path)
    known = {
        "lstm": types.SimpleNamespace(state_dict=lambda: weights),
        "xs": arrays["xs"],
        "rnnjax": rnnjax,
        "rich": rich,
    }
    exec(compile(EXAMPLES[1], "README.md", "exec"), known)
    assert len(known["result"].diagnosis.layers) == 4
    assert "LSTM" in capsys.readouterr().out
    assert (tmp_path / "diagnosis.html").exists()


def test_the_map_and_the_pictures_name_what_is_there():
    table = README.split("## Where things are")[1]
    places = [name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`([^`]+)`", row)]
    assert len(places) >= 10
    for name in places + re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / name).exists() or (ROOT / "rnnjax" / name).exists(), name


def test_ci_finds_the_test_command():
    extract = re.search(r"test_command=\$\((.*)\)\n", (ROOT / ".ci/run").read_text(encoding="utf-8"))[1]
    command = subprocess.run(["bash", "-c", extract], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert command.rstrip().endswith("pytest")
    assert len(command.strip().splitlines()) == 1
