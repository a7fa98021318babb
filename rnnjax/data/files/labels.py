"""The labels that users give: their names, and splits that keep their shares."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnnjax.data.dataset import Objective
from rnnjax.errors import UserError

SHOWN = 10  # names listed in a message at most

_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")


class Parts(NamedTuple):
    """Indices of the examples in each part; together they are all examples, each once."""

    train: np.ndarray  # ascending
    validation: np.ndarray  # in random order, so that the first ones stand for all
    test: np.ndarray  # likewise; empty where no test part is split off


def class_names(labels: Iterable[str], path: Path) -> tuple[str, ...]:
    """The different labels in alphabetical order, or by value where all are integers.

    Raises:
        UserError: If there are fewer than two.
    """
    names = set(labels)
    if len(names) < 2:
        raise UserError(f"All labels of {path} are {listed([*names])}; give examples of at least two labels.")
    if all(map(_INTEGER.fullmatch, names)):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def class_ids(labels: Sequence[str], classes: Sequence[str], place: Callable[[int], str], train: Path) -> np.ndarray:
    """(N,) int32 places of ``labels`` among ``classes``, those of the file ``train``.

    Raises:
        UserError: If a label is not among them; ``place`` gives the words for where an example stands.
    """
    ids = {name: number for number, name in enumerate(classes)}
    for example, label in enumerate(labels):
        if label not in ids:
            raise UserError(
                f"{place(example)} has the label {listed([label])}, which {train} does not have; "
                f"give one of {listed(classes)}."
            )
    return np.array([ids[label] for label in labels], np.int32)


def class_objective(classes: Sequence[str]) -> Objective:
    """What is learnt: one logit for two classes, a logit for each of more."""
    return Objective.BINARY if len(classes) == 2 else Objective.CLASSES


def constant_answer(labels: np.ndarray) -> tuple[float, float]:
    """Loss, in nats, and accuracy of the best answers to (N,) int32 classes that are the same for every example.

    The entropy of the classes' shares, and the largest of them.
    """
    shares = np.bincount(labels) / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum()), float(shares.max())


def listed(names: Sequence[str]) -> str:
    """``names`` in quotes for a message: the first ten, long ones cut."""
    shown = ", ".join(f'"{name[:40]}"' for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def check_split(*, validation_fraction: float, test_fraction: float | None, seed: int) -> None:
    """Refuse what ``split_examples`` cannot do with any number of examples.

    Raises:
        UserError: If an argument is out of its range.
    """
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    for name, fraction in fractions.items():
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(f"{name} is {fraction}; give a number between 0 and 1.")
    if validation_fraction + (test_fraction or 0) >= 1:
        raise UserError(
            f"A validation fraction of {validation_fraction} and a test fraction of {test_fraction} leave nothing to "
            "train on; give smaller ones."
        )
    if seed < 0:
        raise UserError(f"seed is {seed}; give a number that is not negative.")


def split_examples(labels: np.ndarray, *, validation_fraction: float, test_fraction: float | None, seed: int) -> Parts:
    """Random parts in which every class has about its share; of each, one example is in the training part for certain.

    Args:
        labels: (N,) int32 classes; all equal for a split that is random alone.
        validation_fraction: Part of the N examples, between 0 and 1.
        test_fraction: The same for the test part; None for no test part.
        seed: Not negative.

    Raises:
        UserError: If a part would be empty.
    """
    check_split(validation_fraction=validation_fraction, test_fraction=test_fraction, seed=seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # shuffled within each class, class by class
    _, first_of_class = np.unique(labels[order], return_index=True)
    free = np.delete(order, first_of_class)

    sizes = [round(fraction * len(labels)) for fraction in (test_fraction, validation_fraction) if fraction is not None]
    if min(sizes) < 1 or sum(sizes) > len(free):
        raise UserError(
            f"{len(labels):,} examples of {len(first_of_class):,} labels are too few for parts of "
            f"{' and '.join(map(str, sizes))} beside a training part with every label; give more examples, or other "
            "fractions for the validation and the test part."
        )
    parts = []
    for size in sizes:
        taken = ((np.arange(size) + 0.5) * len(free) / size).astype(int)  # evenly spaced, so in every class
        parts.append(rng.permutation(free[taken]))
        free = np.delete(free, taken)
    train = np.sort(np.concatenate([order[first_of_class], free]))
    return Parts(train, parts[-1], parts[0] if test_fraction is not None else np.empty(0, int))
