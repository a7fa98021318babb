"""Every record that the writer writes comes back from the reader, with and without numbers that are not finite."""

import contextlib
import json

import msgspec
import numpy as np
import pytest
from synthetic_run import write_run

import rnnjax
from rnnjax.analysis.diagnosis import (
    Diagnosis,
    FixedPointSearch,
    JacobianProducts,
    LagQuantiles,
    LayerDiagnosis,
    LyapunovEstimate,
    StatePath,
    StationaryPoint,
    TextAttribution,
    WordSwaps,
)
from rnnjax.data.dataset import Objective
from rnnjax.diagnostics import LagStatistics, Origin
from rnnjax.errors import UserError
from rnnjax.runs import reader, writer
from rnnjax.runs.codec import encode
from rnnjax.runs.member_schema import AccuracyByDistance, MemberInfo, RegressionErrors, RunResult
from rnnjax.runs.published import Published
from rnnjax.runs.schema import FORMAT_VERSION, Config, Environment, TaskInfo, member_folder

INFO = MemberInfo(
    label="GRU clip=1", cell="gru", seed=-3, varied={"clip": 1.0, "pooling": "mean"}, parameters=7, steps=20,
    baseline=0.5, clip=0.0,
)  # fmt: skip
RESULT = RunResult(
    test_loss=float("nan"), test_accuracy=1.0, best_step=3, validation_accuracy=0.5, validation_loss=float("inf"),
    seconds=1.5, steps_per_second=2.0, compile_seconds=0.25,
    accuracy_by_distance=AccuracyByDistance(
        distance=np.array([1, 20]), accuracy=np.array([0.5, 1.0]), count=np.array([3, 4])
    ),
)  # fmt: skip
TASK = TaskInfo(
    step="pixel", example="image", published=(Published("LSTM", None, "test loss", 1.4697, "T=9", "Bai"),),
    objective=Objective.CLASSES, classes=("a", "b", "c"), constant=0.4, loss="cross-entropy, nats",
)  # fmt: skip
ERRORS = RegressionErrors(rmse=12.5, mae=9.0, r2=float("nan"))
OF_NUMBERS = msgspec.structs.replace(RESULT, test_errors=ERRORS, validation_errors=ERRORS)
GRADIENTS = rnnjax.GRU(1).State(
    LagStatistics(np.array([4, 2, 0]), np.array([1.0, np.inf, np.nan]), np.array([[0.1] * 3, [0.2] * 3, [0.3] * 3]))
)


def quantiles(*values):
    return LagQuantiles(q10=np.array(values) / 2, q50=np.array(values), q90=np.array(values) * 2)


DIAGNOSIS = Diagnosis(
    step=3,
    examples=32,
    loss=0.5,
    layers=(
        LayerDiagnosis(
            name="encoder/rnn", cell="GRU", reverse=True, gates=("r", "u", "n"), units=8,
            count=np.array([4, 2]), by_lag={"m": quantiles(1.0, np.inf), "belt_share": quantiles(np.nan, 0.25)},
            saturation={"r": 0.0, "u": 0.125, "n": float("nan")}, keep_at_bias=0.5, horizon=float("inf"),
            belt_share=0.25, omega=-0.0, padding_read=0.0,
            lyapunov=LyapunovEstimate(
                exponents=np.array([0.5, -np.inf]), steps=np.array([1, 2]), largest=np.array([0.5, 0.25])
            ),
            singular=JacobianProducts(lag=np.array([1]), largest=np.array([0.5]), smallest=np.array([-0.5])),
        ),
        LayerDiagnosis(
            name="own", cell="Own", reverse=False, gates=(), units=1, count=np.array([], np.int64), by_lag={},
            keep_at_bias=0.0, horizon=1.0, belt_share=float("nan"), omega=0.0, padding_read=0.0,
        ),
    ),
    texts=(TextAttribution(words=("é", "<b>"), label=1, logits=np.array([0.5, 1.0]), connectivity=np.ones(2)),),
    swaps=WordSwaps(what="a word", lag=np.array([7]), measured=np.array([0.5]), predicted=np.array([np.nan])),
    fixed_points=FixedPointSearch(
        points=(
            StationaryPoint(
                fixed=True, speed=1e-14, unstable=1, candidates=3, position=np.array([0.5, -1.0, 0.0]),
                outputs=np.array([0.5, np.nan]), eigenvalues_real=np.array([1.5, -0.5]),
                eigenvalues_imag=np.array([0.0, 0.25]),
            ),
        ),
        paths=(StatePath(axes=(np.array([0.5, 1.0]), np.array([2.0, 1.0]), np.zeros(2))),),
        variance=np.array([0.5, 0.25, 0.0]), candidates=8, not_finite=1, far=2, fast=2,
    ),
)  # fmt: skip


