"""TensorBoard event files hold the numbers of the records; both are read back from disk."""

import contextlib
import io
import os

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog

import rnnjax
from rnnjax.diagnostics import LagStatistics
from rnnjax.runs.json_io import read_records
from rnnjax.runs.member_schema import MemberInfo
from rnnjax.runs.schema import RECORDS
from rnnjax.runs.tensorboard import decades, write_pictures
from rnnjax.runs.writer import MemberWriter

CURVE = 0.5 ** np.arange(9)  # halves at every word; the seventh word back is the last with 1%
GRADIENTS = rnnjax.GRU(1).State(LagStatistics(np.full(9, 4), 2 * CURVE, np.stack([0.1 * CURVE, CURVE, 3 * CURVE])))


def write(folder, tensorboard):
    with contextlib.closing(MemberWriter(folder, tensorboard=tensorboard)) as writer:
        writer.append_train(0, 0, loss=0.75, accuracy=0.5, gradient_norm=2.0)
        writer.append_logged_step(0, 0, GRADIENTS, {"cell/w_h": np.float32(0.25), "cell/b": np.float32("nan")})
        writer.append_validation(1, 0, loss=0.5, accuracy=1.0)


def events(folder):
    """The events of a file, from its framing: length (8), checksum (4), event, checksum (4)."""
    (path,) = (folder / "tensorboard").iterdir()
    content = path.read_bytes()
    while content:
        length = int.from_bytes(content[:8], "little")
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def values(folder, kind):
    """(name, step) -> value."""
    pairs = [(event.step, value) for event in events(folder) for value in event.summary.value]
    return {(value.tag, step): getattr(value, kind) for step, value in pairs if value.HasField(kind)}


def scalars(folder):
    return values(folder, "simple_value")


def test_event_files_hold_what_the_records_hold(tmp_path):
    write(tmp_path, tensorboard=True)
    assert scalars(tmp_path) == {
        ("updates/cell/w_h", 0): 0.25,
        ("updates/cell/b", 0): pytest.approx(np.nan, nan_ok=True),
        ("train/loss", 0): 0.75,
        ("train/accuracy", 0): 0.5,
        ("train/gradient_norm", 0): 2.0,
        ("gradients/layer0/h/half_life", 0): pytest.approx(1.0),
        ("gradients/layer0/h/reach", 0): 6.0,
        ("gradients/layer0/h/norm_at_lag_0", 0): 1.0,
        ("validation/loss", 1): 0.5,
        ("validation/accuracy", 1): 1.0,
    }


def test_histograms_hold_how_many_lags_have_a_norm_of_each_size(tmp_path):
    write(tmp_path, tensorboard=True)
    ((name, step), histogram) = values(tmp_path, "histo").popitem()
    assert (name, step) == ("gradients/layer0/h/log10_norms", 0)
    assert (histogram.num, histogram.max) == (9, 0)
    assert histogram.min == pytest.approx(8 * np.log10(0.5))
    filled = {limit: count for limit, count in zip(histogram.bucket_limit, histogram.bucket, strict=True) if count}
    assert filled == {-2.0: 2, -1.5: 2, -1.0: 1, -0.5: 2, 0.5: 1, 0.0: 1}


def test_norms_of_every_size_have_a_place_in_a_histogram():
    assert decades(np.array([0.0, 1e-300, 1e-12, 0.1, 1e30])).tolist() == [-12, -12, -12, -1, 6.5]


def test_a_gradient_that_is_not_finite_has_no_histogram(tmp_path):
    spoilt = rnnjax.GRU(1).State(GRADIENTS.h._replace(quantiles=np.full((3, 9), np.inf)))
    with contextlib.closing(MemberWriter(tmp_path, tensorboard=True)) as writer:
        writer.append_logged_step(0, 0, spoilt, {})
    assert values(tmp_path, "histo") == {}
    assert np.isinf(scalars(tmp_path)["gradients/layer0/h/norm_at_lag_0", 0])


def test_pictures_become_images_and_those_before_make_way(tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    for name in ("one", "two"):
        Image.fromarray(pixels).save(figures / f"{name}.png")
    for names in (["one", "two"], ["two"]):
        write_pictures(tmp_path / "tensorboard", [figures / f"{name}.png" for name in names])
        found = values(tmp_path, "image")
        assert [tag for tag, _ in found] == [f"figures/{name}" for name in names]
    (image,) = found.values()
    assert (image.height, image.width) == (4, 6)
    with Image.open(io.BytesIO(image.encoded_image_string)) as shown:
        np.testing.assert_array_equal(np.asarray(shown), pixels)


def test_a_gradient_that_adds_up_over_many_losses_has_no_half_life(tmp_path):
    info = MemberInfo(label="GRU", cell="gru", seed=0, parameters=1, steps=1, last_step_only=False)
    with contextlib.closing(MemberWriter(tmp_path, tensorboard=True)) as writer:
        writer.write_info(info)
        writer.append_logged_step(0, 0, GRADIENTS, {})
    assert {name for name, _ in scalars(tmp_path) if "gradients" in name} == {"gradients/layer0/h/norm_at_lag_0"}


def test_without_tensorboard_there_are_records_alone(tmp_path):
    write(tmp_path, tensorboard=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gradients.jsonl", "metrics.jsonl"]
    unknown = pytest.approx(np.nan, nan_ok=True)
    assert read_records(tmp_path / "metrics.jsonl") == [
        {"kind": "train", "step": 0, "epoch": 0, "loss": 0.75, "accuracy": 0.5, "gradient_norm": 2.0},
        {"kind": "updates", "step": 0, "epoch": 0, "ratios": {"cell/w_h": 0.25, "cell/b": unknown}},
        {"kind": "validation", "step": 1, "epoch": 0, "loss": 0.5, "accuracy": 1.0},
    ]
    (record,) = read_records(tmp_path / "gradients.jsonl")
    assert (record["step"], record["layer"], record["state"], record["q50"]) == (0, 0, "h", CURVE.tolist())


def test_event_files_of_a_run_that_goes_on_say_from_where(tmp_path):
    """What TensorBoard has read of later steps, it then forgets."""
    MemberWriter(tmp_path, tensorboard=True, step=5).close()
    starts = [event for event in events(tmp_path) if event.HasField("session_log")]
    assert [(event.step, event.session_log.status) for event in starts] == [(5, SessionLog.START)]


def test_records_are_appended_and_durable_when_they_are_synced(tmp_path, monkeypatch):
    write(tmp_path, tensorboard=False)
    before = [(tmp_path / name).read_bytes() for name in RECORDS]
    synced = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    with contextlib.closing(MemberWriter(tmp_path, tensorboard=False)) as writer:
        writer.append_train(1, 0, loss=0.75, accuracy=0.5, gradient_norm=2.0)
        writer.sync()
    after = [(tmp_path / name).read_bytes() for name in RECORDS]
    assert synced == [len(content) for content in after]
    assert after[1] == before[1]
    assert after[0].startswith(before[0])
    assert after[0].count(b"\n") == before[0].count(b"\n") + 1
