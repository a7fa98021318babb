"""``pip install .``: what the wheel holds, and that its command is launch.py under another name."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

import launch
import rnnjax

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
SHELLS = ("bash", "zsh")
ASK = """
source "$1"
words=$(complete -p rnnjax)
words=${words#*-F }
COMP_WORDS=("${@:2}")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
"${words%% *}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def run(*command, **options):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that the build leaves nothing in the checkout; without the network."""
    folder = tmp_path_factory.mktemp("wheel")

    def ignored(above, names):
        at_top = {"build", "dist", "runs", "shared"} if Path(above) == ROOT else set()
        return {*shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")(above, names), *at_top}

    shutil.copytree(ROOT, folder / "copy", ignore=ignored)
    run(sys.executable, "-c", BUILD, folder, cwd=folder / "copy")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """``run(arguments)`` of the command ``rnnjax`` of an installation, far from the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", folder, wheel)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "500"}
    return lambda *arguments: run(folder / "bin" / "rnnjax", *arguments, cwd=elsewhere, env=environment)


def test_the_wheel_holds_the_library_the_experiments_and_the_door_and_nothing_else(wheel):
    sources = [ROOT / "launch.py", *(ROOT / "rnnjax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]
    data = [ROOT / "rnnjax" / "py.typed", *(ROOT / "rnnjax" / "report" / "templates").iterdir()]
    expected = {path.relative_to(ROOT).as_posix() for path in (*sources, *data)}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        read = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert names == expected
    assert "rnnjax = launch:console_script" in read["entry_points.txt"]
    told = Parser().parsestr(read["METADATA"])
    assert (told["Name"], told["Version"]) == ("rnnjax", rnnjax.__version__)
    wanted = [re.match(r"[\w-]+", line)[0] for line in (ROOT / "requirements.txt").read_text().splitlines()[1:]]
    needed = [line for line in told.get_all("Requires-Dist") if "extra ==" not in line]
    assert [re.match(r"[\w-]+", line)[0] for line in needed] == wanted
    assert {"jax", "flax", "tyro"} <= set(wanted)


@pytest.mark.parametrize("arguments", [[], ["recall"], ["explain"]], ids=" ".join)
def test_the_command_is_launch_py_but_for_its_name(installed, arguments):
    called = run(sys.executable, "launch.py", *arguments, "--help", cwd=ROOT, env=os.environ | {"COLUMNS": "500"})
    called = called.replace(launch.CHECKOUT_COMMAND, "rnnjax").replace("launch.py", "rnnjax")
    shown = installed(*arguments, "--help")
    assert "launch.py" not in shown
    words = [re.sub(r"[─│╭╮╰╯]", " ", text).split() for text in (called, shown)]
    assert words[0] == words[1]


def test_what_the_commands_do_stands_in_one_column_of_the_help(installed):
    lines = installed("--help").splitlines()
    begins = ("the recall", "the same with", "sentiment of", "standard long", "which distances", "which words of")
    columns = {line.find(words) for words in begins for line in lines if words in line and line.startswith("    ")}
    assert len(columns) == 1


def completions(script, *words):
    return set(run("bash", "-c", ASK, "ask", script, *words).split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_tab_completes_commands_and_flags_in_bash(installed, tmp_path):
    script = tmp_path / "completions"
    installed("--tyro-write-completion", "bash", script)
    assert {"recall", "imdb", "report", "explain"} <= completions(script, "rnnjax", "")
    assert completions(script, "rnnjax", "rec") == {"recall"}
    assert completions(script, "rnnjax", "recall", "--learning-r") == {"--learning-rate"}
    assert completions(script, "rnnjax", "imdb", "--max-l") == {"--max-length"}
    assert completions(script, "rnnjax", "imdb", "--schedule", "co") == {"constant", "cosine"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_checkout_writes_completions_too(shell, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        launch.main(["--tyro-write-completion", shell, str(tmp_path / shell)])
    assert ended.value.code in (None, 0)
    assert capsys.readouterr().out == ""
    script = (tmp_path / shell).read_text()
    assert all(name in script for name in (*launch.COMMANDS, "--checkpoint-minutes", "--embedding-scale"))


def test_the_suite_has_a_session_for_every_python_and_for_colab():
    sessions = json.loads(run(sys.executable, "-m", "nox", "--list", "--json", cwd=ROOT))
    assert [one["session"] for one in sessions] == ["newest-3.11", "newest-3.12", "newest-3.13", "colab"]
    supported = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    assert [minor for minor in range(30) if f"3.{minor}" in supported] == [11, 12, 13]
    assert "Python 3.11 to 3.13" in (ROOT / "README.md").read_text(encoding="utf-8")
