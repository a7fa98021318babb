import gzip
import json

import numpy as np
import pytest

from rnnjax.data.dataset import Objective, Sizes
from rnnjax.data.files.text_classification import text_dataset_from_files
from rnnjax.data.files.text_reader import TextFormat
from rnnjax.errors import UserError

SETTINGS = {
    "test": None,
    "form": TextFormat(),
    "vocabulary_size": 1000,
    "max_length": 3,
    "keep": "last",
    "validation_fraction": 0.2,
    "test_fraction": 0.3,
    "seed": 0,
}
NASTY = (
    b"\xef\xbb\xbflabel\ttext\r\n"
    b'+\t"tabs\tin ""quotes"""\r\n'
    b"\r\n"
    b'-\t"two\r\nlines"\r\n'
    b"\t\r\n"
    b"+\t...\r\n"
    b'-\t"don\'t"\r\n'
    b"+\tna\xc3\xafve\r\n"
    b"-\ta b c d e\r\n"
)


def write(path, labels):
    """A table in which every text has a word for its row and a word for its label."""
    path.write_text("text\tlabel\n" + "".join(f"Row{i} is{label}!\t{label}\n" for i, label in enumerate(labels)))
    return path


def decoded(dataset, examples):
    """(words, label) of each example."""
    for tokens, length, label in zip(*examples[:3], strict=True):
        assert not tokens[length:].any()
        yield [dataset.vocabulary[i] for i in tokens[:length]], dataset.classes[label]


def test_every_text_is_in_one_part_with_its_own_label(tmp_path):
    labels = np.random.default_rng(0).permutation(["neg"] * 30 + ["pos"] * 20)
    dataset = text_dataset_from_files(**{**SETTINGS, "train": write(tmp_path / "a.tsv", labels)})
    assert dataset.objective is Objective.BINARY
    assert dataset.classes == ("neg", "pos")
    assert dataset.sizes == Sizes(len(dataset.vocabulary), 0, 1)
    assert [len(part.labels) for part in dataset[:3]] == [25, 10, 15]
    assert [part.labels.sum() for part in dataset[:3]] == [10, 4, 6]
    seen = [
        (words, label, split)
        for split in ("train", "validation", "test")
        for words, label in decoded(dataset, getattr(dataset, split))
    ]
    assert all(words[1] == f"is{label}" for words, label, _ in seen)
    rows = {words[0]: label for words, label, split in seen if split == "train"}
    assert all(labels[int(row[3:])] == label for row, label in rows.items())
    assert len(rows) == 25
    assert {words[0] for words, _, split in seen if split != "train"} == {"<unk>"}  # no word of theirs is known
    assert len(dataset.vocabulary) == 2 + 25 + 2


def test_more_classes_by_value_and_a_test_file_of_another_kind(tmp_path):
    train = write(tmp_path / "a.tsv", [10, 9, 2] * 10)
    test = tmp_path / "b.jsonl"
    test.write_text("".join(json.dumps({"text": f"is{i} row0", "label": i}) + "\n" for i in (9, 10)))
    dataset = text_dataset_from_files(**{**SETTINGS, "train": train, "test": test, "test_fraction": 0.0})
    assert dataset.objective is Objective.CLASSES
    assert dataset.classes == ("2", "9", "10")
    assert dataset.test.labels.tolist() == [1, 2]
    assert [words[0] for words, _ in decoded(dataset, dataset.test)] == ["is9", "is10"]
    assert (len(dataset.train.labels), len(dataset.validation.labels)) == (24, 6)
    assert np.bincount(dataset.validation.labels).tolist() == [2, 2, 2]


