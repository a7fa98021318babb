"""What the README says is so: its example runs, its map names what is there, CI runs its test command."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_prints_a_half_life(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(example, "README.md", "exec"), {})
    halves = float(re.search(r"halves every ([0-9.]+) steps", capsys.readouterr().out)[1])
    assert 1 < halves < 50


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
