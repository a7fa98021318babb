import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnjax.data.preprocessing import WordPreprocessing
from rnnjax.data.tfds.builder import prepared_folder
from rnnjax.data.tfds.imdb import _read, imdb
from rnnjax.data.vocabulary import split_words
from rnnjax.errors import UserError

REAL_DATA = os.environ.get("TFDS_DATA_DIR")


def words_of(dataset, examples):
    rows = zip(examples.inputs, examples.lengths, strict=True)
    return [tuple(dataset.vocabulary[i] for i in row[:length]) for row, length in rows]


def test_splits_labels_and_words(load):
    dataset = load(max_length=20)
    assert [len(split.labels) for split in dataset[:3]] == [9, 3, 12]
    for split in dataset[:3]:
        assert {array.dtype for array in split[:3]} == {np.dtype(np.int32)}
        assert split.inputs.shape == (len(split.labels), 20)
        assert split.distances is None
        for words, label, row in zip(words_of(dataset, split), split.labels, split.inputs, strict=True):
            assert words[0] == ("wonderful" if label else "horrifying")
            assert not row[len(words) :].any()
    assert dataset.test.labels.sum() == 6


def test_the_vocabulary_is_that_of_the_training_part_alone(load):
    dataset = load(max_length=20)
    own_words = [words[-1] for words in words_of(dataset, dataset.train)]
    assert len(set(own_words)) == 9
    assert all(word.startswith("train") for word in own_words)
    assert {words[-1] for words in words_of(dataset, dataset.validation)} == {"<unk>"}
    assert {words[-1] for words in words_of(dataset, dataset.test)} == {"<unk>"}
    assert len(dataset.vocabulary) == 2 + 5 + 9  # wonderful, horrifying, the, film, so; one of each review


def test_vocabulary_size_counts_the_special_words(load):
    vocabulary = load(vocabulary_size=5).vocabulary
    assert vocabulary[:3] == ("<pad>", "<unk>", "so")
    assert len(vocabulary) == 5


def test_keeps_the_last_or_the_first_words(load):
    whole, last, first = (load(**c) for c in ({"max_length": 20}, {}, {"keep": "first"}))
    expected = words_of(whole, whole.test)
    assert words_of(last, last.test) == [words[-6:] for words in expected]
    assert words_of(first, first.test) == [words[:6] for words in expected]
    assert any(len(words) > 6 for words in expected)


def test_the_seed_chooses_the_validation_part(load, same):
    def own_words(dataset):
        return {words[-1] for words in words_of(dataset, dataset.train)}

    assert own_words(load(seed=0)) != own_words(load(seed=1))
    assert same(load(seed=1), load(seed=1))


@pytest.mark.parametrize("name", ["dataset_info.json", "imdb_reviews-test.array_record-00000-of-00001"])
def test_damaged_prepared_data_is_reported(load, make_archive, reviews, tmp_path, name):
    make_archive(tmp_path, reviews)
    load(data_dir=str(tmp_path))
    (prepared_folder(tmp_path) / name).write_bytes(b"")
    with pytest.raises(UserError, match=r"plain_text/1\.0\.0 cannot be read .*delete that folder"):
        load(data_dir=str(tmp_path))


def test_the_default_data_folder_is_that_of_tfds(load, prepared, monkeypatch, same):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert same(load(data_dir=None), load())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vocabulary_size": 2}, "vocabulary_size is 2"),
        ({"max_length": 0}, "max_length is 0"),
        ({"keep": "middle"}, 'keep is "middle"; give one of last, first'),
        ({"validation_fraction": 0.0}, r"validation_fraction is 0\.0"),
        ({"validation_fraction": 1.0}, r"validation_fraction is 1\.0"),
        ({"validation_fraction": 0.01}, "leaves one part empty"),
        ({"seed": -1}, "seed is -1"),
        ({"data_dir": "/no/such/folder"}, "/no/such/folder does not exist.*--data-dir"),
    ],
)
def test_wrong_arguments_are_reported(load, wrong, message):
    with pytest.raises(UserError, match=message):
        load(**wrong)


def test_a_fresh_process_imports_tfds_late_tensorflow_never_and_prints_nothing(
    make_archive, reviews, settings, tmp_path
):
    make_archive(tmp_path, reviews)
    program = f"""
import pathlib, sys
from rnnjax.data import batching
from rnnjax.data.synthetic import recall
from rnnjax.data.tfds import imdb
assert "tensorflow_datasets" not in sys.modules
imdb.imdb(data_dir={str(tmp_path)!r}, cache_dir=pathlib.Path({str(tmp_path)!r}), **{settings!r})
assert "tensorflow_datasets" in sys.modules
assert "tensorflow" not in sys.modules
"""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=root, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA, reason="needs the real imdb_reviews: set TFDS_DATA_DIR")
def test_the_real_reviews(tmp_path):
    dataset = imdb(
        data_dir=REAL_DATA,
        vocabulary_size=20_000,
        max_length=500,
        keep="last",
        validation_fraction=0.1,
        seed=0,
        cache_dir=tmp_path,
    )
    assert [len(split.labels) for split in dataset[:3]] == [22_500, 2_500, 25_000]
    assert len(dataset.vocabulary) == 20_000
    assert dataset.vocabulary[2:5] == ("the", "and", "a")
    assert dataset.test.labels.sum() == 12_500
    assert dataset.train.labels.sum() + dataset.validation.labels.sum() == 12_500
    everything = np.concatenate([dataset.train.lengths, dataset.validation.lengths])
    assert everything.min() >= 1
    assert everything.max() == 500
    assert 210 < everything.mean() < 225
    filled = dataset.train.inputs[np.arange(500) < dataset.train.lengths[:, None]]
    assert filled.min() >= 1
    assert 0.01 < (filled == 1).mean() < 0.05


def test_words_are_split_at_typographic_apostrophes_as_in_the_published_results(monkeypatch):
    example = {"text": "It’s DON'T très".encode(), "label": 1}
    monkeypatch.setattr("rnnjax.data.tfds.imdb.read_split", lambda *_, **__: [example])
    (text,), _ = _read(Path(), "train", print)
    assert split_words(text) == ["it", "s", "don't", "très"]


def test_the_preprocessing_is_kept_with_and_without_the_cache(load):
    assert [load(keep="first").preprocessing for _ in range(2)] == [WordPreprocessing(max_length=6, keep="first")] * 2
