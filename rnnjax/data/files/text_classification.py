"""A user's own texts with labels, as padded word ids."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from rnnjax.data.dataset import SPECIAL_WORDS, Dataset, Examples
from rnnjax.data.files.labels import (
    check_split,
    class_ids,
    class_names,
    class_objective,
    constant_answer,
    split_examples,
)
from rnnjax.data.files.text_reader import Row, read_rows
from rnnjax.data.vocabulary import KEEP_CHOICES, Keep, build_vocabulary, encode
from rnnjax.errors import UserError


def labelled_text(
    *,
    train: Path,
    test: Path | None,
    text_column: str | None,
    label_column: str | None,
    vocabulary_size: int,
    max_length: int,
    keep: Keep,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Texts of two or more classes from .tsv, .csv or .jsonl files (see ``read_rows``).

    The labels of ``train`` are the classes, in alphabetical order, or by value where all are integers; of two, the
    second has label 1. The vocabulary is built from the training part alone. A text without a word is one "<unk>".

    Args:
        train: The file from which the training and the validation part are taken.
        test: The file of the test part; None takes it from ``train``, too.
        text_column: The column, or JSON key, of the texts; None looks for "text", then for other usual names.
        label_column: The same for the labels.
        vocabulary_size: Number of ids, "<pad>" and "<unk>" among them; at least 3.
        max_length: Words kept of each text, at least 1.
        keep: Whether the "last" or the "first" words of a longer text are kept.
        validation_fraction: Part of ``train``'s texts that becomes the validation part, between 0 and 1; every class
            has about its share.
        test_fraction: The same for the test part; without effect where ``test`` is given.
        seed: Not negative; determines which texts those are.
        progress: Called with one line at each stage, and with the number of empty rows that were passed over.

    Returns:
        The three splits, tokens (N, max_length).

    Raises:
        UserError: If an argument is out of its range, a file cannot be read or parsed, ``train`` has fewer than two
            labels or too few texts, or ``test`` has a label that ``train`` does not have.
    """
    split_off = test_fraction if test is None else None
    check_split(validation_fraction=validation_fraction, test_fraction=split_off, seed=seed)
    _check(vocabulary_size, max_length, keep)
    report = progress or (lambda message: None)
    rows = _read(train, text_column, label_column, report)
    classes = class_names((row.label for row in rows), train)
    labels = _class_ids(rows, classes, train, train)
    parts = split_examples(labels, validation_fraction=validation_fraction, test_fraction=split_off, seed=seed)
    if test is None:
        test_rows, test_labels = [rows[i] for i in parts.test], labels[parts.test]
    else:
        test_rows = _read(test, text_column, label_column, report)
        test_labels = _class_ids(test_rows, classes, test, train)

    report("building the vocabulary")
    vocabulary = build_vocabulary((rows[i].text for i in parts.train), vocabulary_size)

    def examples(some_rows: list[Row], some_labels: np.ndarray) -> Examples:
        report(f"encoding {len(some_rows):,} texts")
        texts = [row.text for row in some_rows]
        return Examples(*encode(texts, vocabulary, max_length=max_length, keep=keep), some_labels)

    baseline, chance = constant_answer(labels[parts.train])
    return Dataset(
        train=examples([rows[i] for i in parts.train], labels[parts.train]),
        validation=examples([rows[i] for i in parts.validation], labels[parts.validation]),
        test=examples(test_rows, test_labels),
        vocabulary=vocabulary,
        objective=class_objective(classes),
        classes=classes,
        baseline=baseline,
        chance=chance,
    )


def _check(vocabulary_size: int, max_length: int, keep: str) -> None:
    if vocabulary_size <= len(SPECIAL_WORDS):
        raise UserError(f"vocabulary_size is {vocabulary_size}; give at least {len(SPECIAL_WORDS) + 1}.")
    if max_length < 1:
        raise UserError(f"max_length is {max_length} words; give a number of at least 1.")
    if keep not in KEEP_CHOICES:
        raise UserError(f'keep is "{keep}"; give one of {", ".join(KEEP_CHOICES)}.')


def _read(path: Path, text_column: str | None, label_column: str | None, report: Callable[[str], None]) -> list[Row]:
    report(f"reading {path}")
    rows, skipped = read_rows(path, text_column=text_column, label_column=label_column)
    if skipped:
        report(f"passed over {skipped:,} empty {'row' if skipped == 1 else 'rows'} of {path}")
    return rows


def _class_ids(rows: list[Row], classes: tuple[str, ...], path: Path, train: Path) -> np.ndarray:
    return class_ids([row.label for row in rows], classes, lambda i: f"Line {rows[i].line} of {path}", train)
