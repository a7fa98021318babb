"""Class labels from the user's files: names, ids, constant baselines, and stratified splits."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnjax.data.dataset import Objective
from rnnjax.errors import UserError

MAX_NAMES = 10  # largest number of names in a message

_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")


class SplitIndices(NamedTuple):
    """Indices of the examples in each split; each example is in exactly one of them."""

    train: np.ndarray  # ascending
    validation: np.ndarray  # in random order, so that the first ones are a random sample
    test: np.ndarray  # likewise; empty if no test split is wanted


def class_names(labels: Iterable[str], path: Path) -> tuple[str, ...]:
    """The distinct labels in alphabetical order, or in numerical order if all are integers.

    Raises:
        UserError: If there are fewer than two distinct labels.
    """
    names = set(labels)
    if len(names) < 2:
        raise UserError(f"All labels of {path} are {quote_names([*names])}; give examples of at least two classes.")
    if all(map(_INTEGER.fullmatch, names)):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def class_ids(labels: Sequence[str], classes: Sequence[str], describe: Callable[[int], str], train: Path) -> np.ndarray:
    """Indices (N,) int32 of ``labels`` in ``classes``.

    Args:
        labels: N labels.
        classes: Names of the classes, in order.
        describe: Index of an example -> words that locate it in its file, for the error message.
        train: The file that defines the classes, for the error message.

    Raises:
        UserError: If a label is not one of the classes.
    """
    ids = {name: number for number, name in enumerate(classes)}
    for example, label in enumerate(labels):
        if label not in ids:
            raise UserError(
                f"{describe(example)} has the label {quote_names([label])}, which {train} does not have; "
                f"give one of {quote_names(classes)}."
            )
    return np.array([ids[label] for label in labels], np.int32)


def check_label(label: str, place: str) -> str:
    """``label`` itself.

    Args:
        label: Of an example.
        place: Where it stands, to begin a sentence.

    Raises:
        UserError: If it holds half of a surrogate pair, which is no character and cannot be written to a file.
    """
    try:
        label.encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(label[error.start]):04x}"
        raise UserError(f"{place} has a label with {code}, which is half of a character; correct the label.") from None
    return label


def class_objective(classes: Sequence[str]) -> Objective:
    """One logit for two classes; for more classes one logit each."""
    return Objective.BINARY if len(classes) == 2 else Objective.CLASSES


def constant_baseline(labels: np.ndarray) -> tuple[float, float]:
    """Loss in nats and accuracy of the best answer that is the same for every example.

    These are the entropy of the class frequencies and the largest frequency.

    Args:
        labels: (N,) int32 classes.
    """
    frequencies = np.bincount(labels) / len(labels)
    frequencies = frequencies[frequencies > 0]
    return float(-(frequencies * np.log(frequencies)).sum()), float(frequencies.max())


def quote_names(names: Sequence[str]) -> str:
    """The first ten of ``names`` in quotes, cut to 40 characters, for a message."""
    shown = ", ".join(f'"{name[:40]}"' for name in names[:MAX_NAMES])
    return shown if len(names) <= MAX_NAMES else f"{shown} and {len(names) - MAX_NAMES} more"


def check_split_arguments(*, validation_fraction: float, test_fraction: float | None, seed: int) -> None:
    """Check the arguments of ``split_examples`` that do not depend on the examples.

    Raises:
        UserError: If an argument is out of range.
    """
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    for name, fraction in fractions.items():
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(f"{name} is {fraction}; give a number between 0 and 1.")
    if validation_fraction + (test_fraction or 0) >= 1:
        raise UserError(
            f"A validation fraction of {validation_fraction} and a test fraction of {test_fraction} leave no training "
            "examples; give smaller fractions."
        )
    if seed < 0:
        raise UserError(f"seed is {seed}; give 0 or more.")


def split_examples(
    labels: np.ndarray, *, validation_fraction: float, test_fraction: float | None, seed: int
) -> SplitIndices:
    """A random split stratified by class, with at least one example of each class in the training split.

    Args:
        labels: (N,) int32 classes; all equal for a split that is not stratified.
        validation_fraction: Fraction of the N examples, between 0 and 1.
        test_fraction: The same for the test split; None for no test split.
        seed: Not negative.

    Raises:
        UserError: If a split would be empty.
    """
    check_split_arguments(validation_fraction=validation_fraction, test_fraction=test_fraction, seed=seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # shuffled within each class, class by class
    _, first_of_class = np.unique(labels[order], return_index=True)
    free = np.delete(order, first_of_class)

    sizes = [round(fraction * len(labels)) for fraction in (test_fraction, validation_fraction) if fraction is not None]
    if min(sizes) < 1 or sum(sizes) > len(free):
        raise UserError(
            f"{len(labels):,} examples of {len(first_of_class):,} classes are too few: held-out parts of "
            f"{' and '.join(map(str, reversed(sizes)))} examples must not be empty and must leave every class in the "
            "training part; give more examples, or other fractions for validation and test."
        )
    parts = []
    for size in sizes:
        taken = ((np.arange(size) + 0.5) * len(free) / size).astype(
            int
        )  # evenly spaced, so proportional in every class
        parts.append(rng.permutation(free[taken]))
        free = np.delete(free, taken)
    train = np.sort(np.concatenate([order[first_of_class], free]))
    return SplitIndices(train, parts[-1], parts[0] if test_fraction is not None else np.empty(0, int))
