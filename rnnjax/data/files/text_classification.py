"""Data for text classification from the user's own files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from rnnjax.data.dataset import SPECIAL_WORDS, UNKNOWN, Dataset, Examples
from rnnjax.data.files.labels import (
    check_split_arguments,
    class_ids,
    class_names,
    class_objective,
    constant_baseline,
    split_examples,
)
from rnnjax.data.files.text_reader import Row, TextFormat, read_rows
from rnnjax.data.preprocessing import KEEP_CHOICES, Keep, WordPreprocessing
from rnnjax.data.vocabulary import build_vocabulary, encode
from rnnjax.errors import UserError

MOSTLY_UNKNOWN = 0.5  # share of unknown words above which the user is warned


def text_dataset_from_files(
    *,
    train: Path,
    test: Path | None,
    form: TextFormat,
    vocabulary_size: int,
    max_length: int,
    keep: Keep,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Texts of two or more classes from files or folders (see ``read_rows``).

    The labels in ``train`` define the classes, in alphabetical order, or in numerical order if all are integers. The
    vocabulary is built from the training split alone. A text without words becomes one "<unk>".

    Args:
        train: The file or folder of the training and the validation split.
        test: That of the test split; None takes part of ``train``.
        form: Columns and encoding of both.
        vocabulary_size: Largest number of ids, including "<pad>" and "<unk>"; at least 3.
        max_length: Words kept of each text, at least 1.
        keep: Whether the "last" or the "first" words of a longer text are kept.
        validation_fraction: Fraction of the texts in ``train`` for validation, between 0 and 1; stratified by class.
        test_fraction: The same for the test split; without effect if ``test`` is given.
        seed: Seed of the split, not negative.
        progress: Called with one line at each stage, and for each thing about the texts that the user should know.

    Returns:
        The three splits, with inputs (N, max_length).

    Raises:
        UserError: If an argument is out of range, a file cannot be read or parsed, ``train`` has fewer than two
            classes or too few texts, or ``test`` has a label that ``train`` does not have.
    """
    split_off = test_fraction if test is None else None
    check_split_arguments(validation_fraction=validation_fraction, test_fraction=split_off, seed=seed)
    _check_arguments(vocabulary_size, max_length, keep)
    report = progress or (lambda message: None)
    rows = _read(train, form, report)
    classes = class_names((row.label for row in rows), train)
    labels = _class_ids(rows, classes, train, train)
    parts = split_examples(labels, validation_fraction=validation_fraction, test_fraction=split_off, seed=seed)
    if test is None:
        test_rows, test_labels = [rows[i] for i in parts.test], labels[parts.test]
    else:
        test_rows = _read(test, form, report)
        test_labels = _class_ids(test_rows, classes, test, train)

    report("building the vocabulary")
    vocabulary = build_vocabulary((rows[i].text for i in parts.train), vocabulary_size)

    def examples(split_rows: list[Row], split_labels: np.ndarray) -> Examples:
        report(f"encoding {len(split_rows):,} texts")
        texts = [row.text for row in split_rows]
        return Examples(*encode(texts, vocabulary, max_length=max_length, keep=keep), split_labels)

    baseline, chance = constant_baseline(labels[parts.train])
    dataset = Dataset(
        train=examples([rows[i] for i in parts.train], labels[parts.train]),
        validation=examples([rows[i] for i in parts.validation], labels[parts.validation]),
        test=examples(test_rows, test_labels),
        vocabulary=vocabulary,
        objective=class_objective(classes),
        classes=classes,
        baseline=baseline,
        chance=chance,
        preprocessing=WordPreprocessing(max_length=max_length, keep=keep),
    )
    _warn(dataset, max_length, report)
    return dataset


def _warn(dataset: Dataset, max_length: int, report: Callable[[str], None]) -> None:
    """Report texts that are not divided into words, and words that the vocabulary lacks."""
    if max_length > 1 and dataset.train.lengths.max() == 1:
        report("warning: every text is a single word; put spaces between the words of a text")
    for name, split in (("training", dataset.train), ("validation", dataset.validation), ("test", dataset.test)):
        unknown = np.sum(split.inputs == UNKNOWN) / np.sum(split.lengths)
        if unknown > MOSTLY_UNKNOWN:
            report(
                f"warning: {unknown:.0%} of the words of the {name} texts are not in the vocabulary; give more "
                "training texts, a larger --vocabulary, or texts of the same language"
            )


def _check_arguments(vocabulary_size: int, max_length: int, keep: str) -> None:
    if vocabulary_size <= len(SPECIAL_WORDS):
        raise UserError(f"vocabulary_size is {vocabulary_size}; give at least {len(SPECIAL_WORDS) + 1}.")
    if max_length < 1:
        raise UserError(f"max_length is {max_length} words; give a number of at least 1.")
    if keep not in KEEP_CHOICES:
        raise UserError(f'keep is "{keep}"; give one of {", ".join(KEEP_CHOICES)}.')


def _read(path: Path, form: TextFormat, report: Callable[[str], None]) -> list[Row]:
    report(f"reading {path}")
    rows, skipped = read_rows(path, form, note=report)
    if skipped:
        report(f"skipped {skipped:,} empty {'row' if skipped == 1 else 'rows'} of {path}")
    return rows


def _class_ids(rows: list[Row], classes: tuple[str, ...], path: Path, train: Path) -> np.ndarray:
    return class_ids([row.label for row in rows], classes, lambda i: rows[i].place(path), train)
