import hashlib
import logging
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from rnnjax.data.tfds import download as archive_module
from rnnjax.data.tfds import review_folder
from rnnjax.data.tfds.builder import prepare_imdb, prepared_folder, quiet_tfds
from rnnjax.errors import UserError


def silent(message):
    pass


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_prepared_data_reads_back_through_tfds(prepared, reviews):
    import tensorflow_datasets as tfds

    for split in ("train", "test"):
        source = tfds.data_source("imdb_reviews", split=split, data_dir=prepared, download=False)
        read = {(example["text"].decode(), example["label"]) for example in source}
        assert len(source) == 12
        assert read == {(text, int("/pos/" in name)) for name, text in reviews.items() if f"/{split}/" in name}
    assert "tensorflow" not in sys.modules


def test_the_layout_is_that_of_tfds(prepared):
    assert tree(prepared / "imdb_reviews") == [
        ".config",
        ".config/metadata.json",
        "plain_text",
        "plain_text/1.0.0",
        "plain_text/1.0.0/dataset_info.json",
        "plain_text/1.0.0/features.json",
        "plain_text/1.0.0/imdb_reviews-test.array_record-00000-of-00001",
        "plain_text/1.0.0/imdb_reviews-train.array_record-00000-of-00001",
        "plain_text/1.0.0/label.labels.txt",
    ]
    assert sorted(path.name for path in prepared.iterdir()) == ["downloads", "imdb_reviews"]


def test_the_same_archive_gives_the_same_records_and_only_our_lines_are_printed(
    prepared, make_archive, reviews, tmp_path, capfd, caplog
):
    caplog.set_level(logging.INFO)
    archive = make_archive(tmp_path, reviews)
    prepare_imdb(tmp_path, print)
    for path in prepared_folder(prepared).glob("*.array_record*"):
        assert path.read_bytes() == (prepared_folder(tmp_path) / path.name).read_bytes()
    assert capfd.readouterr() == (f"reading {archive}\npreparing 24 reviews in {tmp_path}\n", "")
    assert caplog.messages == []


def test_the_folder_for_temporary_files_is_left_empty(make_archive, reviews, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    make_archive(tmp_path, reviews)
    prepare_imdb(tmp_path, silent)
    assert tree(temporary) == []


def extract(folder, reviews):
    """The reviews as files, with others that are no labelled reviews."""
    for name, text in {**reviews, "aclImdb/train/unsup/0_0.txt": "", "aclImdb/train/pos/._1_7.txt": "x"}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("place", [".", "downloads/manual"])
def test_an_extracted_folder_gives_the_records_of_the_archive(place, prepared, reviews, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(review_folder, "REVIEWS_PER_CLASS", 6)
    extract(tmp_path / place, reviews)
    prepare_imdb(tmp_path, print)
    for path in prepared_folder(prepared).glob("*.array_record*"):
        assert path.read_bytes() == (prepared_folder(tmp_path) / path.name).read_bytes()
    assert capfd.readouterr().out.startswith(f"reading {tmp_path / place / 'aclImdb'}\n")


def test_of_archive_and_extracted_folder_the_archive_is_read(make_archive, reviews, tmp_path, capfd):
    archive = make_archive(tmp_path, reviews)
    extract(tmp_path, {"aclImdb/train/pos/1_7.txt": "damaged"})
    prepare_imdb(tmp_path, print)
    assert capfd.readouterr().out.startswith(f"reading {archive}\n")


@pytest.mark.parametrize("missing", ["train/pos", "test/neg/3"])
def test_a_folder_that_was_extracted_in_part_is_reported_and_leaves_nothing(missing, reviews, tmp_path, monkeypatch):
    monkeypatch.setattr(review_folder, "REVIEWS_PER_CLASS", 6)
    extract(tmp_path, {name: text for name, text in reviews.items() if missing not in name})
    before = tree(tmp_path)
    message = rf"aclImdb/{missing[:9].rstrip('/')} has [05] reviews of 6, so the archive was not extracted to its end"
    with pytest.raises(UserError, match=message):
        prepare_imdb(tmp_path, silent)
    assert tree(tmp_path) == before


def test_a_prepared_folder_is_left_alone(prepared):
    before = [(path, path.stat().st_mtime_ns) for path in sorted(prepared.rglob("*"))]
    prepare_imdb(prepared, pytest.fail)
    assert [(path, path.stat().st_mtime_ns) for path in sorted(prepared.rglob("*"))] == before


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_truncated_archive_is_reported_and_leaves_nothing(kept, make_archive, reviews, tmp_path):
    path = make_archive(tmp_path, reviews)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    before = tree(tmp_path)
    with pytest.raises(UserError, match="truncated or damaged: delete it"):
        prepare_imdb(tmp_path, silent)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("missing", ["train/neg", "train/pos", "test/neg", "test/pos"])
def test_an_empty_class_is_reported_and_leaves_nothing(missing, make_archive, reviews, tmp_path):
    make_archive(tmp_path, {name: text for name, text in reviews.items() if missing not in name})
    before = tree(tmp_path)
    with pytest.raises(UserError, match=rf"no review under aclImdb/{missing}/\*\.txt"):
        prepare_imdb(tmp_path, silent)
    assert tree(tmp_path) == before


def test_a_failure_while_tfds_writes_leaves_nothing(make_archive, reviews, tmp_path, monkeypatch):
    from tensorflow_datasets.core import writer

    make_archive(tmp_path, reviews)
    before = tree(tmp_path)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer.Writer, "finalize", full)
    with pytest.raises(UserError, match=r"cannot be written .*No space left .*--data-dir"):
        prepare_imdb(tmp_path, silent)
    assert tree(tmp_path) == before


def test_another_file_format_is_reported(tmp_path):
    folder = prepared_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "imdb_reviews-train.tfrecord-00000-of-00001").touch()
    with pytest.raises(UserError, match=r"another file format than array_record.*--data-dir"):
        prepare_imdb(tmp_path, silent)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs a folder that even root cannot write")
