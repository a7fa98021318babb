"""IMDB: sentiment of 25,000 movie reviews, with single words swapped after training."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from experiments.base import WordExperiment
from rnnjax.config.training import TrainingSettings, require
from rnnjax.runs.published import Published

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset

CHOLLET = "Chollet, Deep Learning with Python, section 6.2"
DEFAULT_TRAINING = TrainingSettings(epochs=3, batch_size=32, learning_rate=1e-3, schedule="cosine", sorted_batches=100)


@dataclasses.dataclass(frozen=True)
class Imdb(WordExperiment):
    """Embedding → SimpleRNN, LSTM or GRU → Dense(1, sigmoid) on IMDB movie reviews.

    The data set comes through TensorFlow Datasets, without TensorFlow, and is prepared on first use.

    Attributes:
        vocabulary: number of word ids, padding and unknown included; the most frequent words of the training part are
            kept.
        max_length: longest review, in words.
        keep: which end of a longer review is kept.
        validation: fraction of the training reviews that is held out to choose the best epoch.
        data_dir: folder of TFDS data sets; the environment variable TFDS_DATA_DIR, or ~/tensorflow_datasets, if not
            given.
    """

    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    vocabulary: int = 20000
    max_length: int = 500
    keep: Literal["last", "first"] = "last"
    validation: float = 0.1
    data_dir: str | None = None

    published: ClassVar[tuple[Published, ...]] = (
        Published("SimpleRNN", "simplernn", "validation accuracy", 0.846, "500 words, H=32, best epoch", CHOLLET),
        Published("LSTM", "lstm", "validation accuracy", 0.893, "500 words, H=32, best epoch", CHOLLET),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "max_length", self.max_length >= 1, "at least 1")
        require(self, "vocabulary", self.vocabulary >= 3, "at least 3, since padding and unknown count")
        require(self, "validation", 0 < self.validation < 1, "above 0 and below 1")

    @property
    def longest(self) -> int:
        """Words of the longest review."""
        return self.max_length

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The reviews, one object for all seeds; ``progress`` gets one line at each stage."""
        return _dataset(self.data_dir, self.vocabulary, self.max_length, self.keep, self.validation, progress)


@functools.lru_cache(maxsize=4)  # all runs of a study share one data set and one progress function
def _dataset(
    data_dir: str | None,
    vocabulary: int,
    max_length: int,
    keep: Literal["last", "first"],
    validation: float,
    progress: Callable[[str], None],
) -> "Dataset":
    from rnnjax.data.tfds.imdb import imdb

    return imdb(
        data_dir=data_dir,
        vocabulary_size=vocabulary,
        max_length=max_length,
        keep=keep,
        validation_fraction=validation,
        seed=0,
        progress=progress,
    )
