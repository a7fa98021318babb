"""Flags: what help says of them, what happens without any, and one sentence for each that is wrong."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

import launch
from experiments.imdb import Imdb
from experiments.recall import Recall
from rnnjax.errors import UserError

ROOT = Path(__file__).parent.parent


def run_apart(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def help_of(arguments, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit) as ended:
        launch.main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("experiment", [Recall(), Imdb()], ids=["recall", "imdb"])
def test_help_explains_every_flag_with_its_default(experiment, capsys, monkeypatch):
    text = help_of([type(experiment).__name__.lower()], capsys, monkeypatch)
    told, flag = {}, ""
    for line in text.splitlines():
        said = line.strip("│| ")  # the frame is drawn as the output's encoding allows
        if found := re.match(r"--([a-z][a-z-]*)", said):
            flag = found[1]
        if flag:
            told[flag] = f"{told.get(flag, '')} {said}".strip()
    values = {f.name: getattr(experiment, f.name) for f in dataclasses.fields(experiment) if f.name != "training"}
    values |= dataclasses.asdict(experiment.training)
    assert set(told) - {"no-tensorboard"} == {name.replace("_", "-") for name in values}
    for name, value in values.items():
        shown = " ".join(value) if isinstance(value, tuple) else str(value)
        assert re.search(rf"[^()]{{15,}}\. \(default: {re.escape(shown)}\)$", told[name.replace("_", "-")])


def test_help_names_the_commands(capsys, monkeypatch):
    text = help_of([], capsys, monkeypatch)
    for command in ("recall", "imdb", "report", "explain"):
        assert f"python launch.py {command}" in text
    assert "run folders" in help_of(["report"], capsys, monkeypatch)
    text = help_of(["explain"], capsys, monkeypatch)
    assert re.search(r"PATH .*run folder, finished or not.*\(required\)", text)
    assert re.search(r"--text STR .*the text.*\(required\)", text)


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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Recall, "run", lambda self, folder, view: seen.append(self))
    assert launch.main([]) == 0
    monkeypatch.setattr(sys, "argv", ["launch.py", "recall", "--steps", "7", "--no-tensorboard"])
    assert launch.main() == 0
    assert seen == [Recall(), Recall(steps=7)]


def test_statuses_and_streams_of_the_program_itself():
    wrong_number = run_apart("launch.py", "recall", "--batch-size", "-3")
    assert (wrong_number.returncode, wrong_number.stdout) == (1, "")
    assert wrong_number.stderr == "error: --batch-size must be at least 1, but -3 was given.\n"
    unknown_flag = run_apart("launch.py", "recall", "--bach-size", "3")
    assert (unknown_flag.returncode, unknown_flag.stdout) == (2, "")
    assert "--bach-size" in unknown_flag.stderr
    assert "Traceback" not in unknown_flag.stderr


def test_ctrl_c_before_training_ends_quietly_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    def interrupted(self, folder, view):
        raise KeyboardInterrupt

    monkeypatch.setattr(Recall, "run", interrupted)
    assert launch.main(["recall", "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err.startswith("stopped")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    ["recall --no-such-flag 3", "nonsense", "recall --steps many", "recall --schedule linear", "imdb --keep middle"],
)
def test_flags_that_do_not_parse_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        launch.main(arguments.split())
    assert ended.value.code == 2
    assert arguments.split()[-2 if "no-such" in arguments else -1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("recall --cells lstn", "There is no cell 'lstn'; choose from simple, lstm, gru"),
        ("recall --cells lstm:chrono=x", "chrono must be a number of steps"),
        ("recall --cells lstm gru lstm", "none twice, but lstm gru lstm was given"),
        ("recall --cells", "at least one cell"),
        ("recall --features 0", "--features must be at least 1, but 0 was given"),
        ("recall --steps -5", "--steps must be at least 1, but -5 was given"),
        ("recall --min-distance 30 --max-distance 20", "--min-distance must be from 0 to --max-distance"),
        ("recall --embedding-scale 0", "--embedding-scale must be a number above 0"),
        ("recall --learning-rate -1", "--learning-rate must be a number above 0"),
        ("imdb --vocabulary 2", "--vocabulary must be at least 3"),
        ("imdb --validation 1", "--validation must be above 0 and below 1"),
        ("imdb --max-length -1", "--max-length must be at least 1"),
        ("imdb --cells nope", "There is no cell 'nope'"),
        ("imdb --data-dir nowhere", "The data folder nowhere does not exist; name an existing one with --data-dir"),
        ("recall --out file", "The output folder file is a file"),
        ("recall --out file/below", "The output folder file/below cannot be written"),
        ("recall --out full", "The output folder full already holds a run; give another with --out"),
        ("report", "report wants at least one run folder"),
        ("report nowhere", "'nowhere' is not a run folder"),
        ("report file", "'file' is not a run folder"),
        ("explain nowhere --text film", "'nowhere' is not a run folder"),
        ("explain full --text film", "is damaged, not valid JSON"),
    ],
)
def test_wrong_input_is_one_sentence_with_status_1_and_changes_nothing(arguments, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "config.json").write_text("precious")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    out = [] if arguments.startswith(("report", "explain")) or "--out" in arguments else ["--out", "new"]
    assert launch.main([*arguments.split(), *out]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_a_run_that_fails_on_its_way_is_reported_as_far_as_it_came(tmp_path, capsys, monkeypatch):
    def fail(self, folder, view):
        member = folder / "members" / "lstm-seed0"
        member.mkdir()
        told = '{"label": "LSTM", "cell": "lstm", "seed": 0, "parameters": 9, "steps": 4}'
        (member / "member.json").write_text(told)
        raise UserError("The loss became nan.")

    monkeypatch.setattr(Recall, "run", fail)
    assert launch.main(["recall", "--out", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err == "error: The loss became nan.\n"
    assert "LSTM" in (tmp_path / "run" / "report.html").read_text()


def test_a_misspelt_tfds_data_dir_is_said_and_not_made(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))
    assert launch.main(["imdb", "--out", "new"]) == 1
    assert (
        "does not exist; name an existing one with the environment variable TFDS_DATA_DIR." in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def test_a_terminal_without_arrows_shows_what_it_can(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    shown = run_apart("launch.py", "imdb", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Embedding ? SimpleRNN" in shown.stdout
