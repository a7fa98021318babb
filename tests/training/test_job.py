"""A job trains every cell from every seed; one that breaks is said at the end and does not stop the others."""

import io
import json

import jax
import pytest
from rich.console import Console

import rnnjax
from rnnjax.errors import UserError
from rnnjax.training import job
from rnnjax.training.loop import TrainingDivergedError
from rnnjax.training.progress import ProgressView
from rnnjax.training.records import read_records
from rnnjax.training.settings import TrainingSettings


def test_cells_are_named_by_their_labels():
    assert job.parse_cells(("lstm", "gru:chrono=9", "gru"), 3) == {
        "LSTM": rnnjax.LSTM(3),
        "GRU chrono=9": rnnjax.GRU(3, chrono=9),
        "GRU": rnnjax.GRU(3),
    }


@pytest.mark.parametrize("specs", [(), ("lstm", "gru", "LSTM"), ("lstm:forget_bias=1e1", "lstm:forget_bias=1E1")])
def test_no_cell_and_a_cell_twice_are_refused(specs):
    with pytest.raises(UserError, match=r"at least one cell and none twice, but .* was given"):
        job.parse_cells(specs, 3)


def test_an_unknown_cell_is_said():
    with pytest.raises(UserError, match="There is no cell 'lstn'"):
        job.parse_cells(("gru", "lstn"), 3)


def test_a_broken_member_is_said_and_the_next_is_trained(tiny, tmp_path):
    settings = TrainingSettings(batch_size=20, learning_rate=1e30, seeds=2, seed=4, log_gradients_every=1)
    cells = {"SimpleRNN activation=relu": rnnjax.SimpleRNN(2, activation="relu")}
    (tmp_path / "members").mkdir()
    output = io.StringIO()

    def make_model(vocabulary, cell):
        return rnnjax.SequenceClassifier(vocabulary, 2, rnnjax.RNN(cell))

    said = r"relu \(seed 4\): the loss became .*relu \(seed 5\): the loss became "
    with ProgressView(Console(file=output, width=300)) as view, pytest.raises(TrainingDivergedError, match=said):
        job.run_job(tmp_path, cells, make_model, settings, lambda seed: tiny.dataset, view)
    assert [line.split(":")[0] for line in output.getvalue().splitlines()] == [
        "SimpleRNN activation=relu (seed 4)",
        "SimpleRNN activation=relu (seed 5)",
    ]
    for seed in (4, 5):
        folder = tmp_path / "members" / f"simplernn-activation-relu-seed{seed}"
        assert json.loads((folder / "member.json").read_text()) == {
            "label": "SimpleRNN activation=relu",
            "cell": "simplernn",
            "seed": seed,
            "parameters": len(tiny.dataset.vocabulary) * 2 + (2 * 2 + 2 * 2 + 2) + (2 + 1),
            "steps": 2,
        }
        assert read_records(folder / "metrics.jsonl")[0]["step"] == 0
        assert not (folder / "result.json").exists()


@pytest.mark.parametrize(("message", "raised"), [("RESOURCE_EXHAUSTED: 9 GiB", UserError), ("INTERNAL", RuntimeError)])
def test_too_little_memory_is_one_sentence(message, raised, tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(job, "_run_member", fail)
    said = "too little memory; give a smaller --batch-size" if raised is UserError else message
    with ProgressView(Console(file=io.StringIO())) as view, pytest.raises(raised, match=said):
        job.run_job(tmp_path, {"LSTM": rnnjax.LSTM(2)}, None, TrainingSettings(), lambda seed: tiny.dataset, view)