def text(record):
    """A record as JSON, in which NaN is equal to NaN."""
    return json.dumps(encode(record))


@pytest.fixture
def member(tmp_path):
    """The folder of a member of a run with a config, in which nothing is written yet."""
    writer.write_config(tmp_path, Config(format_version=FORMAT_VERSION, experiment="imdb", flags={"out": None}))
    folder = member_folder(tmp_path, "gru-seed3")
    folder.mkdir(parents=True)
    return folder


@contextlib.contextmanager
def writing(folder):
    with contextlib.closing(writer.MemberWriter(folder, tensorboard=False)) as records:
        records.write_info(INFO)
        yield records


def loaded(folder):
    (member,) = reader.load_run(folder.parents[1]).members
    return member


def test_config(tmp_path):
    config = Config(format_version=1, experiment="text", flags={"a": {"b": [1, 0.5, None, "é"]}}, contents={"a": "f"})
    writer.write_config(tmp_path, config)
    assert reader.read_config(tmp_path) == config


@pytest.mark.parametrize(
    "environment",
    [
        Environment(),
        Environment(python="3.11", packages={"jax": "0.10", "tensorflow-datasets": "4.9"}, git_commit=None),
        Environment(started="today", devices=("cpu:0",), cpu_cores=2, resumed=({"jax": "1"},), merged=("a", "b")),
    ],
)
def test_environment(tmp_path, environment):
    writer.write_environment(tmp_path, environment)
    assert reader.read_environment(tmp_path) == environment


def test_packages_stand_between_the_other_fields_of_an_environment(tmp_path):
    writer.write_environment(tmp_path, Environment(platform="Linux", packages={"jax": "0.10"}, python="3.11"))
    assert list(json.loads((tmp_path / "environment.json").read_text())) == ["python", "jax", "platform"]


def test_task_and_vocabulary_are_those_of_the_first_member(tmp_path):
    writer.write_task(tmp_path, TASK)
    members = [tmp_path / "members" / name for name in "abc"]
    for member, words in zip(members, (("<pad>", "é"), ("other",), ("<pad>", "é")), strict=True):
        member.mkdir(parents=True)
        writer.write_vocabulary(tmp_path, member, words)
    writer.write_task(tmp_path, TaskInfo())
    assert reader.read_task(tmp_path) == TASK
    assert reader.read_vocabulary(tmp_path) == ("<pad>", "é")
    assert [reader.read_vocabulary(member) for member in members] == [None, ("other",), None]
    assert json.loads((tmp_path / "task.json").read_text())["chance"] == 0.4


