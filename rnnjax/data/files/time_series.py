"""Data for classification or regression of time series from the user's own files."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rnnjax.data.dataset import Dataset, Examples, Objective
from rnnjax.data.files.labels import (
    check_label,
    check_split_arguments,
    class_ids,
    class_names,
    class_objective,
    constant_baseline,
    quote_names,
    split_examples,
)
from rnnjax.data.files.series_reader import Series, read_series
from rnnjax.data.preprocessing import SeriesPreprocessing
from rnnjax.errors import UserError

DECIMAL = re.compile(r" *[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)? *")


def series_dataset_from_files(
    *,
    train: Path,
    test: Path | None,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Series from .npz files with arrays x, y and, where series differ in length, ``lengths`` (see ``read_series``).

    Each feature is standardised over the valid steps of the training split; a feature that is constant there becomes
    0 everywhere. Labels that are integers, booleans or strings are classes, ordered as in ``text_dataset_from_files``;
    floating-point labels are regression targets, standardised over the training split.

    Args:
        train: The file of the training and the validation split.
        test: The file of the test split; None takes part of ``train``.
        validation_fraction: Fraction of the series in ``train`` for validation, between 0 and 1; stratified by class.
        test_fraction: The same for the test split; without effect if ``test`` is given.
        seed: Seed of the split, not negative.
        progress: Called with one line at each stage.

    Returns:
        The three splits, with inputs (N, L, D), where L is the length of the longest series.

    Raises:
        UserError: If an argument is out of range, a file cannot be read or has invalid content (see ``read_series``),
            all labels of ``train`` are equal, it has too few series, or ``test`` differs from ``train`` in the number
            of features or the kind of labels, or has a label that ``train`` does not have.
    """
    split_off = test_fraction if test is None else None
    check_split_arguments(validation_fraction=validation_fraction, test_fraction=split_off, seed=seed)
    report = progress or (lambda message: None)
    report(f"reading {train}")
    series = read_series(train, report)
    classes = () if series.has_numbers else class_names(_names(series, train), train)
    if series.has_numbers and np.ptp(series.labels) == 0:
        raise UserError(f"All labels of {train} are {series.labels[0]}; give series with different labels.")
    report(f"labels are classes: {quote_names(classes)}" if classes else "labels are numbers, which are standardised")
    if classes and series.labels.dtype.kind == "U" and _are_decimals(classes):
        report("these labels are text that reads as numbers; to predict them as numbers, save y.astype(float)")
    labels = _labels(series, classes, train, train)
    strata = labels if classes else np.zeros(len(labels), np.int32)
    parts = split_examples(strata, validation_fraction=validation_fraction, test_fraction=split_off, seed=seed)
    longest = series.values.shape[1]
    if test is not None:
        report(f"reading {test}")
        test_series = read_series(test, report)
        _check_compatible(series, test_series, train, test)
        longest = max(longest, test_series.values.shape[1])

    baseline, chance = (1.0, None) if series.has_numbers else constant_baseline(labels[parts.train])
    steps = series.values[parts.train][series.valid[parts.train]]  # (valid steps, D)
    preprocessing = SeriesPreprocessing.fit(steps, labels[parts.train] if series.has_numbers else None)

    def examples(source: Series, source_labels: np.ndarray, indices: np.ndarray | slice) -> Examples:
        scaled = np.where(source.valid[indices, :, None], preprocessing.scale_steps(source.values[indices]), 0.0)
        inputs = np.pad(scaled.astype(np.float32), ((0, 0), (0, longest - scaled.shape[1]), (0, 0)))
        chosen = source_labels[indices]
        if series.has_numbers:
            chosen = preprocessing.scale_labels(chosen)
        return Examples(inputs, source.lengths[indices], chosen)

    if test is None:
        test_examples = examples(series, labels, parts.test)
    else:
        test_examples = examples(test_series, _labels(test_series, classes, test, train), slice(None))
    return Dataset(
        train=examples(series, labels, parts.train),
        validation=examples(series, labels, parts.validation),
        test=test_examples,
        objective=class_objective(classes) if classes else Objective.NUMBER,
        classes=classes,
        baseline=baseline,
        chance=chance,
        preprocessing=preprocessing,
    )


def _are_decimals(names: Sequence[str]) -> bool:
    """Whether all ``names`` read as numbers, at least one of them with decimals or an exponent."""
    return all(map(DECIMAL.fullmatch, names)) and any(set(name) & set(".eE") for name in names)


def _check_compatible(series: Series, test_series: Series, train: Path, test: Path) -> None:
    features, test_features = series.values.shape[2], test_series.values.shape[2]
    if features != test_features:
        raise UserError(
            f"{test} has {test_features} features a step, but {train} has {features}; give both the same number."
        )
    if series.has_numbers != test_series.has_numbers:
        raise UserError(
            f"y of {test} has dtype {test_series.labels.dtype}, but y of {train} {series.labels.dtype}; give "
            "floating-point numbers in both files for regression, or in neither for classification."
        )


def _names(series: Series, path: Path) -> list[str]:
    names = [str(label) for label in series.labels.tolist()]
    return [check_label(name, _place(path, i)) for i, name in enumerate(names)]


def _place(path: Path, example: int) -> str:
    return f"Example {example} of {path}, counted from 0,"


def _labels(series: Series, classes: tuple[str, ...], path: Path, train: Path) -> np.ndarray:
    if series.has_numbers:
        return series.labels.astype(np.float64)
    return class_ids(_names(series, path), classes, lambda i: _place(path, i), train)
