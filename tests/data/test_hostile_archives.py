"""Archives of reviews with sparse files, headers that are none, and bombs: what is right is read, or one sentence."""

import gzip
import tarfile

import numpy as np
import pytest

from rnnjax.data.tfds import download
from rnnjax.data.tfds.download import read_review_archive
from rnnjax.errors import UserError

GOOD = tuple(f"aclImdb/{split}/{label}/1.txt" for split in ("train", "test") for label in ("neg", "pos"))
SPARSE = "aclImdb/train/neg/2.txt"
MAP = b"1\n0\n4\n".ljust(512, b"\0")  # one part of four bytes, at the beginning
TERABYTE = 1 << 40


def member(path, content, form=tarfile.PAX_FORMAT, **headers):
    """The bytes of one member of an archive, with headers of GNU's sparse files."""
    info = tarfile.TarInfo(path)
    info.size = len(content)
    info.pax_headers = {f"GNU.sparse.{key}": str(value) for key, value in headers.items()}
    return info.tobuf(form) + content + bytes(-len(content) % 512)


def old_sparse(real_size, parts):
    """A sparse member as GNU tar wrote them first: its parts stand in the header itself."""
    header = bytearray(member(SPARSE, b"film", tarfile.GNU_FORMAT))
    header[156:157], header[386 : 386 + len(parts)], header[483:495] = b"S", parts, real_size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


def read(path, *members):
    """The names of the reviews that are read, or the sentence."""
    content = b"".join(members) + b"".join(member(name, b"good") for name in GOOD) + bytes(1024)
    path.write_bytes(gzip.compress(content, 1))
    try:
        reviews = read_review_archive(path)
    except UserError as error:
        return str(error)
    return {name for split in reviews.values() for name in split}


@pytest.mark.parametrize(
    "sparse",
    [
        member(SPARSE, MAP + b"film", major=1, minor=0, name=SPARSE, realsize=TERABYTE),
        member(SPARSE, b"film", map="0,4", size=TERABYTE, name=SPARSE),
        old_sparse(b"\x80" + TERABYTE.to_bytes(11, "big"), b"00000000000\x0000000000004\0"),
    ],
    ids=["format 1.0", "format 0.1", "old format"],
)
def test_a_sparse_file_is_no_review(tmp_path, sparse):
    assert read(tmp_path / "a.tar.gz", sparse) == {*GOOD}


@pytest.mark.parametrize(
    ("sparse", "reason"),
    [
        (member(SPARSE, MAP, major=1, minor=0, name=SPARSE, realsize="x"), "invalid literal for int"),
        (member(SPARSE, b"99999999\n".ljust(512, b"\0"), major=1, minor=0, realsize=4), "not enough values"),
        (member(SPARSE, b"film", map="0,4,x", size=4), "invalid literal for int"),
        (old_sparse(b"q" * 12, b"z" * 24), "invalid header"),
    ],
    ids=["size", "parts", "map", "old"],
)
def test_a_damaged_sparse_header_is_a_sentence(tmp_path, sparse, reason):
    sentence = read(tmp_path / "a.tar.gz", sparse)
    assert f"{tmp_path / 'a.tar.gz'} cannot be read to its end ({reason}" in sentence


def test_an_archive_of_zeros_is_unpacked_to_its_bound_only(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MOST_ARCHIVE", 1 << 20)
    for name in ("aclImdb/unused", GOOD[0]):
        sentence = read(tmp_path / "a.tar.gz", member(name, bytes(1 << 22)))
        assert "cannot be read to its end (it has more than 1 MB)" in sentence


def test_changed_bytes_are_read_or_a_sentence(tmp_path):
    rng = np.random.default_rng(0)
    sparse = member(SPARSE, MAP + b"film", major=1, minor=0, name=SPARSE, realsize=4)
    sentences = 0
    for _ in range(200):
        changed = np.frombuffer(sparse, np.uint8).copy()
        changed[rng.integers(len(changed), size=2)] ^= rng.integers(1, 256, size=2, dtype=np.uint8)
        result = read(tmp_path / "a.tar.gz", changed.tobytes())
        assert "\n" not in result  # of a sentence; of the names a whole one
        sentences += isinstance(result, str)
    assert sentences > 20
