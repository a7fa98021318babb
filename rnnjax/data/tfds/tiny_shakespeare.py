"""TFDS `tiny_shakespeare`: a million characters of Shakespeare's plays, without TensorFlow."""

from collections.abc import Callable
from pathlib import Path

from rnnjax.data.files.language_model import read_text_file
from rnnjax.data.tfds.builder import Records, data_folder, prepare, read_split

BUILDER = "tiny_shakespeare:1.0.0"
FILE_NAME = "input.txt"
SPLITS = ("train", "validation", "test")


def tiny_shakespeare(*, data_dir: str | None, progress: Callable[[str], None] | None = None) -> str:
    """The whole text of Karpathy's char-rnn: TFDS's splits train, validation and test, concatenated.

    Args:
        data_dir: TFDS's data folder; None means the environment variable TFDS_DATA_DIR, else
            ~/tensorflow_datasets. Where it does not hold the prepared data set, that is prepared there from
            ``data_dir/downloads/manual/input.txt``, which is downloaded if it is not there.
        progress: Called with one line at each stage.

    Raises:
        UserError: If the folder in ``data_dir`` or TFDS_DATA_DIR does not exist, or the data set cannot be prepared
            (see ``prepare``) or read.
    """
    report = progress or (lambda message: None)
    root = data_folder(data_dir)
    prepare(BUILDER, root, lambda folder: _records(folder / FILE_NAME, report), report)
    splits = [read_split(BUILDER, root, split, report, noun="texts") for split in SPLITS]
    return "".join(example["text"].decode() for split in splits for example in split)


def _records(path: Path, report: Callable[[str], None]) -> Records:
    report(f"reading {path}")
    text = read_text_file(path)
    first, second = int(len(text) * 0.9), (int(len(text) * 0.9) + len(text)) // 2  # where TFDS splits it
    texts = text[:first], text[first:second], text[second:]
    return {split: [(split, {"text": part})] for split, part in zip(SPLITS, texts, strict=True)}
