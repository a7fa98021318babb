"""A user's own series of numbers, with classes or numbers as labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from rnnjax.data.dataset import Dataset, Examples, Objective
from rnnjax.data.files.labels import (
    check_split,
    class_ids,
    class_names,
    class_objective,
    constant_answer,
    listed,
    split_examples,
)
from rnnjax.data.files.series_reader import Series, read_series
from rnnjax.errors import UserError


def labelled_series(
    *,
    train: Path,
    test: Path | None,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Series from .npz files with arrays x, y and, where series differ in length, ``lengths`` (see ``read_series``).

    Every feature is shifted and scaled to mean 0 and standard deviation 1 over the valid steps of the training part;
    a feature that is constant there becomes 0 everywhere. Labels that are integers, truth values or strings are
    classes, ordered as in ``labelled_text``; floating numbers are themselves learnt, shifted and scaled like a feature.

    Args:
        train: The file from which the training and the validation part are taken.
        test: The file of the test part; None takes it from ``train``, too.
        validation_fraction: Part of ``train``'s series that becomes the validation part, between 0 and 1; every
            class has about its share.
        test_fraction: The same for the test part; without effect where ``test`` is given.
        seed: Not negative; determines which series those are.
        progress: Called with one line at each stage.

    Returns:
        The three splits, inputs (N, L, D), L the longest series of all.

    Raises:
        UserError: If an argument is out of its range, a file cannot be read or holds what does not fit (see
            ``read_series``), all labels of ``train`` are equal, it has too few series, or ``test`` has another
            number of features, another kind of labels or a label that ``train`` does not have.
    """
    split_off = test_fraction if test is None else None
    check_split(validation_fraction=validation_fraction, test_fraction=split_off, seed=seed)
    report = progress or (lambda message: None)
    report(f"reading {train}")
    series = read_series(train)
    classes = () if series.has_numbers else class_names(_names(series), train)
    if series.has_numbers and np.ptp(series.labels) == 0:
        raise UserError(f"All labels of {train} are {series.labels[0]}; give examples of at least two.")
    report(f"labels are {f'classes: {listed(classes)}' if classes else 'numbers, to be learnt in standard deviations'}")
    labels = _labels(series, classes, train, train)
    alike = labels if classes else np.zeros(len(labels), np.int32)
    parts = split_examples(alike, validation_fraction=validation_fraction, test_fraction=split_off, seed=seed)
    longest = series.values.shape[1]
    if test is not None:
        report(f"reading {test}")
        tested = read_series(test)
        _check_alike(series, tested, train, test)
        longest = max(longest, tested.values.shape[1])

    baseline, chance = (1.0, None) if series.has_numbers else constant_answer(labels[parts.train])
    spread = (labels[parts.train].mean(), labels[parts.train].std() or 1.0) if series.has_numbers else None
    steps = series.values[parts.train][series.valid[parts.train]]  # (valid steps, D)
    mean, deviation = steps.mean(axis=0), steps.std(axis=0)
    scale = np.where((np.ptp(steps, axis=0) > 0) & (deviation > 0), deviation, np.inf)

    def examples(some: Series, some_labels: np.ndarray, indices: np.ndarray | slice) -> Examples:
        scaled = np.where(some.valid[indices, :, None], (some.values[indices] - mean) / scale, 0.0)
        inputs = np.pad(scaled.astype(np.float32), ((0, 0), (0, longest - scaled.shape[1]), (0, 0)))
        chosen = some_labels[indices]
        if spread is not None:
            chosen = ((chosen - spread[0]) / spread[1]).astype(np.float32)
        return Examples(inputs, some.lengths[indices], chosen)

    if test is None:
        test_examples = examples(series, labels, parts.test)
    else:
        test_examples = examples(tested, _labels(tested, classes, test, train), slice(None))
    return Dataset(
        train=examples(series, labels, parts.train),
        validation=examples(series, labels, parts.validation),
        test=test_examples,
        objective=class_objective(classes) if classes else Objective.NUMBER,
        classes=classes,
        baseline=baseline,
        chance=chance,
    )


def _check_alike(series: Series, tested: Series, train: Path, test: Path) -> None:
    features, others = series.values.shape[2], tested.values.shape[2]
    if features != others:
        raise UserError(f"{test} has {others} features a step and {train} has {features}; give both the same.")
    if series.has_numbers != tested.has_numbers:
        raise UserError(
            f"y of {test} holds {tested.labels.dtype} and that of {train} {series.labels.dtype}; give floating numbers "
            "in both to learn a number, in none to learn classes."
        )


def _names(series: Series) -> list[str]:
    return [str(label) for label in series.labels.tolist()]


def _labels(series: Series, classes: tuple[str, ...], path: Path, train: Path) -> np.ndarray:
    if series.has_numbers:
        return series.labels.astype(np.float64)
    return class_ids(_names(series), classes, lambda i: f"Example {i} of {path}, counted from 0,", train)
