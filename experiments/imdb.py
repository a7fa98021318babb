"""IMDB: the tutorial's side-by-side on 25,000 real movie reviews, one word swapped."""

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from rnnjax.training.execution import Execution
from rnnjax.training.settings import TrainingSettings, require

if TYPE_CHECKING:
    import flax.linen as nn

    from rnnjax.cells import Cell
    from rnnjax.data.examples import Dataset
    from rnnjax.training.progress import ProgressView

DEFAULT_TRAINING = TrainingSettings(epochs=3, batch_size=32, learning_rate=1e-3, schedule="cosine", buckets=6)


@dataclasses.dataclass(frozen=True)
class Imdb:
    """Embedding → SimpleRNN, LSTM or GRU → Dense(1, sigmoid) on IMDB movie reviews.

    The data set comes through TensorFlow Datasets, without TensorFlow, and is prepared at its first use.

    Attributes:
        cells: cells to train side by side, each a name (simple, lstm, gru) with options after a colon, as in
            gru:chrono=200 or lstm:recurrent_dropout=0.2.
        features: units of each cell.
        embedding: size of the word vectors.
        embedding_scale: standard deviation of the initial word vectors: how loudly every word speaks to the cell.
        vocabulary: number of word ids, padding and unknown included: the most frequent words of the training part.
        max_length: longest review, in words.
        keep: which end of a longer review is kept.
        validation: share of the training reviews that is set aside to choose the best epoch.
        data_dir: folder of TFDS data sets; the environment variable TFDS_DATA_DIR, or ~/tensorflow_datasets, if not
            given.
        sweep: a flag to vary, or an option of every cell, as in --sweep learning_rate=1e-3,3e-3 --sweep
            cell.init=chrono,orthogonal, of which each cell trains all four combinations; chrono is then set for the
            longest review.
        shard: part of the study to train here, as in --shard 1/4 on the first of four machines that share nothing; all
            of it if not given.
        out: folder for the results; made from the date and time under runs/ if not given.
        training: how to train.
        execution: where and how safely to run.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru")
    features: int = 128
    embedding: int = 128
    embedding_scale: float = 0.1
    vocabulary: int = 20000
    max_length: int = 500
    keep: Literal["last", "first"] = "last"
    validation: float = 0.1
    data_dir: str | None = None
    sweep: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    shard: str | None = None
    out: str | None = None
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    execution: Annotated[Execution, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Execution)

    def __post_init__(self) -> None:
        for name in ("features", "embedding", "max_length"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "embedding_scale", 0 < self.embedding_scale < math.inf, "a number above 0")
        require(self, "vocabulary", self.vocabulary >= 3, "at least 3, since padding and unknown count")
        require(self, "validation", 0 < self.validation < 1, "above 0 and below 1")

    @property
    def longest(self) -> int:
        """Words of the longest review."""
        return self.max_length

    def model(self, vocabulary: int, cell: "Cell") -> "nn.Module":
        """The model that is trained around ``cell``, for ``vocabulary`` word ids."""
        from rnnjax.classifier import SequenceClassifier
        from rnnjax.modules import RNN

        return SequenceClassifier(vocabulary, self.embedding, RNN(cell), embedding_scale=self.embedding_scale)

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The reviews, one object for all seeds; ``progress`` is called with one line at each stage."""
        return _dataset(self.data_dir, self.vocabulary, self.max_length, self.keep, self.validation, progress)

    def run(self, folder: Path, view: "ProgressView") -> None:
        """Train and test every run of the study into ``folder``."""
        from experiments.study import run

        run(self, folder, view)


@functools.lru_cache(maxsize=4)  # progress is the same for all runs of one study
def _dataset(
    data_dir: str | None,
    vocabulary: int,
    max_length: int,
    keep: Literal["last", "first"],
    validation: float,
    progress: Callable[[str], None],
) -> "Dataset":
    from rnnjax.data.imdb import imdb

    return imdb(
        data_dir=data_dir,
        vocabulary_size=vocabulary,
        max_length=max_length,
        keep=keep,
        validation_fraction=validation,
        seed=0,
        progress=progress,
    )
