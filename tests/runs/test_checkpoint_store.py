"""Checkpoints come back to the last bit, or not at all."""

import os
import shutil

import jax
import numpy as np
import pytest
from stored import METADATA, filled, names, same, state

from rnnjax.runs.checkpoint_store import CheckpointStore


def test_what_was_saved_comes_back_to_the_last_bit(store):
    assert store.restore(state(0)) is None
    store.save(3, state(3), METADATA)
    step, arrays, metadata = store.restore(state(0))
    assert (step, metadata) == (3, {"seconds": 0.1, "members": [{"loss": float("inf"), "words": "é'", "1": None}]})
    assert same(state(3), arrays)
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), {"w": state(0)["weights"]})
    store.save(4, {"w": state(4)["weights"]}, {})
    assert same({"w": state(4)["weights"]}, store.restore(like).arrays)
    assert store.said == []


def test_the_arrays_are_copied_and_the_same_step_is_not_written_again(store):
    arrays = state(1)
    store.save(1, arrays, {"first": True})
    arrays["zeros"] += 1
    store.save(1, state(2), {"first": False})
    assert same(state(1), store.restore(state(0)).arrays)
    assert store.restore(state(0)).metadata == {"first": True}


def test_the_metadata_of_an_older_version_is_read(store, monkeypatch):
    save = store._orbax.save

    def save_as_before(path, leaves, custom_metadata):
        save(path, leaves, custom_metadata={"told": custom_metadata.pop("metadata"), **custom_metadata})

    monkeypatch.setattr(store._orbax, "save", save_as_before)
    store.save(2, state(2), {"first": True})
    step, arrays, metadata = store.restore(state(0))
    assert (step, metadata) == (2, {"first": True})
    assert same(state(2), arrays)


def test_only_the_newest_are_kept_and_what_is_discarded_is_gone(store, tmp_path):
    for step in (5, 10, 200):
        store.save(step, state(step), {})
    assert {"5", "10"} <= set(names(tmp_path / "new"))
    store.wait()
    assert names(tmp_path / "new") == ["10", "200"]
    store.save(300, state(300), {})
    store.discard()
    assert not (tmp_path / "new").exists()
    store.discard()


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [flip, truncate, empty, os.remove])
def test_whatever_file_is_harmed_the_checkpoint_is_set_aside(harm, tmp_path):
    filled(tmp_path / "sound", 4, 8)
    files = [path.relative_to(tmp_path / "sound") for path in (tmp_path / "sound" / "8").rglob("*") if path.is_file()]
    assert {"sha256.json", "_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt"} <= {file.name for file in files}
    assert any(file.parts[-2] == "d" for file in files)
    said = []
    with CheckpointStore(tmp_path / "x", keep=2, warn=said.append) as store:
        for file in files:
            shutil.copytree(tmp_path / "sound", tmp_path / "x")
            harm(tmp_path / "x" / file)
            step, arrays, metadata = store.restore(state(0))
            assert (step, metadata) == (4, {"at": 4}), file
            assert same(state(4), arrays)
            assert said[-1].startswith(f"The checkpoint of step 8 in {tmp_path / 'x'} is damaged (")
            assert said[-1].endswith("); continuing from that of step 4.")
            assert names(tmp_path / "x") == ["4", "damaged-8"]
            shutil.rmtree(tmp_path / "x")
    assert len(said) == len(files)


def test_where_none_is_whole_training_starts_anew_and_goes_on_saving(store, tmp_path):
    for run in (1, 2):
        store.save(8, state(run), {"run": run})
        store.wait()
        flip(tmp_path / "new" / "8" / "_METADATA")
        assert store.restore(state(0)) is None
    why = f"The checkpoint of step 8 in {tmp_path / 'new'} is damaged (_METADATA is not as it was written)"
    assert store.said == [f"{why}; training starts anew."] * 2
    assert names(tmp_path / "new") == ["damaged-8", "damaged-8-2"]
    store.save(8, state(3), {"run": 3})
    assert store.restore(state(0)).metadata == {"run": 3}


@pytest.mark.parametrize(
    "other",
    [
        state(0) | {"zeros": np.zeros((4, 5))},
        state(0) | {"zeros": np.zeros((4, 4), np.float32)},
        state(0) | {"more": np.zeros(1)},
        {"weights": state(0)["weights"]},
    ],
    ids=["shape", "dtype", "more", "less"],
)
def test_arrays_of_another_kind_are_set_aside(other, store, tmp_path):
    store.save(8, state(8), {})
    assert store.restore(other) is None
    (line,) = store.said
    assert "(it holds other arrays than this run has); training starts anew." in line
    assert names(tmp_path / "new") == ["damaged-8"]


def test_what_a_kill_left_half_written_neither_counts_nor_hinders(tmp_path):
    filled(tmp_path, 4)
    shutil.copytree(tmp_path / "4", tmp_path / "8.partial")
    shutil.copytree(tmp_path / "4", tmp_path / "9.partial.orbax-checkpoint-tmp")
    with CheckpointStore(tmp_path, keep=9, warn=pytest.fail) as store:
        assert names(tmp_path) == ["4"]
        shutil.copytree(tmp_path / "4", tmp_path / "8.partial.orbax-checkpoint-tmp")
        assert store.restore(state(0)).step == 4
        store.save(8, state(8), {})
        assert store.restore(state(0)).step == 8
    assert names(tmp_path) == ["4", "8"]
