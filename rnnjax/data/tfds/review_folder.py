"""Reads the extracted folder of the Large Movie Review Dataset (Maas et al. 2011), ``aclImdb``."""

from pathlib import Path

from rnnjax.data.tfds.download import LABELS, SPLITS, Reviews
from rnnjax.errors import UserError

FOLDER_NAME = "aclImdb"
REVIEWS_PER_CLASS = 12_500  # in each split


def read_review_folder(path: Path) -> dict[str, Reviews]:
    """The labelled reviews in ``path``, ``{train,test}/{neg,pos}/*.txt``, as ``read_review_archive`` gives them.

    Raises:
        UserError: If a class of a split has another number of reviews than the data set, or a file cannot be read.
    """
    reviews: dict[str, Reviews] = {split: {} for split in SPLITS}
    for split in SPLITS:
        for label in LABELS:
            folder = path / split / label
            files = sorted(file for file in folder.glob("*.txt") if not file.name.startswith(".") and file.is_file())
            if len(files) != REVIEWS_PER_CLASS:
                raise UserError(
                    f"{folder} has {len(files):,} reviews of {REVIEWS_PER_CLASS:,}, so the archive was not extracted "
                    f"to its end: extract it again, or remove {path} to download it."
                )
            for file in files:
                try:
                    text = file.read_bytes()
                except OSError as error:
                    raise UserError(f"{file} cannot be read ({error.strerror}); extract the archive again.") from error
                reviews[split][f"{FOLDER_NAME}/{split}/{label}/{file.name}"] = text.strip(), label
    return reviews
