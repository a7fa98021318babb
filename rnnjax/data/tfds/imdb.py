"""TFDS `imdb_reviews` as padded word ids, without TensorFlow; encoded once and cached."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs

from rnnjax.data.cache import cache_path, files_digest, load_dataset, save_dataset
from rnnjax.data.dataset import SPECIAL_WORDS, Dataset, Examples
from rnnjax.data.preprocessing import KEEP_CHOICES, Keep, WordPreprocessing
from rnnjax.data.tfds.builder import BUILDER, data_folder, prepare_imdb, prepared_folder, read_split
from rnnjax.data.vocabulary import build_vocabulary, encode
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
    """The 25,000 + 25,000 labelled movie reviews of Maas et al. 2011; label 1 is positive.

    The vocabulary is built from the training split alone, without the validation split.

    Args:
        data_dir: TFDS's data folder; None means the environment variable TFDS_DATA_DIR, else
            ~/tensorflow_datasets. The data set is prepared there if it is missing.
        vocabulary_size: Largest number of ids, including "<pad>" and "<unk>"; at least 3.
        max_length: Words kept of each review, at least 1.
        keep: Whether the "last" or the "first" words of a longer review are kept.
        validation_fraction: Fraction of TFDS's train split for validation, between 0 and 1.
        seed: Seed of that split, not negative.
        cache_dir: Folder for the encoded arrays; None means the user's cache folder.
        progress: Called with one line at each stage.

    Returns:
        The three splits, with inputs (N, max_length).

    Raises:
        UserError: If an argument is out of range, the folder in ``data_dir`` or TFDS_DATA_DIR does not exist, or the
            data set cannot be prepared (see ``prepare_imdb``).
    """
    _check_arguments(vocabulary_size, max_length, keep, validation_fraction, seed)
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
    cache = cache_path(cache_dir or platformdirs.user_cache_path("rnnjax"), "imdb", settings)
    dataset = load_dataset(cache)
    if dataset is None:
        dataset = _encode(root, vocabulary_size, max_length, keep, validation_fraction, seed, report)
        try:
            save_dataset(cache, dataset)
        except OSError as error:
            report(f"the encoded reviews could not be cached ({error}); the next run encodes them again")
    return dataset._replace(preprocessing=WordPreprocessing(max_length=max_length, keep=keep))


def _encode(
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
            f"A validation fraction of {validation_fraction} of {len(texts):,} reviews leaves one part empty; "
            "give a fraction nearer to 0.1."
        )
    order = np.random.default_rng(seed).permutation(len(texts))
    validation, train = np.sort(order[:held_out]), np.sort(order[held_out:])

    report("building the vocabulary")
    vocabulary = build_vocabulary((texts[i] for i in train), vocabulary_size)

    def examples(split_texts: list[str], split_labels: np.ndarray) -> Examples:
        report(f"encoding {len(split_texts):,} reviews")
        return Examples(*encode(split_texts, vocabulary, max_length=max_length, keep=keep), split_labels)

    return Dataset(
        train=examples([texts[i] for i in train], labels[train]),
        validation=examples([texts[i] for i in validation], labels[validation]),
        test=examples(test_texts, test_labels),
        vocabulary=vocabulary,
    )


def _check_arguments(vocabulary_size: int, max_length: int, keep: str, validation_fraction: float, seed: int) -> None:
    if vocabulary_size <= len(SPECIAL_WORDS):
        raise UserError(f"vocabulary_size is {vocabulary_size}; give at least {len(SPECIAL_WORDS) + 1}.")
    if max_length < 1:
        raise UserError(f"max_length is {max_length} words; give a number of at least 1.")
    if keep not in KEEP_CHOICES:
        raise UserError(f'keep is "{keep}"; give one of {", ".join(KEEP_CHOICES)}.')
    if not 0 < validation_fraction < 1:
        raise UserError(f"validation_fraction is {validation_fraction}; give a number between 0 and 1.")
    if seed < 0:
        raise UserError(f"seed is {seed}; give 0 or more.")


def _read(data_dir: Path, split: str, report: Callable[[str], None]) -> tuple[list[str], np.ndarray]:
    examples = read_split(BUILDER, data_dir, split, report, noun="reviews")
    # 26 of the 50,000 reviews have typographic apostrophes, at which the words of the published results are split
    texts = [example["text"].decode(errors="replace").replace("’", " ") for example in examples]
    return texts, np.array([example["label"] for example in examples], np.int32)
