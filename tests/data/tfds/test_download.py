import gzip
import hashlib

import pytest

from rnnjax.data.tfds.download import download_file, read_review_archive
from rnnjax.errors import UserError


def silent(message):
    pass


def test_other_members_are_skipped(make_archive, tmp_path):
    wanted = {f"aclImdb/{split}/{label}/0_1.txt": "x" for split in ("train", "test") for label in ("neg", "pos")}
    others = {
        "aclImdb/README": "x",
        "aclImdb/train/unsup/0_0.txt": "x",
        "aclImdb/train/pos/._0_1.txt": "x",
        "aclImdb/train/pos/deeper/0_1.txt": "x",
        "other/aclImdb/train/pos/0_1.txt": "x",
    }
    reviews = read_review_archive(make_archive(tmp_path, {**{f"./{name}": "x" for name in wanted}, **others}))
    assert {name for split in reviews.values() for name in split} == set(wanted)


def test_an_archive_cut_between_two_files_is_noticed(make_archive, reviews, tmp_path):
    """The tar inside looks complete to tarfile; only the end of the gzip stream is missing."""
    path = make_archive(tmp_path, reviews)
    with gzip.open(path) as stream:
        tar = stream.read()
    whole = gzip.compress(tar[: len(reviews) * 1024])
    path.write_bytes(whole[:-4])
    with pytest.raises(UserError, match="truncated or damaged"):
        read_review_archive(path)


def test_a_changed_byte_is_noticed_by_the_checksum_at_the_very_end(make_archive, reviews, tmp_path):
    path = make_archive(tmp_path, reviews)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # the stored checksum; the tar inside is whole
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"CRC.* truncated or damaged"):
        read_review_archive(path)


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>"])
def test_a_file_that_is_no_archive_is_reported(content, tmp_path):
    path = tmp_path / "aclImdb_v1.tar.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="truncated or damaged"):
        read_review_archive(path)


def test_another_layout_is_reported(make_archive, tmp_path):
    with pytest.raises(UserError, match="not the expected archive"):
        read_review_archive(make_archive(tmp_path, {"reviews/train/pos/1.txt": "fine"}))


def test_an_address_without_the_file_is_reported(serve, tmp_path):
    target = tmp_path / "downloads" / "manual" / "aclImdb_v1.tar.gz"
    with pytest.raises(UserError, match="404") as error:
        download_file(f"{serve[1]}/nothing", "0" * 64, target, tmp_path / "partial", silent)
    assert list(tmp_path.iterdir()) == []
    assert error.value.__cause__.closed


def test_progress_counts_megabytes(serve, tmp_path):
    folder, address = serve
    content = bytes(33 << 20)
    (folder / "file").write_bytes(content)
    target = tmp_path / "a" / "b" / "file"
    messages = []
    digest = hashlib.sha256(content).hexdigest()
    download_file(f"{address}/file", digest, target, tmp_path / "partial", messages.append)
    assert [message.rsplit(": ")[-1] for message in messages[1:]] == ["16 of 33 MB", "32 of 33 MB"]
    assert target.stat().st_size == len(content)
