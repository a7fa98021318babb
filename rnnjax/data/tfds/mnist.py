"""TFDS `mnist` as sequences of pixels or rows, without TensorFlow; decoded once and cached."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import platformdirs

from rnnjax.data.cache import cache_path, files_digest, load_arrays, save_arrays
from rnnjax.data.dataset import Dataset, Examples, Objective
from rnnjax.data.tfds.builder import MNIST_BUILDER, data_folder, prepare_mnist, prepared_folder, read_split
from rnnjax.data.tfds.idx import DIGITS, SIDE
from rnnjax.errors import UserError

By = Literal["pixel", "row"]
# RandomState gives the same numbers in every version of numpy, so the permutation never changes.
PERMUTATION = np.random.RandomState(784).permutation(SIDE * SIDE)

_SHAPES: dict[str, tuple[int, int]] = {"pixel": (SIDE * SIDE, 1), "row": (SIDE, SIDE)}  # steps, numbers a step


def mnist(
    *,
    data_dir: str | None,
    by: By,
    permuted: bool,
    validation_examples: int,
    train_examples: int | None,
    seed: int,
    cache_dir: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """The 60,000 + 10,000 handwritten digits of LeCun, Cortes & Burges 1998 as sequences.

    Le, Jaitly & Hinton 2015, section 4.2: an image is a sequence of 784 pixels or of 28 rows, from the top left. With
    ``permuted``, its pixels are first put into one fixed random order, ``PERMUTATION``, the same for all images and
    runs.

    Args:
        data_dir: TFDS's data folder; None means the environment variable TFDS_DATA_DIR, else
            ~/tensorflow_datasets. The data set is prepared there if it is missing.
        by: Input of a step: one "pixel" or one "row".
        permuted: Whether to permute the pixels.
        validation_examples: Number of images from TFDS's train split, drawn at random, for validation; at least 1.
        train_examples: Number of the remaining images, drawn at random, for training, at least 1; None means all.
        seed: Seed of that split, not negative.
        cache_dir: Folder for the decoded images; None means the user's cache folder.
        progress: Called with one line at each stage.

    Returns:
        The three splits, ``inputs`` (N, 784, 1) or (N, 28, 28) uint8.

    Raises:
        UserError: If an argument is out of range, the folder in ``data_dir`` or TFDS_DATA_DIR does not exist, or the
            data set cannot be prepared (see ``prepare_mnist``).
    """
    _check_arguments(by, validation_examples, train_examples, seed)
    report = progress or (lambda message: None)
    root = data_folder(data_dir)
    prepare_mnist(root, report)
    decoded = _load_arrays(root, cache_dir or platformdirs.user_cache_path("rnnjax"), report)

    images, labels = decoded["train_images"], decoded["train_labels"]
    rest = len(images) - validation_examples
    if rest < (train_examples or 1):
        raise UserError(
            f"With {validation_examples:,} of {len(images):,} images used for validation, {max(rest, 0):,} are left "
            "for training; give at most as many with --train-examples."
        )
    order = np.random.default_rng(seed).permutation(len(images))
    validation, train = np.split(order, [validation_examples])

    def examples(split_images: np.ndarray, split_labels: np.ndarray) -> Examples:
        pixels = split_images.reshape(-1, SIDE * SIDE)
        inputs = (pixels[:, PERMUTATION] if permuted else pixels).reshape(len(pixels), *_SHAPES[by])
        lengths = np.full(len(inputs), inputs.shape[1], np.int32)
        return Examples(inputs=inputs, lengths=lengths, labels=split_labels.astype(np.int32))

    def subset(indices: np.ndarray) -> Examples:
        ascending = np.sort(indices)
        return examples(images[ascending], labels[ascending])

    return Dataset(
        train=subset(train[:train_examples]),
        validation=subset(validation),
        test=examples(decoded["test_images"], decoded["test_labels"]),
        objective=Objective.CLASSES,
        classes=tuple(map(str, range(DIGITS))),
    )


def _check_arguments(by: str, validation_examples: int, train_examples: int | None, seed: int) -> None:
    if by not in get_args(By):
        raise UserError(f'by is "{by}"; give one of {", ".join(get_args(By))}.')
    if validation_examples < 1:
        raise UserError(f"validation_examples is {validation_examples}; give a number of at least 1.")
    if train_examples is not None and train_examples < 1:
        raise UserError(f"train_examples is {train_examples}; give a number of at least 1, or none for all.")
    if seed < 0:
        raise UserError(f"seed is {seed}; give 0 or more.")


def _load_arrays(root: Path, cache_dir: Path, report: Callable[[str], None]) -> dict[str, np.ndarray]:
    """``{train,test}_images`` (N, 28, 28) and ``{train,test}_labels`` (N,), uint8."""
    cache = cache_path(cache_dir, "mnist", {"data": files_digest(prepared_folder(root, MNIST_BUILDER))})
    arrays = load_arrays(cache)
    if arrays is None:
        arrays = {}
        for split in ("train", "test"):
            examples = read_split(MNIST_BUILDER, root, split, report, noun="images")
            arrays[f"{split}_images"] = np.stack([example["image"][..., 0] for example in examples])
            arrays[f"{split}_labels"] = np.array([example["label"] for example in examples], np.uint8)
        try:
            save_arrays(cache, arrays)
        except OSError as error:
            report(f"the decoded images could not be cached ({error}); the next run decodes them again")
    return arrays
