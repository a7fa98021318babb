"""Every experiment at a tiny size, run by ``launch.py``: from flags, or files, to a result and a report."""

import json
import os

import numpy as np
import pytest
import test_own_data
from command_line import SMALL, error_line, isolated_home, read_json, run_to_completion

import rnnjax.data.tfds.mnist
from experiments.registry import EXPERIMENTS
from rnnjax.report.summary.alarm_evidence import group_alarms
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run

DEEP = "--layers 2 --layer-norm --dropout 0.1"
REAL_DATA = os.environ.get("TFDS_DATA_DIR")
ANIMALS = "the quick brown fox jumps over the lazy dog. "


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch):
    with isolated_home(tmp_path_factory, monkeypatch):
        yield


def test_every_experiment_is_tried_somewhere():
    tried = {name.split("_")[1] for name in (*globals(), *vars(test_own_data)) if name.startswith("test_")}
    assert set(EXPERIMENTS) <= tried | {"recall", "imdb", "trainability"}  # these have files of their own


@pytest.mark.slow
def test_adding_numbers_with_a_curriculum_and_pooling(tmp_path):
    flags = "--cells simple --steps 6 --length 12 --min-length 3 --curriculum 0.8 --validate-every 3 --clip-by value"
    task, (result,) = run_to_completion(f"adding {SMALL} {flags} --pooling attention", tmp_path / "run")
    assert (task["step"], task["example"]) == ("step", "sequence")
    assert (task["objective"], task["loss"], task["classes"]) == ("number", "mean squared error", [])
    assert {figure["cell"] for figure in task["published"]} == {"simplernn", "lstm", "gru"}
    (member,) = (tmp_path / "run" / "members").iterdir()
    assert read_json(member / "member.json")["baseline"] == pytest.approx(1 / 6)
    validations = [json.loads(line) for line in (member / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in validations if record["kind"] == "validation"]
    assert result["validation_loss"] == min(losses)


@pytest.mark.slow
def test_copying_answers_at_every_step(tmp_path):
    task, _ = run_to_completion(f"copying {SMALL} --cells simple --steps 3 --delay 2 {DEEP}", tmp_path / "run")
    assert (task["step"], task["example"], task["objective"]) == ("step", "sequence", "symbols")
    assert task["loss"] == "cross-entropy a step, nats"
    assert read_json(tmp_path / "run" / "vocabulary.json") == ["<blank>", *"abcdefgh", "<go>"]


@pytest.mark.slow
@pytest.mark.parametrize(("resets", "raised"), [("exact", False), ("none", True), ("early", True), ("late", True)])
def test_episodes_tell_of_a_reset_at_the_wrong_step(tmp_path, resets, raised):
    flags = f"{SMALL} --cells gru --steps 3 --length 12 --longest-episode 5 --resets {resets}"
    task, _ = run_to_completion(f"episodes {flags}", tmp_path / "run")
    assert (task["step"], task["objective"]) == ("step", "symbols")
    (member,) = (tmp_path / "run" / "members").iterdir()
    for stage in ("start", "end"):
        (layer,) = read_json(member / f"diagnosis-{stage}.json")["layers"]
        assert (layer["crossing"] > 0) == raised
    run = load_run(tmp_path / "run")
    alarms = {found.alarm.name for found in group_alarms(run, seed_groups(run))}
    assert ("crosses a reset" in alarms) == raised


@pytest.mark.slow
def test_temporal_order_trains_cells_by_recipes(tmp_path):
    cells = "--cells simple:omega=0.5"
    task, _ = run_to_completion(f"temporal {SMALL} {cells} --steps 3 --length 12", tmp_path / "run")
    assert (task["step"], task["example"], task["objective"]) == ("step", "sequence", "classes")
    assert len(task["classes"]) == 4
    (member,) = (tmp_path / "run" / "members").iterdir()
    assert read_json(member / "member.json")["label"] == "SimpleRNN omega=0.5"


@pytest.mark.slow
def test_flipflop_answers_with_several_numbers_at_every_step_and_ends_with_fixed_points(tmp_path):
    flags = "--cells simple --steps 4 --length 7 --channels 2 --pulse-probability 0.3 --validate-every 2"
    task, (result,) = run_to_completion(f"flipflop {SMALL} {flags}", tmp_path / "run")
    assert (task["step"], task["example"]) == ("step", "sequence")
    assert (task["objective"], task["loss"], task["classes"]) == ("signals", "mean squared error", [])
    (member,) = (tmp_path / "run" / "members").iterdir()
    assert read_json(member / "member.json")["baseline"] == pytest.approx(0.7 * 6 / 7)
    assert read_json(member / "member.json")["last_step_only"] is False
    assert 0 <= result["test_accuracy"] <= 1
    assert "fixed_points" not in read_json(member / "diagnosis-start.json")
    searched = read_json(member / "diagnosis-end.json")["fixed_points"]
    ended = sum(point["candidates"] for point in searched["points"])
    assert ended + searched["not_finite"] + searched["far"] + searched["fast"] == searched["candidates"] > 0


@pytest.fixture
def digits(monkeypatch):
    """Random images instead of MNIST; the list of arguments with which they were loaded."""
    arguments = []

    def mnist(**flags):
        arguments.append(flags)
        rng, shape = np.random.default_rng(0), (28, 28) if flags["by"] == "row" else (784, 1)

        def split(count):
            images = rng.integers(256, size=(count, *shape)).astype(np.uint8)
            lengths = np.full(count, shape[0], np.int32)
            return rnnjax.data.tfds.mnist.Examples(images, lengths, rng.integers(10, size=count).astype(np.int32))

        return rnnjax.data.tfds.mnist.Dataset(
            split(flags["train_examples"] or 24), split(9), split(10),
            objective=rnnjax.data.tfds.mnist.Objective.CLASSES, classes=tuple("0123456789"),
        )  # fmt: skip

    monkeypatch.setattr(rnnjax.data.tfds.mnist, "mnist", mnist)
    return arguments


@pytest.mark.slow
def test_mnist_row_by_row(digits, tmp_path):
    flags = f"--cells simple --by row --train-examples 17 --data-dir {tmp_path}"
    task, _ = run_to_completion(f"mnist {SMALL} {flags}", tmp_path / "run")
    assert (task["step"], task["example"], task["objective"]) == ("row", "image", "classes")
    assert task["classes"] == list("0123456789")
    assert task["published"] == []
    ((arguments),) = digits
    assert (arguments["by"], arguments["permuted"], arguments["train_examples"]) == ("row", False, 17)


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL_DATA and os.path.isdir(os.path.join(REAL_DATA, "mnist"))),
    reason="needs the real mnist: set TFDS_DATA_DIR to a folder that holds it",
)
def test_mnist_pixel_by_pixel_of_real_digits(tmp_path):
    flags = "--permuted --train-examples 16 --features 2 --batch-size 64"
    task, _ = run_to_completion(f"mnist {SMALL} {flags} --data-dir {REAL_DATA}", tmp_path / "run")
    assert task["step"] == "pixel"
    assert {figure["setting"][:8] for figure in task["published"]} == {"permuted"}


