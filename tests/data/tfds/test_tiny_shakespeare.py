import shutil

import pytest

from rnnjax.data.tfds import download as archive
from rnnjax.data.tfds.builder import quiet_tfds
from rnnjax.data.tfds.tiny_shakespeare import tiny_shakespeare
from rnnjax.errors import UserError

TEXT = "First Citizen:\nBefore we proceed any further, hear mé speak.\n\nAll:\nSpeak, speak.\n" * 3


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data folder with the data set prepared from TEXT, and without the file that it was made from."""
    data_dir = tmp_path_factory.mktemp("shakespeare")
    file = data_dir / "downloads" / "manual" / "input.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(TEXT.encode())
    assert tiny_shakespeare(data_dir=str(data_dir)) == TEXT
    shutil.rmtree(data_dir / "downloads")
    return data_dir


def test_the_prepared_data_set_is_read_and_is_that_of_tfds(prepared, monkeypatch):
    messages = []
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert tiny_shakespeare(data_dir=None, progress=messages.append) == TEXT
    assert len(messages) == 3
    with quiet_tfds() as tfds:
        source = tfds.data_source("tiny_shakespeare", data_dir=prepared, download=False)
    cut = int(len(TEXT) * 0.9)
    assert {split: len(stretch) for split, stretch in source.items()} == {"train": 1, "validation": 1, "test": 1}
    assert source["train"][0]["text"].decode() == TEXT[:cut]


def test_a_file_that_is_not_utf8_leaves_nothing_behind(tmp_path):
    file = tmp_path / "downloads" / "manual" / "input.txt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"All:\nSpe\xffak")
    with pytest.raises(UserError, match=r"Line 2 of .*input.txt is not UTF-8"):
        tiny_shakespeare(data_dir=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["downloads"]


def test_without_a_network_the_file_and_its_place_are_named(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(archive.urllib.request, "urlopen", no_network)
    with pytest.raises(UserError, match="no network") as error:
        tiny_shakespeare(data_dir=str(tmp_path))
    assert "tinyshakespeare/input.txt" in str(error.value)
    assert str(tmp_path / "downloads" / "manual") in str(error.value)
    assert f"--data-dir {tmp_path}" in str(error.value)


def test_a_data_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        tiny_shakespeare(data_dir=str(tmp_path / "nowhere"))
