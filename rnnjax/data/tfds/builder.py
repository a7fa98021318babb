"""Prepares and reads TFDS data sets without TensorFlow.

TFDS opens archives through TensorFlow's file layer, so its own ``download_and_prepare`` needs TensorFlow. Here the
downloaded files are read by Python alone, and the examples are passed to the registered builder, which shuffles and
writes them and describes the data set as usual. All of this happens in a temporary folder that is renamed at the end,
so a failure leaves nothing behind.
"""

import contextlib
import io
import logging
import os
import posixpath
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from rnnjax.data.tfds.download import ARCHIVE_NAME, Reviews, download_file, read_review_archive
from rnnjax.data.tfds.idx import FILES, read_digits
from rnnjax.data.tfds.review_folder import FOLDER_NAME, read_review_folder
from rnnjax.errors import UserError

BUILDER = "imdb_reviews/plain_text:1.0.0"
MNIST_BUILDER = "mnist:3.0.1"

Example: TypeAlias = dict[str, Any]  # feature -> bytes, string, number, image or array, as TFDS encodes or decodes it
Records: TypeAlias = dict[str, Iterable[tuple[str | int, Example]]]  # split -> (key, example)


def data_folder(data_dir: str | None) -> Path:
    """TFDS's data folder: ``data_dir``, else what TFDS_DATA_DIR names, else ~/tensorflow_datasets.

    Raises:
        UserError: If the named folder does not exist.
    """
    named = data_dir or os.environ.get("TFDS_DATA_DIR")
    root = Path(named or "~/tensorflow_datasets").expanduser()
    if named and not root.is_dir():
        source = "--data-dir" if data_dir else "the environment variable TFDS_DATA_DIR"
        raise UserError(f"The data folder {named} does not exist; give an existing one with {source}.")
    return root


def prepared_folder(data_dir: Path, builder: str = BUILDER) -> Path:
    """The folder in which TFDS keeps the data set of ``builder`` ("name:version" or "name/config:version")."""
    return data_dir.joinpath(*re.split("[/:]", builder))


def prepare_imdb(data_dir: Path, progress: Callable[[str], None]) -> None:
    """Prepare `imdb_reviews`, with the splits "train" and "test", if ``data_dir`` does not hold it; see ``prepare``.

    It is made from ``data_dir/downloads/manual/aclImdb_v1.tar.gz``, or from the extracted folder ``aclImdb`` beside it
    or in ``data_dir``.
    """
    extracted = [data_dir / "downloads" / "manual" / FOLDER_NAME, data_dir / FOLDER_NAME]

    def read(folder: Path) -> Records:
        archive = folder / ARCHIVE_NAME
        source = archive if archive.exists() else next(filter(Path.is_dir, extracted))
        progress(f"reading {source}")
        reviews = read_review_archive(source) if source == archive else read_review_folder(source)
        progress(f"preparing {sum(map(len, reviews.values())):,} reviews in {data_dir}")
        return {split: _review_examples(reviews[split]) for split in reviews}

    prepare(BUILDER, data_dir, read, progress, extracted=extracted)


def prepare_mnist(data_dir: Path, progress: Callable[[str], None]) -> None:
    """Prepare `mnist`, with the splits "train" and "test", if ``data_dir`` does not hold it; see ``prepare``.

    It is made from the four files ``*-ubyte.gz`` in ``data_dir/downloads/manual``.
    """

    def read(folder: Path) -> Records:
        progress(f"reading {', '.join(name for names in FILES.values() for name in names)} in {folder}")
        digits = {split: read_digits(folder, split) for split in FILES}
        progress(f"preparing {sum(len(labels) for _, labels in digits.values()):,} images in {data_dir}")
        return {split: _image_examples(*digits[split]) for split in digits}

    prepare(MNIST_BUILDER, data_dir, read, progress)