def test_characters_of_a_file_with_carried_state(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(ANIMALS * 20)
    flags = f"--cells simple --file {path} --window 6 --validation 0.2 --test-share 0.2"
    task, (result,) = run_to_completion(f"characters {SMALL} {flags}", tmp_path / "run")
    assert (task["step"], task["example"], task["objective"]) == ("character", "window", "symbols")
    assert task["restarts"] == 0.05
    assert read_json(tmp_path / "run" / "vocabulary.json") == ["<pad>", "<unk>", *sorted(set(ANIMALS))]
    assert result["test_loss"] > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "copying --pooling mean",
            "--pooling must be last for a task with an output at every step, but mean was given.",
        ),
        (
            "characters --bidirectional",
            "--bidirectional must be off for a task with an output at every step, but True was given.",
        ),
        (
            "copying --cells lstm:pooling=max",
            "--pooling must be last for a task with an output at every step, but max was given.",
        ),
        ("adding --length 9 --min-length 10", "--min-length must be from 2 to --length, but 10 was given."),
        ("flipflop --channels 0", "--channels must be at least 1, but 0 was given."),
        ("flipflop --length 1", "--length must be at least 2, but 1 was given."),
        ("flipflop --pulse-probability 0", "--pulse-probability must be above 0 and at most 1, but 0.0 was given."),
        ("temporal --marks 4", "--marks must be 2 or 3, but 4 was given."),
        ("mnist --train-examples 0", "--train-examples must be at least 1, but 0 was given."),
        ("characters --file {path}/none.txt", "There is no file {path}/none.txt; give one that exists."),
        ("series --train {path}/none.npz", "There is no file {path}/none.npz; give one that exists."),
        ("adding --curriculum 0.5", "--curriculum 0.5 has nothing to order, since all sequences are 200 steps long;"),
        ("adding --sweep curriculum=0,1", "--curriculum 1.0 has nothing to order, since all sequences are 200 steps"),
        ("adding --cells gru lstm:curriculum=1", "--curriculum 1.0 has nothing to order, since all sequences are 200"),
    ],
)
def test_flags_that_do_not_fit_are_one_sentence_and_leave_nothing(flags, message, tmp_path, capsys):
    line = error_line(f"{flags.format(path=tmp_path)} --compilation-cache off", tmp_path, capsys)
    assert line.startswith(f"error: {message.format(path=tmp_path)}")
