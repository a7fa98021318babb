import numpy as np
import pytest

from rnnjax.data import cache
from rnnjax.data.tfds.builder import prepared_folder


def test_the_cache_gives_back_what_was_encoded(load, tmp_path, same):
    messages = []
    fresh = load(progress=messages.append)
    assert messages == [
        "reading 12 reviews of the train split",
        "reading 12 reviews of the test split",
        "building the vocabulary",
        "encoding 9 reviews",
        "encoding 3 reviews",
        "encoding 12 reviews",
    ]
    assert same(load(progress=pytest.fail), fresh)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npz"]
    isolated = load(cache_dir=tmp_path / "other", progress=messages.append)
    assert len(messages) == 12
    assert same(isolated, fresh)


@pytest.mark.parametrize(
    "change",
    [
        {"vocabulary_size": 39},
        {"max_length": 7},
        {"keep": "first"},
        {"validation_fraction": 0.3},
        {"seed": 1},
    ],
)
def test_every_argument_changes_the_cache_key(load, tmp_path, change):
    load()
    load(**change)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_another_format_changes_the_cache_key(load, tmp_path, monkeypatch):
    load()
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    load()
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_other_prepared_data_changes_the_cache_key_and_a_copy_does_not(load, prepared, tmp_path):
    load()
    copy = tmp_path / "copy"
    target = prepared_folder(copy)
    target.mkdir(parents=True)
    for path in prepared_folder(prepared).iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    load(data_dir=str(copy))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    with (target / "dataset_info.json").open("a") as file:
        file.write("\n")
    load(data_dir=str(copy))
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"no archive",
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"wonderful", b"wonderfux"),
    ],
    ids=["empty", "other", "cut", "changed"],
)
def test_a_damaged_cache_is_rebuilt(load, tmp_path, damage, same):
    fresh = load()
    (path,) = (tmp_path / "cache").iterdir()
    whole = path.read_bytes()
    assert damage(whole) != whole
    path.write_bytes(damage(whole))
    messages = []
    assert same(load(progress=messages.append), fresh)
    assert messages[0].startswith("reading")
    assert same(load(progress=pytest.fail), fresh)


def test_a_cache_that_cannot_be_written_is_no_failure(load, tmp_path, same):
    (tmp_path / "file").touch()
    messages = []
    assert same(load(cache_dir=tmp_path / "file" / "cache", progress=messages.append), load())
    assert "could not be cached" in messages[-1]


def test_a_full_disk_leaves_no_torn_cache(load, tmp_path, monkeypatch):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    messages = []
    load(progress=messages.append)
    assert "No space left" in messages[-1]
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_default_cache_is_the_users(load, no_home):
    load(cache_dir=None)
    assert len(list(no_home.rglob("imdb-*.npz"))) == 1
