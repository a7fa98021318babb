import json
import shutil
from pathlib import Path

import pytest
from shards import FLAGS, files, shard_of
from synthetic_run import write_member, write_run

from rnnjax.report.run_report import write_report
from rnnjax.runs.merge import merge_runs, merged_folder, shards_of_one_study
from rnnjax.runs.reader import load_run, read_vocabulary


@pytest.fixture
def shards(tmp_path):
    return [shard_of(tmp_path / "big-1", "1/2", "GRU", "LSTM"), shard_of(tmp_path / "big-2", "2/2", "SimpleRNN")]


def test_the_merge_is_a_run_of_all_members(shards, tmp_path):
    (shards[0] / "members" / "gru-seed0" / "tensorboard").mkdir()
    (shards[0] / "members" / "gru-seed0" / "tensorboard" / "events").write_text("many")
    (shards[0] / "checkpoints").mkdir()
    before = [files(run) for run in shards]
    merged = merge_runs(shards, tmp_path / "out")
    assert merged == (tmp_path / "out", (), ())
    config = json.loads((merged.folder / "config.json").read_text())
    assert config == {
        "format_version": 0,  # as of the shards, which were written before there were versions
        "experiment": "recall",
        "flags": FLAGS | {"out": None, "shard": None},
        "contents": {},
    }
    environment = json.loads((merged.folder / "environment.json").read_text())
    assert environment == {"python": "3.11", "devices": ["cpu:0"], "merged": ["big-1", "big-2"]}
    assert sorted(path.name for path in merged.folder.iterdir()) == [
        *("config.json", "environment.json", "members", "vocabulary.json")
    ]
    assert [member.label for member in load_run(merged.folder).members] == ["GRU", "LSTM", "SimpleRNN"]
    members = files(shards[0] / "members") | files(shards[1] / "members")
    del members["gru-seed0/tensorboard/events"]
    assert files(merged.folder / "members") == members
    assert [files(run) for run in shards] == before
    assert write_report(merged.folder).exists()


def test_members_keep_the_vocabulary_of_their_shard(shards, tmp_path):
    words = '["<pad>", "good", "bad"]'
    (shards[1] / "vocabulary.json").write_text(words)
    merged = merge_runs(shards, tmp_path / "out").folder
    assert read_vocabulary(merged) == ("<pad>", "good")
    assert read_vocabulary(merged / "members" / "simplernn-seed0") == ("<pad>", "good", "bad")
    assert not (merged / "members" / "gru-seed0" / "vocabulary.json").exists()


def test_shards_that_differ_in_tensorboard_alone_are_of_one_study(tmp_path):
    flags = [{"training": {"clip": 1.0, "tensorboard": tensorboard}} for tensorboard in (True, False)]
    runs = [shard_of(tmp_path / f"big-{i}", f"{i}/2", f"GRU{i}", **flags[i - 1]) for i in (1, 2)]
    assert shards_of_one_study(runs)


def test_missing_shards_and_members_without_an_outcome_are_named(tmp_path):
    runs = [shard_of(tmp_path / f"s{i}", f"{i}/4", f"GRU {i}") for i in (4, 1)]
    write_member(runs[0], "LSTM", test=None)
    write_member(runs[1], "SimpleRNN", failure="It diverged.")
    (runs[1] / "members" / "unborn-seed0").mkdir()
    assert merge_runs(runs, tmp_path / "out")[1:] == (("2/4", "3/4"), ("lstm-seed0", "unborn-seed0"))


def test_shards_may_be_numbered_with_leading_zeros(tmp_path):
    runs = [shard_of(tmp_path / f"s{i}", shard, f"GRU {i}") for i, shard in enumerate(("01/04", "3/4", "004/4"))]
    assert merge_runs(runs, tmp_path / "out").missing == ("2/4",)


def test_a_merge_is_brought_up_to_date(shards, tmp_path):
    out = tmp_path / "out"
    (shards[1] / "members" / "simplernn-seed0" / "result.json").rename(tmp_path / "result.json")
    assert merge_runs(shards, out).unfinished == ("simplernn-seed0",)
    write_report(out)
    (tmp_path / "result.json").rename(shards[1] / "members" / "simplernn-seed0" / "result.json")
    (shards[0] / "members" / "gru-seed0" / "params.msgpack").unlink()
    write_member(shards[1], "SimpleRNN", 1)
    assert merge_runs(shards, out).unfinished == ()
    assert len(load_run(out).members) == 4
    assert files(out / "members") == files(shards[0] / "members") | files(shards[1] / "members")


@pytest.mark.parametrize("killed_at", range(6))
def test_a_merge_that_was_killed_is_repeated(shards, tmp_path, monkeypatch, killed_at):
    """Killed in the middle of the copy of each of the three members, and behind it before it has its name."""
    out, done = tmp_path / "out", []
    mkdir, rename = Path.mkdir, Path.rename

    def half_a_copy(folder, **options):
        mkdir(folder, **options)
        if folder.suffix == ".partial":
            if len(done) == killed_at:
                (folder / "member.json").write_text("torn")
                raise KeyboardInterrupt
            done.append(folder)

    def no_name(source, to):
        if len(done) == killed_at:
            raise KeyboardInterrupt
        done.append(rename(source, to))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", half_a_copy)
        patched.setattr(Path, "rename", no_name)
        with pytest.raises(KeyboardInterrupt):
            merge_runs(shards, out)
    assert (len(done), (out / "config.json").exists()) == (killed_at, False)
    merge_runs(shards, out)
    assert files(out / "members") == files(shards[0] / "members") | files(shards[1] / "members")
    assert len(load_run(out).members) == 3


def test_half_a_copy_in_an_older_merge_is_no_member(shards, tmp_path):
    merge_runs(shards, tmp_path / "out")
    shutil.copytree(shards[0] / "members" / "gru-seed0", tmp_path / "out" / "members" / "gru-seed0.partial")
    assert len(load_run(tmp_path / "out").members) == 3
    merge_runs(shards, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_an_empty_folder_is_taken(shards, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "environment.json.partial").write_text("{")
    assert len(load_run(merge_runs(shards, tmp_path / "out").folder).members) == 3


def test_which_folders_are_shards_of_one_study(shards, tmp_path):
    assert shards_of_one_study(shards)
    assert not shards_of_one_study(shards[:1])
    assert not shards_of_one_study([*shards, tmp_path])
    assert not shards_of_one_study([*shards, shard_of(tmp_path / "whole", None)])
    assert not shards_of_one_study([*shards, write_run(tmp_path / "old", flags={"hidden": 64})])
    assert not shards_of_one_study([*shards, shard_of(tmp_path / "other", "2/2", hidden=65)])
    assert shards_of_one_study([*shards, shard_of(tmp_path / "elsewhere", "2/2", data_dir="/data")])


@pytest.mark.parametrize(
    ("names", "merged"),
    [
        (["big-1", "big-2"], "big-merged"),
        (["big-10", "big-11"], "big-merged"),
        (["a-big", "b-big"], "big-merged"),
        (["a/big", "b/big"], "a/big-merged"),
        (["recall-20261123-120000", "recall-20261123-120500"], "recall-20261123-merged"),
        (["one", "two"], "one-merged"),
        (["12", "13"], "12-merged"),
    ],
)
def test_the_default_folder_lies_beside_the_first(tmp_path, names, merged):
    assert merged_folder([tmp_path / name for name in names]) == tmp_path.resolve() / merged
