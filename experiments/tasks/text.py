"""Text: classification of your own texts, from .tsv, .csv or .jsonl files, or from folders of .txt files."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from experiments.base import WordExperiment
from rnnjax.config.training import TrainingSettings, require

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset
    from rnnjax.data.files.text_reader import TextFormat

DEFAULT_TRAINING = TrainingSettings(epochs=5, batch_size=32, learning_rate=1e-3, schedule="cosine", sorted_batches=100)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(WordExperiment):
    """Embedding → SimpleRNN, LSTM or GRU → Dense on your own texts, with two or more classes.

    Files end in .tsv, .csv or .jsonl; the first line of a tsv or csv file names the columns. A folder holds one folder
    of .txt files for each class. All of these files may be compressed with gzip, with .gz at the end of the name.

    Attributes:
        train: file or folder with texts and labels to train on.
        test: file or folder with texts and labels to test on; part of --train is used if not given.
        text_column: column of the texts, or several that are joined, as in --text-column title body; text, sentence,
            review or content if not given.
        label_column: column of the labels; label, class, sentiment, target or category if not given.
        header: whether the first line of a table names its columns; without, their names are 1, 2, ...
        encoding: of the files, as Python names it: utf-8, latin-1, cp1252, shift_jis, utf-16.
        vocabulary: largest number of word ids, padding and unknown included; the most frequent words of the training
            part are kept.
        max_length: longest text, in words.
        keep: which end of a longer text is kept.
        validation: fraction of the training texts that is held out to choose the best epoch.
        test_share: fraction of the training texts that is tested on if --test is not given.
    """

    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    train: str
    test: str | None = None
    text_column: tuple[str, ...] | None = None
    label_column: str | None = None
    header: bool = True
    encoding: str = "utf-8"
    vocabulary: int = 20000
    max_length: int = 500
    keep: Literal["last", "first"] = "last"
    validation: float = 0.1
    test_share: float = 0.1

    example: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "max_length", self.max_length >= 1, "at least 1")
        require(self, "vocabulary", self.vocabulary >= 3, "at least 3, since padding and unknown count")
        for name in ("validation", "test_share"):
            require(self, name, 0 < getattr(self, name) < 1, "above 0 and below 1")

    @property
    def longest(self) -> int:
        """Words of the longest text."""
        return self.max_length

    @property
    def form(self) -> "TextFormat":
        """Columns and encoding of the files."""
        from rnnjax.data.files.text_reader import TextFormat

        return TextFormat(self.text_column or (), self.label_column, self.header, self.encoding)

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The texts, one object for all seeds; ``progress`` gets one line at each stage."""
        return _dataset(
            self.train, self.test, self.form, self.vocabulary, self.max_length, self.keep, self.validation,
            self.test_share, progress,
        )  # fmt: skip


@functools.lru_cache(maxsize=4)  # all runs of a study share one data set and one progress function
def _dataset(
    train: str,
    test: str | None,
    form: "TextFormat",
    vocabulary: int,
    max_length: int,
    keep: Literal["last", "first"],
    validation: float,
    test_share: float,
    progress: Callable[[str], None],
) -> "Dataset":
    from rnnjax.data.files.text_classification import text_dataset_from_files

    return text_dataset_from_files(
        train=Path(train),
        test=None if test is None else Path(test),
        form=form,
        vocabulary_size=vocabulary,
        max_length=max_length,
        keep=keep,
        validation_fraction=validation,
        test_fraction=test_share,
        seed=0,
        progress=progress,
    )
