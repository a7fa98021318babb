"""MNIST from its four files to the layout of TFDS, and the errors for wrong files."""

import gzip
import hashlib
import socket
import sys

import numpy as np
import pytest
from digit_files import NAMES, TEST, TRAIN, idx, make_files

from rnnjax.data.tfds.builder import MNIST_BUILDER, prepare_mnist, prepared_folder, quiet_tfds
from rnnjax.data.tfds.idx import read_idx
from rnnjax.data.tfds.mnist import mnist
from rnnjax.errors import UserError


def silent(message):
    pass


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_layout_is_that_of_tfds(tmp_path):
    make_files(tmp_path / "downloads" / "manual")
    prepare_mnist(tmp_path, silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloads", "mnist"]
    assert tree(tmp_path / "mnist") == [
        "3.0.1",
        "3.0.1/dataset_info.json",
        "3.0.1/features.json",
        "3.0.1/mnist-test.array_record-00000-of-00001",
        "3.0.1/mnist-train.array_record-00000-of-00001",
    ]
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(np.zeros((TRAIN, 28, 28)))[:-9], "truncated or damaged: delete it"),
        (b"<html>not found</html>", "truncated or damaged: delete it"),
        (gzip.compress(b"\0\0"), "no idx header for unsigned bytes"),
        (gzip.compress(b"\0\0\x0d\x01\0\0\0\x01abcd"), "no idx header for unsigned bytes"),
        (gzip.compress(b"\0\0\x08\x03\0\0"), "an idx header that is cut off"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcd"), "4 numbers where its header says 5"),
        (idx(np.zeros((3, 3))), "3 x 3 numbers instead of"),
        (idx(np.zeros((0, 28, 28))), "0 x 28 x 28 numbers instead of"),
    ],
    ids=["truncated", "page", "short", "floats", "header", "count", "shape", "empty"],
)
def test_a_wrong_file_is_named_and_leaves_nothing(tmp_path, name, content, message):
    make_files(tmp_path / "downloads" / "manual")
    (tmp_path / "downloads" / "manual" / name).write_bytes(content)
    before = tree(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        prepare_mnist(tmp_path, silent)
    assert str(tmp_path / "downloads" / "manual" / name) in str(error.value)
    assert tree(tmp_path) == before


def test_a_label_that_is_no_digit_is_reported(tmp_path):
    make_files(tmp_path / "downloads" / "manual")
    (tmp_path / "downloads" / "manual" / NAMES[3]).write_bytes(idx(np.full(TEST, 10)))
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz has the label 10"):
        prepare_mnist(tmp_path, silent)


def test_an_idx_file_runs_its_last_dimension_fastest(tmp_path):
    path = tmp_path / "small.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03abcdef"))
    assert read_idx(path).tolist() == [[97, 98, 99], [100, 101, 102]]


def test_damaged_prepared_data_is_reported(tmp_path):
    make_files(tmp_path / "downloads" / "manual")
    prepare_mnist(tmp_path, silent)
    (prepared_folder(tmp_path, MNIST_BUILDER) / "dataset_info.json").write_bytes(b"")
    with pytest.raises(UserError, match=r"mnist/3\.0\.1 cannot be read .*delete that folder"):
        mnist(
            data_dir=str(tmp_path), cache_dir=tmp_path / "cache", by="row", permuted=False, validation_examples=5,
            train_examples=None, seed=0,
        )  # fmt: skip


def test_another_file_format_is_reported(tmp_path):
    folder = prepared_folder(tmp_path, MNIST_BUILDER)
    folder.mkdir(parents=True)
    (folder / "mnist-train.tfrecord-00000-of-00001").touch()
    with pytest.raises(UserError, match=r"another file format than array_record.*--data-dir"):
        prepare_mnist(tmp_path, silent)


def point_tfds_at(monkeypatch, address, folder=None):
    """Replace the URLs and checksums that TFDS has registered by those of the files in ``folder``."""
    with quiet_tfds() as tfds:
        infos = tfds.builder_cls("mnist").url_infos
    for url, info in list(infos.items()):
        name = url.rpartition("/")[2]
        assert name in NAMES
        content = (folder / name).read_bytes() if folder else b""
        monkeypatch.setattr(info, "checksum", hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(infos, f"{address}/{name}", info)
        monkeypatch.delitem(infos, url)


def test_what_is_missing_is_downloaded_and_what_is_there_is_taken(serve, tmp_path, monkeypatch):
    folder, address = serve
    make_files(folder)
    point_tfds_at(monkeypatch, address, folder)
    manual = tmp_path / "downloads" / "manual"
    make_files(manual)
    for name in NAMES[1:3]:
        (manual / name).unlink()
    messages = []
    prepare_mnist(tmp_path, messages.append)
    assert {line for line in messages if line.startswith("downloading")} == {
        f"downloading {address}/{name}" for name in NAMES[1:3]
    }
    assert messages[-1] == f"preparing 26 images in {tmp_path}"
    assert {path.name: path.read_bytes() for path in manual.iterdir()} == {
        name: (folder / name).read_bytes() for name in NAMES
    }
    assert prepared_folder(tmp_path, MNIST_BUILDER).is_dir()


def test_a_download_that_is_not_the_expected_file_is_thrown_away(serve, tmp_path, monkeypatch):
    folder, address = serve
    make_files(folder)
    point_tfds_at(monkeypatch, address)
    with pytest.raises(UserError, match="not the expected file"):
        prepare_mnist(tmp_path, silent)
    assert tree(tmp_path) == []


def test_no_network_names_every_file_the_folder_and_the_flag_and_leaves_nothing(tmp_path, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    point_tfds_at(monkeypatch, f"http://127.0.0.1:{port}")
    with pytest.raises(UserError, match="could not be downloaded from http://127") as error:
        prepare_mnist(tmp_path, silent)
    message = str(error.value)
    assert all(name in message for name in NAMES)
    assert f"put them into {tmp_path}/downloads/manual" in message
    assert f"--data-dir {tmp_path}" in message
    assert tree(tmp_path) == []