def test_a_nasty_table(tmp_path):
    train, test = tmp_path / "a.tsv", write(tmp_path / "b.tsv", "+-")
    train.write_bytes(NASTY)
    messages = []
    dataset = text_dataset_from_files(**{**SETTINGS, "train": train, "test": test, "progress": messages.append})
    spans = f"1 row of {train} spans several lines, from a double quote that opens a field to the one that closes it"
    assert messages[:4] == [f"reading {train}", spans, f"skipped 2 empty rows of {train}", f"reading {test}"]
    assert dataset.classes == ("+", "-")
    assert (len(dataset.train.labels), len(dataset.validation.labels)) == (5, 1)
    known = [words for words, _ in decoded(dataset, dataset.train)]
    expected = [["tabs", "in", "quotes"], ["two", "lines"], ["<unk>"], ["don't"], ["naïve"], ["c", "d", "e"]]
    assert [words for words in expected if words not in known] in [[words] for words in expected]
    assert known == [words for words in expected if words in known]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NASTY + b"+\tn\xe4h\n", "^Line 11 .* not UTF-8"),
        (NASTY + b'"+\tnaw\n+\tx\n', "line 11 .* never closed"),
        (NASTY + b'\n+\t"a\nb"\tc\n', "^Line 12 .* 3 instead of 2 fields"),
        (b"label\ttext\n+\ta\n+\tb\n", r'a.tsv are "\+"; give'),
        (b"label\ttext\n+\ta\n-\tb\n", "2 examples of 2 classes are too few"),
        (b"label\ttext\n", "no labelled text"),
    ],
)
def test_what_is_wrong_is_reported_with_its_line(content, message, tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        text_dataset_from_files(**{**SETTINGS, "train": path})


def test_a_label_that_training_does_not_have_is_named_with_its_line(tmp_path):
    train, test = write(tmp_path / "a.tsv", "+-" * 10), tmp_path / "b.tsv"
    test.write_bytes(NASTY + b'\n"?"\twhat\n')
    with pytest.raises(UserError, match=r'^Line 12 of .*b.tsv has the label "\?", which .*a.tsv .*"\+", "-"'):
        text_dataset_from_files(**{**SETTINGS, "train": train, "test": test})


def test_the_seed_determines_the_parts(tmp_path):
    train = write(tmp_path / "a.tsv", "+-" * 20)
    first, again, other = (text_dataset_from_files(**{**SETTINGS, "train": train, "seed": seed}) for seed in (0, 0, 1))
    assert first.vocabulary == again.vocabulary != other.vocabulary
    assert np.array_equal(first.test.inputs, again.test.inputs)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vocabulary_size": 2},
        {"max_length": 0},
        {"keep": "middle"},
        {"validation_fraction": 1.0},
        {"test_fraction": 0.0},
        {"test_fraction": 0.8},
        {"seed": -1},
    ],
)
def test_wrong_arguments_are_named_before_a_file_is_read(wrong, tmp_path):
    with pytest.raises(UserError, match=str(next(iter(wrong.values())))):
        text_dataset_from_files(**{**SETTINGS, "train": tmp_path / "missing.tsv", **wrong})


def warnings(tmp_path, texts, **changed):
    path, messages = tmp_path / "a.tsv", []
    path.write_text("text\tlabel\n" + "".join(f"{text}\t{i % 2}\n" for i, text in enumerate(texts)))
    text_dataset_from_files(**{**SETTINGS, "train": path, "progress": messages.append, **changed})
    return [message for message in messages if message.startswith("warning")]


def test_a_warning_where_every_text_is_one_word(tmp_path):
    alone = ["warning: every text is a single word; put spaces between the words of a text"]
    assert warnings(tmp_path, ["schön", "hübsch"] * 20) == alone
    assert warnings(tmp_path, ["schön", "sehr hübsch"] * 20) == []
    assert warnings(tmp_path, ["这部电影很好看", "很"] * 20) == []
    assert warnings(tmp_path, ["sehr hübsch"] * 40, max_length=1) == []


def test_a_warning_where_most_words_are_unknown(tmp_path):
    texts = [f"word{i} other{i} the" for i in range(40)]
    advice = "are not in the vocabulary; give more training texts, a larger --vocabulary, or texts of the same language"
    assert warnings(tmp_path, texts) == [
        f"warning: 67% of the words of the validation texts {advice}",
        f"warning: 67% of the words of the test texts {advice}",
    ]
    assert len(warnings(tmp_path, texts, vocabulary_size=3)) == 3
    assert warnings(tmp_path, [f"word{i} the the" for i in range(40)]) == []


@pytest.mark.parametrize("layout", ["folders", "compressed"])
def test_folders_of_text_files_are_classes_as_in_imdbs_archive(tmp_path, layout):
    for split, count in (("train", 20), ("test", 3)):
        for label, word in (("neg", "dull"), ("pos", "fine"), ("unsup", "odd")):
            if (split, label) == ("test", "unsup"):
                continue
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                text = f"a {word}\nfilm".encode("latin-1")
                name, content = (f"{i}_7.txt.gz", gzip.compress(text)) if layout == "compressed" else (f"{i}.txt", text)
                (folder / name).write_bytes(content)
        (tmp_path / split / "urls.txt").write_text("http://example.org")
        (tmp_path / split / ".DS_Store").mkdir()
    messages, files = [], {"train": tmp_path / "train", "test": tmp_path / "test"}
    dataset = text_dataset_from_files(**{**SETTINGS, **files, "progress": messages.append})
    assert dataset.classes == ("neg", "pos")
    assert [len(part.labels) for part in dataset[:3]] == [32, 8, 6]
    assert (
        list(decoded(dataset, dataset.test))
        == [(["a", "dull", "film"], "neg")] * 3 + [(["a", "fine", "film"], "pos")] * 3
    )
    assert f"left out {tmp_path / 'train' / 'unsup'}, whose texts have no label" in messages


def test_a_folder_that_is_none_of_classes_is_refused_and_a_file_in_one_is_named(tmp_path):
    (tmp_path / "a" / "train" / "pos").mkdir(parents=True)
    (tmp_path / "a" / "train" / "pos" / "1.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"a does not hold a folder of .txt files for each class, as in a/good/1.txt"):
        text_dataset_from_files(**{**SETTINGS, "train": tmp_path / "a"})
    with pytest.raises(UserError, match=r"Line 1 of .*pos/1.txt is not UTF-8 \(byte 0xe9\)"):
        text_dataset_from_files(**{**SETTINGS, "train": tmp_path / "a" / "train"})
