"""TFDS `imdb_reviews` as padded word ids, without TensorFlow; encoded once and cached."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs

from rnnjax.data.cache import cache_path, files_digest, load_dataset, save_dataset
from rnnjax.data.dataset import SPECIAL_WORDS, Dataset, Examples
from rnnjax.data.tfds.builder import BUILDER, data_folder, prepare_imdb, prepared_folder, read_split
from rnnjax.data.vocabulary import KEEP_CHOICES, Keep, build_vocabulary, encode
from rnnjax.errors import UserError


def imdb(
    *,
    data_dir: str | None,
    vocabulary_size: int,
    max_length: int,
    keep: Keep,
    validation_fraction: float,
    seed: int,
    cache_dir: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """The 25,000 + 25,000 labelled film reviews of Maas et al. 2011; label 1 is positive.

    The vocabulary is built from the training part alone, after the validation part has been taken away.

    Args:
        data_dir: TFDS's data folder; None means the environment variable TFDS_DATA_DIR, else
            ~/tensorflow_datasets. Where it does not hold the prepared data set, that is prepared there.
        vocabulary_size: Number of ids, "<pad>" and "<unk>" among them; at least 3.
        max_length: Words kept of each review, at least 1.
        keep: Whether the "last" or the "first" words of a longer review are kept.
        validation_fraction: Part of TFDS's train split that becomes the validation split, between 0 and 1.
        seed: Not negative; determines which reviews those are.
        cache_dir: Where the encoded arrays are kept; None means the user's cache folder.
        progress: Called with one line at each stage.

    Returns:
        The three splits, tokens (N, max_length).

    Raises:
        UserError: If an argument is out of its range, ``data_dir`` or TFDS_DATA_DIR names what does not exist, or
            the data set cannot be prepared (see ``prepare_imdb``).
    """
    _check(vocabulary_size, max_length, keep, validation_fraction, seed)
    report = progress or (lambda message: None)
    root = data_folder(data_dir)
    prepare_imdb(root, report)

    settings = {
        "data": files_digest(prepared_folder(root)),
        "vocabulary_size": vocabulary_size,
        "max_length": max_length,
        "keep": keep,
        "validation_fraction": validation_fraction,
        "seed": seed,
    }
    cached = cache_path(cache_dir or platformdirs.user_cache_path("rnnjax"), "imdb", settings)
    dataset = load_dataset(cached)
    if dataset is None:
        dataset = _encoded(root, vocabulary_size, max_length, keep, validation_fraction, seed, report)
        try:
            save_dataset(cached, dataset)
        except OSError as error:
            report(f"the encoded reviews could not be cached ({error}); the next run encodes them again")
    return dataset


def _encoded(
    root: Path,
    vocabulary_size: int,
    max_length: int,
    keep: Keep,
    validation_fraction: float,
    seed: int,
    report: Callable[[str], None],
) -> Dataset:
    texts, labels = _read(root, "train", report)
    test_texts, test_labels = _read(root, "test", report)
    held_out = round(validation_fraction * len(texts))
    if not 0 < held_out < len(texts):
        raise UserError(
            f"A validation fraction of {validation_fraction} leaves no review in one part of "
            f"{len(texts):,}; give one nearer to 0.1."
        )
    order = np.random.default_rng(seed).permutation(len(texts))
    validation, train = np.sort(order[:held_out]), np.sort(order[held_out:])

    report("building the vocabulary")
    vocabulary = build_vocabulary((texts[i] for i in train), vocabulary_size)

    def examples(some_texts: list[str], some_labels: np.ndarray) -> Examples:
        report(f"encoding {len(some_texts):,} reviews")
        return Examples(*encode(some_texts, vocabulary, max_length=max_length, keep=keep), some_labels)

    return Dataset(
        train=examples([texts[i] for i in train], labels[train]),
        validation=examples([texts[i] for i in validation], labels[validation]),
        test=examples(test_texts, test_labels),
        vocabulary=vocabulary,
    )


def _check(vocabulary_size: int, max_length: int, keep: str, validation_fraction: float, seed: int) -> None:
    if vocabulary_size <= len(SPECIAL_WORDS):
        raise UserError(f"vocabulary_size is {vocabulary_size}; give at least {len(SPECIAL_WORDS) + 1}.")
    if max_length < 1:
        raise UserError(f"max_length is {max_length} words; give a number of at least 1.")
    if keep not in KEEP_CHOICES:
        raise UserError(f'keep is "{keep}"; give one of {", ".join(KEEP_CHOICES)}.')
    if not 0 < validation_fraction < 1:
        raise UserError(f"validation_fraction is {validation_fraction}; give a number between 0 and 1.")
    if seed < 0:
        raise UserError(f"seed is {seed}; give a number that is not negative.")


def _read(data_dir: Path, split: str, report: Callable[[str], None]) -> tuple[list[str], np.ndarray]:
    examples = read_split(BUILDER, data_dir, split, report, what="reviews")
    texts = [example["text"].decode(errors="replace") for example in examples]
    return texts, np.array([example["label"] for example in examples], np.int32)
