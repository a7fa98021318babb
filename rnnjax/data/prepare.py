"""Prepares TFDS `imdb_reviews` without TensorFlow: Python reads the archive, TFDS writes the records.

TFDS opens the archive through TensorFlow's file layer, so its own ``download_and_prepare`` needs TensorFlow.
Here the archive is read by Python alone and handed to the registered builder, which shuffles, writes and
describes the data set as it always does. Everything is made in a folder beside the data set and moved into
place at the end, so a failure leaves nothing behind.
"""

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rnnjax.data.archive import ARCHIVE_NAME, Reviews, download_archive, read_archive
from rnnjax.errors import UserError

NAME = "imdb_reviews"
CONFIG = "plain_text"
VERSION = "1.0.0"
BUILDER = f"{NAME}/{CONFIG}:{VERSION}"


def prepared_folder(data_dir: Path) -> Path:
    """Where TFDS keeps the prepared `imdb_reviews` below ``data_dir``."""
    return data_dir / NAME / CONFIG / VERSION


def prepare_imdb(data_dir: Path, progress: Callable[[str], None]) -> None:
    """See to it that ``data_dir`` holds `imdb_reviews` in array_record form; nothing happens where it does.

    The archive is taken from ``data_dir/downloads/manual/aclImdb_v1.tar.gz``; where it is not there, it is
    downloaded to that place. The prepared data set has the splits "train" and "test".

    Args:
        data_dir: TFDS's data folder; made where it is missing.
        progress: Called with one line at each stage.

    Raises:
        UserError: If the archive can neither be found nor downloaded, is damaged or of another layout, if the
            data set is there in another file format, or if ``data_dir`` cannot be written.
    """
    folder = prepared_folder(data_dir)
    if folder.is_dir():
        if any(folder.glob("*.array_record*")):
            return
        raise UserError(
            f"{folder} holds the data set in another file format than array_record: name another folder "
            "with --data-dir, and it is prepared there."
        )
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix="rnnjax-preparing-") as staging:
            _prepare(data_dir, Path(staging), progress)
    except OSError as error:
        raise UserError(
            f"The data set cannot be written into {data_dir} ({error}): name a folder that can be written, "
            "or one that holds the prepared data set, with --data-dir."
        ) from error


def _prepare(data_dir: Path, staging: Path, progress: Callable[[str], None]) -> None:
    with quiet_tfds() as tfds:
        builder = tfds.builder(BUILDER, data_dir=staging, file_format="array_record")
        archive = data_dir / "downloads" / "manual" / ARCHIVE_NAME
        if not archive.exists():
            ((url, info),) = builder.url_infos.items()
            download_archive(url, info.checksum, archive, staging / ARCHIVE_NAME, progress)
        progress(f"reading {archive}")
        reviews = read_archive(archive)
        progress(f"preparing {sum(map(len, reviews.values())):,} reviews in {data_dir}")
        builder._split_generators = lambda _: {split: _examples(reviews[split]) for split in reviews}
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints where it should log
            builder.download_and_prepare()

    target = prepared_folder(data_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    metadata = target.parents[1] / ".config"
    if not metadata.exists():
        (staging / NAME / ".config").rename(metadata)
    prepared_folder(staging).rename(target)


def _examples(reviews: Reviews) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, (text, label) in reviews.items():
        yield path, {"text": text, "label": label}


@contextlib.contextmanager
def quiet_tfds() -> Iterator[Any]:
    """TFDS, imported only now since that takes a second, without its progress bars and log lines."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield tfds
    finally:
        log.setLevel(level)