def test_a_run_without_words_has_no_vocabulary(tmp_path):
    writer.write_vocabulary(tmp_path, tmp_path, ())
    assert reader.read_vocabulary(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_member_and_metrics(member):
    with writing(member) as records:
        records.append_train(0, 0, loss=0.75, accuracy=0.5, gradient_norm=float("nan"))
        records.append_logged_step(0, 0, GRADIENTS, {"cell/b": np.float32("nan"), "cell/w": np.float32(0.25)})
        records.append_train(1, 0, loss=float("inf"), accuracy=0.5, gradient_norm=2.0)
        records.append_validation(2, 1, loss=0.5, accuracy=1.0)
    found = loaded(member)
    for name in ("label", "cell", "seed", "varied", "parameters", "steps", "baseline", "clip"):
        assert getattr(found, name) == getattr(INFO, name)
    assert found.train.steps.tolist() == [0, 1]
    assert found.train.loss.tolist() == [0.75, np.inf]
    np.testing.assert_array_equal(found.gradient_norms, [np.nan, 2.0])
    assert (found.validation.steps.tolist(), found.validation.accuracy.tolist()) == ([2], [1.0])
    np.testing.assert_array_equal(found.updates.ratios["cell/b"], [np.nan])
    np.testing.assert_array_equal(found.updates.ratios["cell/w"], [0.25])
    log = found.gradients[0, "h"]
    np.testing.assert_array_equal(log.count, [[4, 2]])
    np.testing.assert_array_equal(log.mean, [[1.0, np.inf]])
    np.testing.assert_array_equal(log.q90, [[0.3, 0.3]])
    assert found.status == "unfinished"


def test_errors_of_numbers_are_written_where_there_are_any(member):
    with writing(member) as records:
        records.append_validation(2, 1, loss=0.5, accuracy=1.0)
        records.append_validation(3, 1, loss=0.5, accuracy=1.0, errors=ERRORS)
        records.write_result(RESULT)
    first, second = map(json.loads, (member / "metrics.jsonl").read_text().splitlines())
    assert list(first) == ["kind", "step", "epoch", "loss", "accuracy"]
    assert (second["errors"]["rmse"], second["errors"]["mae"]) == (12.5, 9.0)
    assert not {"test_errors", "validation_errors"} & set(json.loads((member / "result.json").read_text()))
    assert loaded(member).validation.steps.tolist() == [2, 3]


def test_a_scale_of_labels_and_restarts_are_written_where_there_are_any(tmp_path):
    assert not {"label_scale", "restarts"} & set(encode(TASK))
    task = msgspec.structs.replace(TASK, objective=Objective.NUMBER, label_scale=(100.0, 30.0), restarts=0.05)
    writer.write_task(tmp_path, task)
    assert reader.read_task(tmp_path) == task
    assert task.main_error(np.array([0.25, 4.0])).tolist() == [15.0, 60.0]


@pytest.mark.parametrize("result", [RESULT, OF_NUMBERS, msgspec.structs.replace(RESULT, accuracy_by_distance=None)])
def test_result(member, result):
    with writing(member) as records:
        records.write_result(result)
    assert text(loaded(member).result) == text(result)
    assert (loaded(member).status, reader.read_outcome(member)) == ("finished", "")


def test_failure_and_divergence(member):
    origin = Origin("backward", "rnn", None, 3, 7)
    with writing(member) as records:
        records.write_failure("It diverged.")
        records.write_divergence(origin)
    found = loaded(member)
    assert (found.failure, found.diverged, found.status) == ("It diverged.", origin, "diverged")
    assert reader.read_outcome(member) == "It diverged."


@pytest.mark.parametrize(
    "diagnosis", [DIAGNOSIS, msgspec.structs.replace(DIAGNOSIS, texts=(), swaps=None, fixed_points=None)]
)
def test_diagnosis(member, diagnosis):
    with writing(member) as records:
        records.write_diagnosis("end", diagnosis)
    found = loaded(member).diagnoses
    assert set(found) == {"end"}
    assert text(found["end"]) == text(diagnosis)
    assert found["end"].layers[0].by_lag["m"].q50.dtype == np.float64


def test_a_diagnosis_is_rounded_on_disk_alone(member):
    exact = msgspec.structs.replace(
        DIAGNOSIS, loss=1 / 3, swaps=msgspec.structs.replace(DIAGNOSIS.swaps, measured=[2 / 3])
    )
    with writing(member) as records:
        records.write_diagnosis("start", exact)
    found = loaded(member).diagnoses["start"]
    assert (exact.loss, found.loss, found.swaps.measured.tolist()) == (1 / 3, 0.33333, [0.66667])


def test_null_is_nan_where_a_number_is_expected(member):
    with writing(member):
        pass
    train = {"kind": "train", "step": 0, "loss": None, "accuracy": 1, "gradient_norm": None}
    (member / "metrics.jsonl").write_text(json.dumps(train) + "\n")
    found = loaded(member)
    np.testing.assert_array_equal([found.train.loss[0], found.train.accuracy[0]], [np.nan, 1.0])


def test_fields_that_are_not_known_are_left_out(member):
    (member / "member.json").write_text(json.dumps(encode(INFO) | {"colour": "red"}))
    assert loaded(member).label == INFO.label


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 10**400])
def test_a_folder_of_a_newer_rnnjax_is_refused_in_one_sentence(tmp_path, version):
    config = {"format_version": version, "experiment": ["of", "another"], "flags": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        UserError, match=r"was written by a newer rnnjax \(its format_version is .*\); upgrade rnnjax\.$"
    ):
        reader.load_run(tmp_path)


def test_a_folder_without_a_version_is_older_than_versions(tmp_path):
    assert reader.read_config(write_run(tmp_path / "run")).format_version == 0