def prepare(
    builder: str,
    data_dir: Path,
    read: Callable[[Path], Records],
    progress: Callable[[str], None],
    *,
    extracted: Sequence[Path] = (),
) -> None:
    """Prepare a data set in array_record format, unless ``data_dir`` already holds it.

    It is made from files in ``data_dir/downloads/manual``; missing files are downloaded into this folder.

    Args:
        builder: "name:version" or "name/config:version".
        data_dir: TFDS's data folder; created if it is missing.
        read: (folder of the downloaded files) -> the examples of each split.
        progress: Called with one line at each stage.
        extracted: Folders with the content of the files; where one exists, nothing is downloaded.

    Raises:
        UserError: If a file cannot be downloaded, is damaged or has an unexpected layout, if the data set is there
            in another file format, or if ``data_dir`` cannot be written.
    """
    folder = prepared_folder(data_dir, builder)
    if folder.is_dir():
        if any(folder.glob("*.array_record*")):
            return
        raise UserError(
            f"{folder} holds the data set in another file format than array_record: give another folder with "
            "--data-dir, in which it will be prepared."
        )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix="rnnjax-preparing-") as staging:
            _prepare(builder, data_dir, Path(staging), read, progress, any(map(Path.is_dir, extracted)))
    except OSError as error:
        raise UserError(
            f"The data set cannot be written into {data_dir} ({error}): with --data-dir, give a writable "
            "folder, or one that holds the prepared data set."
        ) from error


def _prepare(
    name: str,
    data_dir: Path,
    staging: Path,
    read: Callable[[Path], Records],
    progress: Callable[[str], None],
    is_extracted: bool,
) -> None:
    downloads = data_dir / "downloads" / "manual"
    with quiet_tfds() as tfds:
        builder = tfds.builder(name, data_dir=staging, file_format="array_record")
        urls = {posixpath.basename(url): (url, info.checksum) for url, info in builder.url_infos.items()}
        missing = [] if is_extracted else [file for file in urls if not (downloads / file).exists()]
        for i, file in enumerate(missing):
            download_file(*urls[file], downloads / file, staging / file, progress, next_files=missing[i + 1 :])
        records = read(downloads)
        builder._split_generators = lambda _: records
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints where it should log
            builder.download_and_prepare()

    target, prepared = prepared_folder(data_dir, name), prepared_folder(staging, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    metadata = Path(builder.name, ".config")
    if (staging / metadata).exists() and not (data_dir / metadata).exists():
        (staging / metadata).rename(data_dir / metadata)
    try:
        prepared.rename(target)
    except OSError:
        if not any(target.glob("*.array_record*")):  # else another process has prepared it in the meantime
            raise


def _review_examples(reviews: Reviews) -> Iterator[tuple[str, Example]]:
    for path, (text, label) in reviews.items():
        yield path, {"text": text, "label": label}


def _image_examples(images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, Example]]:
    from PIL import Image  # TFDS encodes arrays with TensorFlow, but PIL images with Pillow

    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield index, {"image": Image.fromarray(image), "label": int(label)}


def read_split(
    builder: str, data_dir: Path, split: str, progress: Callable[[str], None], *, noun: str
) -> list[Example]:
    """All examples of a prepared split; UserError if they cannot be read.

    Args:
        builder: "name:version" or "name/config:version".
        data_dir: TFDS's data folder.
        split: "train" or "test".
        progress: Called with one line.
        noun: What the examples are, in the plural, for that line.
    """
    try:
        with quiet_tfds() as tfds:
            source = tfds.data_source(builder, split=split, data_dir=data_dir, download=False)
            progress(f"reading {len(source):,} {noun} of the {split} split")
            return source.__getitems__(range(len(source)))
    except Exception as error:  # damaged folders raise many types of exceptions in TFDS and array_record
        raise UserError(
            f"The prepared data set in {prepared_folder(data_dir, builder)} cannot be read ({error}): delete that "
            "folder and start again to prepare it again, or give another one with --data-dir."
        ) from error


@contextlib.contextmanager
def quiet_tfds() -> Iterator[ModuleType]:
    """The module tensorflow_datasets, imported here since that takes a second, without progress bars and log lines.

    Nor does a builder look for the description of a data set in TFDS's bucket, for which it makes a temporary folder
    that it never removes.
    """
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    info = tfds.core.DatasetInfo
    look_up, info.initialize_from_bucket = info.initialize_from_bucket, lambda self: None
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield tfds
    finally:
        log.setLevel(level)
        info.initialize_from_bucket = look_up
