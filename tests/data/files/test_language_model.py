import numpy as np
import pytest

from rnnjax.data.dataset import Objective, Sizes
from rnnjax.data.files.language_model import character_dataset, read_text_file
from rnnjax.errors import UserError

SETTINGS = {"window": 4, "validation_fraction": 0.2, "test_fraction": 0.25}


def spelt(dataset, ids):
    return "".join(dataset.vocabulary[i] for i in ids.ravel())


def test_windows_read_one_after_another_are_the_text_and_labels_are_one_ahead():
    text = "".join(np.random.default_rng(0).choice(list("ab cé\nœ😀"), size=200))
    dataset = character_dataset(text, **SETTINGS)
    for split, start, end in (("train", 0, 110), ("validation", 110, 150), ("test", 150, 200)):
        examples = getattr(dataset, split)
        assert examples.inputs.shape == examples.labels.shape == ((end - start - 1) // 4, 4)
        assert text[start:end].startswith(spelt(dataset, examples.inputs))
        assert text[start + 1 : end].startswith(spelt(dataset, examples.labels))
        assert end - start - examples.inputs.size <= 4  # of which one is the last label
        assert (examples.lengths == 4).all()
        assert {array.dtype for array in examples[:3]} == {np.dtype(np.int32)}
    assert dataset.vocabulary == ("<pad>", "<unk>", *sorted(set(text[:110])))
    assert dataset.objective is Objective.SYMBOLS
    assert dataset.carried
    assert dataset.sizes == Sizes(10, 0, 10)


def test_characters_that_training_has_not_seen_are_unknown_and_nothing_is_padding():
    text = "ab" * 30 + "azbz" * 5 + "yab\0" * 5
    dataset = character_dataset(text, window=4, validation_fraction=0.2, test_fraction=0.2)
    assert dataset.vocabulary == ("<pad>", "<unk>", "a", "b")
    assert dataset.validation.inputs[0].tolist() == [2, 1, 3, 1]
    assert dataset.validation.labels[0].tolist() == [1, 3, 1, 2]
    assert all(part.labels.min() > 0 and part.inputs.min() > 0 for part in dataset[:3])


def test_the_baseline_is_the_cross_entropy_of_the_frequencies():
    dataset = character_dataset(
        "aab" * 20 + "abb" * 5 + "abx" * 8 + "a", window=3, validation_fraction=0.15, test_fraction=0.25
    )
    assert spelt(dataset, dataset.train.inputs).startswith("aabaab")
    assert set(spelt(dataset, dataset.test.labels)) == {"a", "b", "<", "u", "n", "k", ">"}
    stretch = ("aab" * 20)[:60]
    chances = {"a": 41 / 63, "b": 21 / 63, "x": 1 / 63}
    assert (stretch.count("a"), stretch.count("b")) == (40, 20)
    expected = -np.mean([np.log(chances[c]) for c in "bxa" * 8])
    assert dataset.test.labels.size == 24
    assert dataset.baseline == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", ["", "a", "abc" * 7])
def test_a_text_too_short_for_a_window_in_each_part_is_refused(text):
    with pytest.raises(UserError, match=f"{len(text)} characters are too few"):
        character_dataset(text, **SETTINGS)


def test_the_shortest_text_has_one_window_in_each_part():
    dataset = character_dataset("abcde" * 5, window=4, validation_fraction=0.2, test_fraction=0.2)
    assert [len(part.inputs) for part in dataset[:3]] == [3, 1, 1]


@pytest.mark.parametrize(
    "wrong",
    [{"window": 0}, {"validation_fraction": 0.0}, {"test_fraction": 1.5}, {"validation_fraction": 0.75}],
)
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(UserError, match=str(next(iter(wrong.values())))):
        character_dataset("ab" * 100, **{**SETTINGS, **wrong})


def test_a_file_is_read_without_byte_order_mark_and_carriage_returns(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffOne\r\ntwo\rthree\n".encode())
    assert read_text_file(path) == "One\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one\r\ntwo\nth\xe9 end", "Line 3 of .* is not UTF-8 .byte 0xe9"),
        ("one".encode("utf-16"), "Line 1 of .* is not UTF-8"),
        ("one\ntwo".encode("utf-16-le"), "Line 1 of .* NUL"),
        (b"\xef\xbb\xbf\n", "is empty"),
    ],
)
def test_a_file_that_is_no_text_is_reported(content, message, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_text_file(path)


def test_a_missing_file_and_a_folder_are_reported(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        read_text_file(tmp_path / "missing.txt")
    with pytest.raises(UserError, match="is a folder"):
        read_text_file(tmp_path)
