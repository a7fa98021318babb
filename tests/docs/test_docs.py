"""Every command that the README and docs/ show is one that launch.py understands."""

import re
import shlex
from pathlib import Path

import pytest
import tyro

import launch
from experiments.experiment import Experiment
from experiments.study import trials
from experiments.trainability import Trainability

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands():
    """(page, arguments) of each ``python launch.py``, in a block or in a line of text."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for told in re.findall(r"python launch\.py([^`\n&]*)", text):
            told = re.sub(r"\$[A-Z_]+", "1", told)
            words = shlex.split(told if told.count('"') % 2 == 0 else told.rstrip('"'), comments=True)
            yield page.name, [word for word in words if word != "--help"]


COMMANDS = list(commands())


def test_commands_are_found_on_every_page():
    assert {page for page, _ in COMMANDS} == {page.name for page in PAGES}


@pytest.mark.parametrize(
    ("page", "arguments"), COMMANDS, ids=lambda told: "" if isinstance(told, str) else " ".join(told)
)
def test_a_command_is_understood(page, arguments):
    command = tyro.cli(launch.Command, args=arguments or ["recall"])
    if isinstance(command, Trainability):
        assert command.trials(lambda line: None)
    elif isinstance(command, Experiment):
        assert trials(command, lambda line: None)
