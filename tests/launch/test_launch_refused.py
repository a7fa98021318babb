"""Commands that fail: one sentence for the error, and no files left behind."""

import jax
import pytest

import experiments.run
import launch
from rnnjax.errors import UserError
from rnnjax.runtime.signals import StoppedError
from rnnjax.sharding.compilation_cache import configure_compilation_cache


@pytest.fixture(autouse=True)
def isolated_home(tmp_path_factory, monkeypatch):
    """A temporary home, JAX with its devices configured, and no compilation cache after the test."""
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("home")))
    assert jax.local_device_count() == 8
    yield
    configure_compilation_cache("off")


def tree(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*") if path.name != ".lock"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("recall --cells lstn", "There is no cell 'lstn'; choose from simple, lstm, gru"),
        ("recall --cells lstm:chrono=x", "chrono must be a whole number"),
        ("recall --cells lstm gru lstm", "different cells, but lstm gru lstm was given"),
        ("recall --cells", "one or more different cells, but none"),
        ("recall --features 0", "--features must be at least 1, but 0 was given"),
        ("recall --steps -5", "--steps must be at least 1, but -5 was given"),
        ("recall --min-distance 30 --max-distance 20", "--min-distance must be from 0 to --max-distance"),
        ("recall --embedding-scale 0", "--embedding-scale must be a number above 0"),
        ("recall --learning-rate -1", "--learning-rate must be a number above 0"),
        ("imdb --vocabulary 2", "--vocabulary must be at least 3"),
        ("imdb --validation 1", "--validation must be above 0 and below 1"),
        ("imdb --max-length -1", "--max-length must be at least 1"),
        ("imdb --cells nope", "There is no cell 'nope'"),
        ("imdb --data-dir nowhere", "The data folder nowhere does not exist; give an existing one with --data-dir"),
        ("recall --out file", "The output folder file is a file"),
        ("recall --out file/below", "The output folder file/below cannot be written"),
        ("recall --out full", "The output folder full already holds a run; continue it with --resume, give another"),
        ("recall --out full --resume", "'full/config.json' is damaged, not valid JSON"),
        ("recall --compilation-cache file", "for compiled programs cannot be written"),
        ("recall --sweep learning_rate", "--sweep must be name=value,value as in --sweep learning_rate=1e-3,3e-3"),
        ("recall --shard 5/4", "--shard must be i/n with i from 1 to n, as in 1/4, but 5/4 was given"),
        ("recall --devices 9", "--devices 9: there are only 8"),
        ("recall --cpu-devices 3", "--cpu-devices 3 comes too late: JAX runs on 8 already"),
        ("recall --model-devices 2", "--model-devices must be 1 without --parallel sharded, but 2 was given"),
        ("recall --checkpoint-every -1", "--checkpoint-every must be 0 or more, but -1 was given"),
        ("report", "report needs at least one run folder"),
        ("report nowhere", "'nowhere' is not a run folder"),
        ("report file", "'file' is not a run folder"),
        ("explain nowhere --text film", "'nowhere' is not a run folder"),
        ("explain full --text film", "is damaged, not valid JSON"),
    ],
)
def test_wrong_input_is_one_sentence_and_changes_nothing(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "config.json").write_text("precious")
    before = tree(tmp_path)
    out = [] if arguments.startswith(("report", "explain")) or "--out" in arguments else ["--out", "new"]
    assert launch.main([*arguments.split(), *out]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert tree(tmp_path) == before


def test_a_run_that_fails_on_its_way_is_reported_as_far_as_it_came(tmp_path, capsys, monkeypatch):
    def fail(experiment, folder, view):
        member = folder / "members" / "lstm-seed0"
        member.mkdir()
        record = '{"label": "LSTM", "cell": "lstm", "seed": 0, "parameters": 9, "steps": 4}'
        (member / "member.json").write_text(record)
        raise UserError("The loss became nan.")

    monkeypatch.setattr(experiments.run, "train", fail)
    assert launch.main(["recall", "--out", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err == "error: The loss became nan.\n"
    assert "LSTM" in (tmp_path / "run" / "report.html").read_text()


def test_resuming_wants_the_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert launch.main(["recall", "--resume"]) == 1
    assert capsys.readouterr().err.startswith("error: --resume needs the folder of the run")
    assert not list(tmp_path.iterdir())


def test_a_misspelt_tfds_data_dir_is_reported_and_not_made(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))
    assert launch.main(["imdb", "--out", "new"]) == 1
    assert (
        "does not exist; give an existing one with the environment variable TFDS_DATA_DIR." in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def test_ctrl_c_before_training_ends_quietly_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    def interrupted(experiment, folder, view):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments.run, "train", interrupted)
    assert launch.main(["recall", "--out", str(tmp_path / "run")]) == 130
    assert capsys.readouterr().err.startswith("stopped")
    assert list(tmp_path.iterdir()) == []


def test_a_signal_is_reported_with_how_to_go_on(tmp_path, capsys, monkeypatch):
    def stopped(experiment, folder, view):
        (folder / "members" / "lstm-seed0").mkdir()
        raise StoppedError(15)

    monkeypatch.setattr(experiments.run, "train", stopped)
    assert launch.main(["recall", "--out", str(tmp_path / "run")]) == 143
    message = f"stopped by SIGTERM; continue with the same flags, --out {tmp_path / 'run'} and --resume.\n"
    assert capsys.readouterr().err == message
    assert (tmp_path / "run" / "config.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_run_with_other_flags_is_not_continued(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(experiments.run, "train", lambda experiment, folder, view: None)
    arguments = ["recall", "--out", str(tmp_path / "run"), "--compilation-cache", "off"]
    assert launch.main(arguments) == 0
    assert launch.main([*arguments, "--resume", "--devices", "3"]) == 0  # what it computes does not depend on that
    capsys.readouterr()
    assert launch.main([*arguments, "--resume", "--steps", "7", "--cells", "gru"]) == 1
    message = (
        "was started with other flags (--cells: simple lstm gru gru:chrono=200 in the folder, gru asked for; "
        "--steps: 400 in the folder, 7 asked for)"
    )
    assert message in capsys.readouterr().err
