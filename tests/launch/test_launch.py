"""Whole runs of ``launch.py``: small recall and imdb runs, from flags to figures."""

import contextlib
import io
import json
import re
import shutil
import tarfile

import flax.serialization
import jax
import numpy as np
import pytest

import launch
import rnnjax
from rnnjax.data.synthetic.recall import recall
from rnnjax.runs.json_io import read_records

RECALL = (
    "recall --cells lstm --seeds 1 --features 16 --embedding 16 --steps 20 --batch-size 16 --learning-rate 0.03"
    " --min-distance 2 --max-distance 20 --log-gradients-every 5 --validate-every 10 --steps-per-program 4"
    " --compilation-cache off"
)
FIGURES = {
    "accuracy_by_distance", "belt_and_detour", "belt_share", "gates", "gates_of_the_detour", "gradient_by_lag",
    "gradient_over_training", "into_gates", "learning_curves", "lyapunov", "swaps", "updates",
}  # fmt: skip


def start(arguments):
    """(exit status, standard output)."""
    assert jax.local_device_count() == 8  # before a run configures the devices
    with contextlib.redirect_stdout(io.StringIO()) as output:
        status = launch.main(arguments)
    return status, output.getvalue()


def read_json(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def recall_run(tmp_path_factory):
    """(folder, exit status, output) of a finished run; not to be changed."""
    folder = tmp_path_factory.mktemp("recall") / "run"
    return folder, *start([*RECALL.split(), "--out", str(folder)])


@pytest.fixture
def copy(recall_run, tmp_path):
    return shutil.copytree(recall_run[0], tmp_path / "copy")


def test_recall_runs_from_flags_to_figures(recall_run):
    folder, status, output = recall_run
    assert status == 0
    flags = read_json(folder / "config.json")["flags"]
    assert (flags["cells"], flags["steps"], flags["training"]["batch_size"]) == (["lstm"], 20, 16)
    assert read_json(folder / "environment.json")["devices"]
    assert all((folder / name).stat().st_size > 0 for name in ("table.csv", "table.parquet", "vocabulary.json"))
    assert not (folder / "checkpoints").exists()
    (member,) = (folder / "members").iterdir()
    assert {path.name for path in member.iterdir()} == {
        "member.json", "model.json", "metrics.jsonl", "gradients.jsonl", "params.msgpack", "result.json",
        "diagnosis-start.json", "diagnosis-end.json",
    }  # fmt: skip
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{name}.png" for name in FIGURES}
    sources = re.findall(r'<img[^>]* src="(data:[^,"]*)', (folder / "report.html").read_text())
    assert sources == ["data:image/png;base64"] * len(FIGURES)
    assert "LSTM" in output
    assert "report.html" in output
    logged = read_records(member / "gradients.jsonl")
    assert [(r["step"], r["state"]) for r in logged] == [(s, state) for s in (0, 5, 10, 15, 19) for state in "hc"]


def test_what_was_tested_is_what_was_kept(recall_run):
    (member,) = (recall_run[0] / "members").iterdir()
    result = read_json(member / "result.json")
    dataset = recall(
        min_distance=2, max_distance=20, train_examples=320, validation_examples=1000, test_per_distance=200, seed=0
    )
    model = rnnjax.SequenceClassifier(len(dataset.vocabulary), 16, rnnjax.RNN(rnnjax.LSTM(16)))
    params = flax.serialization.msgpack_restore((member / "params.msgpack").read_bytes())
    classify = jax.jit(lambda params, tokens, lengths: model.apply({"params": params}, tokens, lengths=lengths)[1])
    test = dataset.test
    correct = (classify(params, test.inputs, test.lengths)[:, 0] > 0) == (test.labels == 1)
    assert result["test_accuracy"] == pytest.approx(np.mean(correct))
    by_distance = result["accuracy_by_distance"]
    assert by_distance["distance"] == list(range(2, 21))
    assert by_distance["accuracy"][-1] == pytest.approx(np.mean(correct[test.distances == 20]))
    validations = [r for r in read_records(member / "metrics.jsonl") if r["kind"] == "validation"]
    best = max(validations, key=lambda r: (r["accuracy"], -r["loss"]))
    assert (result["best_step"], result["validation_accuracy"]) == (best["step"], best["accuracy"])


GOLDEN_LOSS = 0.1111


def test_golden_run(recall_run):
    (member,) = (recall_run[0] / "members").iterdir()
    last = [r for r in read_records(member / "metrics.jsonl") if r["kind"] == "train"][-1]
    assert last["step"] == 19
    assert last["loss"] == pytest.approx(GOLDEN_LOSS, abs=0.00005), (
        "The same flags and seed now train differently. If that was meant (another initialisation, order of examples, "
        f"optimizer or default), run `python launch.py {RECALL} --out /tmp/golden`, write the last training loss in "
        "its metrics.jsonl into GOLDEN_LOSS, and say in the commit what changed it; otherwise something broke."
    )


def test_report_draws_again(copy):
    before = {path.name: path.read_bytes() for path in (copy / "members").rglob("*.*")}
    shutil.rmtree(copy / "figures")
    (copy / "report.html").unlink()
    status, output = start(["report", str(copy)])
    assert status == 0
    assert "LSTM" in output
    assert {path.stem for path in (copy / "figures").iterdir()} == FIGURES
    assert (copy / "report.html").exists()
    assert {path.name: path.read_bytes() for path in (copy / "members").rglob("*.*")} == before


def test_what_a_run_trained_can_be_explained(recall_run):
    assert read_json(recall_run[0] / "vocabulary.json")[:3] == ["<pad>", "<unk>", "wonderful"]
    status, output = start(["explain", str(recall_run[0]), "--text", "Horrifying! This zebra scene"])
    assert status == 0
    assert re.search(r"LSTM, seed 0[^~]*horrifying.* this.* zebra\?.* scene[^~]*^horrifying +1 ", output, re.MULTILINE)


@pytest.mark.slow
def test_a_killed_run_still_reports(copy):
    (member,) = (copy / "members").iterdir()
    (member / "result.json").unlink()
    for name in ("metrics.jsonl", "gradients.jsonl"):
        content = (member / name).read_bytes()
        (member / name).write_bytes(content[:-9])
    (copy / "report.html").unlink()
    status, output = start(["report", str(copy)])
    assert status == 0
    assert re.search(r"0\s+finished", output)
    assert (copy / "report.html").exists()


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A data folder with a small archive in the aclImdb layout, and a temporary home."""
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    path = tmp_path / "data" / "downloads" / "manual" / "aclImdb_v1.tar.gz"
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as tar:
        for split in ("train", "test"):
            for label, opinion in (("pos", "Wonderful"), ("neg", "Horrifying")):
                for i in range(8):
                    text = f"{opinion}!<br />The film {'so ' * 2 * i}went on {split} {label} {i}".encode()
                    member = tarfile.TarInfo(f"aclImdb/{split}/{label}/{i}_7.txt")
                    member.size = len(text)
                    tar.addfile(member, io.BytesIO(text))
    return path


IMDB = (
    "imdb --cells simple --features 8 --embedding 8 --max-length 12 --vocabulary 30 --batch-size 4 --epochs 2"
    " --compilation-cache off"
)


@pytest.mark.slow
def test_imdb_runs_from_the_archive_to_figures(archive, tmp_path):
    folder = tmp_path / "run"
    flags = f"{IMDB} --sorted-batches 1 --validation 0.25 --tensorboard".split()
    status, output = start([*flags, "--data-dir", str(tmp_path / "data"), "--out", str(folder)])
    assert status == 0
    assert "reading 16 reviews of the train split" in output
    (member,) = (folder / "members").iterdir()
    assert read_json(member / "member.json")["label"] == "SimpleRNN"
    metrics = read_records(member / "metrics.jsonl")
    assert [r["epoch"] for r in metrics if r["kind"] == "validation"] == [0, 1]
    assert {r["epoch"] for r in metrics if r["kind"] == "train"} == {0, 1}
    assert max(len(r["count"]) for r in read_records(member / "gradients.jsonl")) == 12
    assert read_json(member / "result.json")["accuracy_by_distance"] is None
    assert list((member / "tensorboard").iterdir())
    (pictures,) = (folder / "tensorboard").iterdir()
    assert b"figures/gradient_by_lag" in pictures.read_bytes()
    assert (folder / "report.html").exists()


def test_a_truncated_archive_is_one_sentence_and_leaves_nothing(archive, tmp_path, capsys):
    assert jax.local_device_count() == 8
    archive.write_bytes(archive.read_bytes()[:-40])
    before = sorted(tmp_path.rglob("*"))
    status = launch.main([*IMDB.split(), "--data-dir", str(tmp_path / "data"), "--out", str(tmp_path / "run")])
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 1
    assert line.startswith(f"error: {archive} cannot be read to its end")
    assert sorted(tmp_path.rglob("*")) == before