def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"cannot be written into /proc .*--data-dir"):
        prepare_imdb(Path("/proc"), silent)


def point_tfds_at(monkeypatch, url, sha256="0" * 64):
    with quiet_tfds() as tfds:
        cls = tfds.builder_cls("imdb_reviews")
    infos = cls.url_infos
    (info,) = infos.values()
    monkeypatch.setattr(info, "checksum", sha256)
    (old,) = infos
    monkeypatch.setitem(infos, url, info)
    monkeypatch.delitem(infos, old)


def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def mute_server():
    """A server that takes the connection and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def check_named(error, url, data_dir):
    message = str(error.value)
    assert f"aclImdb_v1.tar.gz could not be downloaded from {url}" in message
    assert f"put it into {data_dir}/downloads/manual" in message
    assert f"--data-dir {data_dir}" in message


def test_no_network_names_file_folder_and_flag_and_leaves_nothing(tmp_path, monkeypatch):
    url = f"http://127.0.0.1:{closed_port()}/aclImdb_v1.tar.gz"
    point_tfds_at(monkeypatch, url)
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        prepare_imdb(tmp_path, silent)
    assert time.monotonic() - start < 9
    check_named(error, url, tmp_path)
    assert tree(tmp_path) == []


def test_no_answer_is_given_up_within_the_limit(tmp_path, monkeypatch, mute_server):
    monkeypatch.setattr(archive_module, "CONNECT_SECONDS", 0.3)
    url = f"http://127.0.0.1:{mute_server}/aclImdb_v1.tar.gz"
    point_tfds_at(monkeypatch, url)
    with pytest.raises(UserError, match=r"timed out|no answer within 0\.3 seconds") as error:
        prepare_imdb(tmp_path, silent)
    check_named(error, url, tmp_path)
    assert tree(tmp_path) == []


def test_a_name_look_up_that_hangs_is_given_up_within_the_limit(tmp_path, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(archive_module, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait())
    point_tfds_at(monkeypatch, "http://name.invalid/aclImdb_v1.tar.gz")
    with pytest.raises(UserError, match=r"no answer within 0\.3 seconds"):
        prepare_imdb(tmp_path, silent)
    released.set()


def test_the_default_limit_leaves_time_to_import_tfds():
    assert archive_module.CONNECT_SECONDS <= 6


def test_downloads_and_prepares(serve, make_archive, reviews, tmp_path, monkeypatch):
    folder, address = serve
    content = make_archive(folder, reviews).read_bytes()
    url = f"{address}/downloads/manual/aclImdb_v1.tar.gz"
    point_tfds_at(monkeypatch, url, hashlib.sha256(content).hexdigest())
    messages = []
    prepare_imdb(tmp_path, messages.append)
    assert messages[0] == f"downloading {url}"
    assert (tmp_path / "downloads" / "manual" / "aclImdb_v1.tar.gz").read_bytes() == content
    assert prepared_folder(tmp_path).is_dir()


def test_a_download_that_is_not_the_expected_file_is_thrown_away(serve, tmp_path, monkeypatch):
    folder, address = serve
    (folder / "aclImdb_v1.tar.gz").write_bytes(b"half")
    point_tfds_at(monkeypatch, f"{address}/aclImdb_v1.tar.gz")
    with pytest.raises(UserError, match="not the expected file"):
        prepare_imdb(tmp_path, silent)
    assert tree(tmp_path) == []
