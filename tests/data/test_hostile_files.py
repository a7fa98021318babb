"""Pipes, devices and bombs in place of data files: one sentence, before anything is read or unpacked."""

import gzip
import io
import os
import tarfile
import zipfile

import numpy as np
import pytest

from rnnjax.data import npz
from rnnjax.data.cache import load_arrays
from rnnjax.data.files import series_reader
from rnnjax.data.files.file_reader import read_bytes
from rnnjax.data.files.series_reader import read_series
from rnnjax.data.tfds import download, idx
from rnnjax.data.tfds.download import read_review_archive
from rnnjax.data.tfds.idx import read_idx
from rnnjax.errors import UserError

READERS = {
    "text.csv": read_bytes,
    "series.npz": read_series,
    "archive.tar.gz": read_review_archive,
    "images.gz": read_idx,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "it is a pipe, not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a regular file"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 40), "it has more than "),
    ],
    ids=["pipe", "device", "sparse"],
)
def test_what_is_no_regular_file_of_sensible_size_is_refused(tmp_path, name, make, reason):
    make(tmp_path / name)
    with pytest.raises(UserError) as error:
        READERS[name](tmp_path / name)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
    assert load_arrays(tmp_path / name) is None


def test_bombs_are_not_unpacked(tmp_path, monkeypatch):
    for module, limit in ((download, "MOST_ARCHIVE"), (idx, "MOST_BYTES"), (npz, "MOST_BYTES")):
        monkeypatch.setattr(module, limit, 1 << 20)
    zeros = bytes(1 << 22)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", zeros)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(zeros))
    for name, read in (("bomb.npz", read_series), ("bomb.gz", read_review_archive), ("bomb.gz", read_idx)):
        with pytest.raises(UserError, match=r"it has more than 1 MB|file could not be opened|invalid header"):
            read(tmp_path / name)


def test_a_review_of_an_archive_has_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MOST_REVIEW", 1 << 10)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("aclImdb/train/neg/1_1.txt")
        member.size = 2000
        archive.addfile(member, io.BytesIO(bytes(2000)))
    with pytest.raises(UserError, match="it has more than 1 kB"):
        read_review_archive(tmp_path / "a.tar.gz")


def test_one_long_series_among_short_ones_is_told_before_it_is_padded(tmp_path, monkeypatch):
    lengths = np.array([60] * 59 + [1_000_000])
    np.savez(tmp_path / "x.npz", x=np.zeros(lengths.sum()), lengths=lengths, y=np.arange(60) % 2)
    said, told = [], series_reader.np.zeros
    monkeypatch.setattr(series_reader.np, "zeros", lambda *_: (_ for _ in ()).throw(MemoryError(len(said))))
    with pytest.raises(MemoryError, match="1"):  # the line came first
        read_series(tmp_path / "x.npz", said.append)
    monkeypatch.setattr(series_reader.np, "zeros", told)
    shape = (
        f"he longest of the 60 series of {tmp_path / 'x.npz'} has 1,000,000 steps, half of them have at most 60, and "
        "all are padded to the longest, which takes about 3.4 GB"
    )
    assert said == [f"t{shape}; cut the longest into parts, or remove them, to need less"]
    monkeypatch.setattr(series_reader, "_memory", lambda: 2 * 10**9)
    with pytest.raises(UserError) as error:
        read_series(tmp_path / "x.npz", said.append)
    assert str(error.value) == f"T{shape} of 2.0 GB; cut the longest into parts or remove them."
