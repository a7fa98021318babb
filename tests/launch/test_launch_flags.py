"""Flags: their help texts, and what happens without any."""

import dataclasses
import re
import subprocess
import sys
import typing
from pathlib import Path

import jax
import pytest
import tyro

import experiments.run
import launch
from experiments.registry import EXPERIMENTS
from experiments.tasks.recall import Recall
from experiments.tasks.series import Series
from experiments.tasks.text import Text
from rnnjax.config.execution import Execution
from rnnjax.sharding.compilation_cache import configure_compilation_cache

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def isolated_home(tmp_path_factory, monkeypatch):
    """A temporary home, JAX with its devices configured, and no compilation cache after the test."""
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("home")))
    assert jax.local_device_count() == 8
    yield
    configure_compilation_cache("off")


EVERY = [kind(train="a.tsv") if kind in (Text, Series) else kind() for kind in EXPERIMENTS.values()]


def run_apart(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def help_of(arguments, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit) as ended:
        launch.main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("experiment", EVERY, ids=EXPERIMENTS)
def test_help_explains_every_flag_with_its_default(experiment, capsys, monkeypatch):
    text = help_of([type(experiment).__name__.lower()], capsys, monkeypatch)
    help_texts, flag = {}, ""
    for line in text.splitlines():
        content = line.strip("│| ")  # the frame is drawn as the output's encoding allows
        if match := re.match(r"--([a-z][a-z-]*)", content):
            flag = match[1]
        if flag:
            help_texts[flag] = f"{help_texts.get(flag, '')} {content}".strip()
    values = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    for name, hint in typing.get_type_hints(type(experiment), include_extras=True).items():
        if tyro.conf.Suppress in getattr(hint, "__metadata__", ()):
            del values[name]  # set by another flag
    for section in ("architecture", "training", "execution"):
        values |= dataclasses.asdict(values.pop(section))
    assert {"checkpoint_every", "resume", "parallel", "model_devices", "compilation_cache", "shard"} <= set(values)
    assert set(help_texts) == {name.replace("_", "-") for name in values}
    assert values.pop("sweep") == ()
    assert re.search(
        r"--sweep STR +a flag to vary.*--sweep learning_rate=1e-3,3e-3.*\. \(repeatable\)$", help_texts["sweep"]
    )
    if "train" in values:
        assert re.search(r"--train STR +file .*\(required\)$", help_texts["train"])
        del values["train"]
    for name, value in values.items():
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        assert re.search(rf"[^()]{{15,}}\. \(default: {re.escape(shown)}\)$", help_texts[name.replace("_", "-")])


def test_help_names_the_commands(capsys, monkeypatch):
    text = help_of([], capsys, monkeypatch)
    for command in ("recall", "imdb", "adding", "text", "series", "report", "explain"):
        assert f"python launch.py {command}" in text
    assert all(f" {name}" in text for name in EXPERIMENTS)
    assert "run folders" in help_of(["report"], capsys, monkeypatch)
    text = help_of(["explain"], capsys, monkeypatch)
    assert re.search(r"PATH .*run folder, finished or not.*\(required\)", text)
    assert re.search(r"--text \{None\}\|STR .*text", text)
    assert re.search(r"--example \{None\}\|INT .*test", text)


def test_help_waits_for_no_heavy_import():
    program = """
import sys, launch
try:
    launch.main(["recall", "--help"])
except SystemExit as ended:
    assert ended.code == 0
heavy = {"jax", "flax", "optax", "numpy", "matplotlib", "tensorflow_datasets"} & set(sys.modules)
assert not heavy, heavy
"""
    done = run_apart("-c", program)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--log-gradients-every" in done.stdout


def test_no_arguments_mean_the_main_job(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(experiments.run, "train", lambda experiment, folder, view: seen.append(experiment))
    monkeypatch.chdir(tmp_path)
    assert launch.main([]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("recall-")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    monkeypatch.setattr(sys, "argv", ["launch.py", "recall", "--steps", "7", "--no-tensorboard", "--no-resume"])
    assert launch.main() == 0
    assert launch.main(["--steps", "8", "--out", "here"]) == 0
    assert seen == [Recall(), Recall(steps=7), Recall(steps=8, out="here")]


def test_flags_of_execution_and_of_a_sweep_are_understood(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(experiments.run, "train", lambda experiment, folder, view: seen.append(experiment))
    flags = "recall --sweep clip=1,2 --sweep seeds=1 --shard 1/2 --parallel sharded --model-devices 4 --devices 8"
    flags += " --checkpoint-every 9 --checkpoint-minutes 0 --keep-checkpoints 3 --compilation-cache off --resume"
    assert launch.main([*flags.split(), "--out", str(tmp_path / "run")]) == 0
    execution = Execution(
        parallel="sharded", model_devices=4, devices=8, checkpoint_every=9, checkpoint_minutes=0, keep_checkpoints=3,
        compilation_cache="off", resume=True,
    )  # fmt: skip
    sweep = ("clip=1,2", "seeds=1")
    assert seen == [Recall(sweep=sweep, shard="1/2", execution=execution, out=str(tmp_path / "run"))]


def test_statuses_and_streams_of_the_program_itself():
    wrong_number = run_apart("launch.py", "recall", "--batch-size", "-3")
    assert (wrong_number.returncode, wrong_number.stdout) == (1, "")
    assert wrong_number.stderr == "error: --batch-size must be at least 1, but -3 was given.\n"
    unknown_flag = run_apart("launch.py", "recall", "--bach-size", "3")
    assert (unknown_flag.returncode, unknown_flag.stdout) == (2, "")
    assert "--bach-size" in unknown_flag.stderr
    assert "Traceback" not in unknown_flag.stderr


@pytest.mark.parametrize(
    "arguments",
    ["recall --no-such-flag 3", "nonsense", "recall --steps many", "recall --schedule linear", "imdb --keep middle"],
)
def test_flags_that_do_not_parse_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        launch.main(arguments.split())
    assert ended.value.code == 2
    assert arguments.split()[-2 if "no-such" in arguments else -1] in capsys.readouterr().err


def test_a_terminal_without_arrows_shows_what_it_can(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    shown = run_apart("launch.py", "imdb", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Embedding ? SimpleRNN" in shown.stdout
