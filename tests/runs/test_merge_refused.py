import re

import pytest
from shards import files, shard_of
from synthetic_run import write_run

from rnnjax.errors import UserError
from rnnjax.runs.merge import merge_runs


@pytest.fixture
def shards(tmp_path):
    return [shard_of(tmp_path / "big-1", "1/2", "GRU", "LSTM"), shard_of(tmp_path / "big-2", "2/2", "SimpleRNN")]


def refused(runs, out, match):
    with pytest.raises(UserError, match=match) as caught:
        merge_runs(runs, out)
    assert "\n" not in str(caught.value)


def test_what_is_no_shard_of_one_study_is_refused(shards, tmp_path):
    out = tmp_path / "out"
    refused([shards[0], tmp_path], out, r"is not a run folder \(it holds no config.json\)")
    other = shard_of(tmp_path / "other", "2/2", "GRU b", training={"clip": 2.0})
    refused([shards[0], other], out, r"big-1' and .*other' are not of one study \(--clip is 1.0 in the first, 2.0 in")
    imdb = shard_of(tmp_path / "imdb", "2/2")
    (imdb / "config.json").write_text((imdb / "config.json").read_text().replace('"recall"', '"imdb"'))
    refused([shards[0], imdb], out, r"\(experiment is recall in the first, imdb in the second\)")
    refused([shards[0], shard_of(tmp_path / "three", "2/3")], out, r"big-1' is shard 1/2 but .*three' is 2/3")
    beyond = shard_of(tmp_path / "beyond", "3/2")
    refused([shards[0], beyond], out, r"beyond' is no shard of a study \(its --shard is 3/2\)")
    whole = shard_of(tmp_path / "whole", None)
    refused([shards[0], whole], out, r"whole' is no shard of a study \(its --shard is None\)")
    refused([write_run(tmp_path / "old", flags={"hidden": 64})], out, "old' is no shard of a study")
    assert not out.exists()


def test_a_member_that_two_folders_have_is_refused_with_both(shards, tmp_path):
    twice = shard_of(tmp_path / "twice", "2/2", "LSTM")
    refused([shards[0], twice], tmp_path / "out", r"lstm-seed0 is both in '.*big-1' and in '.*twice'")
    refused([shards[0], shards[0]], tmp_path / "out", "gru-seed0 is both in")
    assert not (tmp_path / "out").exists()


def test_nothing_but_a_merge_of_this_study_is_written_over(shards, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "folder", shards[0], shards[1]):
        before = files(place) if place.is_dir() else place.read_bytes()
        refused(shards, place, "exists and is not a merge of shards")
        assert (files(place) if place.is_dir() else place.read_bytes()) == before
    others = [shard_of(tmp_path / f"o{i}", f"{i}/2", f"GRU {i}", hidden=65) for i in (1, 2)]
    merge_runs(others, tmp_path / "others")
    differing = r"others' is a merge of another study than '.*big-1' \(--hidden is 65 in the first, 64 in the second\)"
    refused(shards, tmp_path / "others", differing)


def test_members_of_a_shard_that_is_not_named_again_are_never_lost(shards, tmp_path):
    merge_runs(shards, tmp_path / "out")
    before = files(tmp_path / "out")
    refused(shards[:1], tmp_path / "out", "holds simplernn-seed0, which none of the folders has")
    assert files(tmp_path / "out") == before


def test_a_place_that_cannot_be_written_is_one_sentence(shards, tmp_path):
    (tmp_path / "file").write_text("in the way")
    refused(shards, tmp_path / "file" / "out", re.escape("cannot be merged into"))
