"""Recall: a review opens with an opinion word, then filler; which cell still knows the opinion at the end?"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rnnjax.training.execution import Execution
from rnnjax.training.settings import TrainingSettings, require

if TYPE_CHECKING:
    import flax.linen as nn

    from rnnjax.cells import Cell
    from rnnjax.data.examples import Dataset
    from rnnjax.training.progress import ProgressView

DEFAULT_TRAINING = TrainingSettings(
    batch_size=64, learning_rate=3e-3, validate_every=100, log_gradients_every=10, seeds=3
)


@dataclasses.dataclass(frozen=True)
class Recall:
    """The built-in task, offline: how many words back does each cell remember?

    A review begins with one of eight opinion words ("horrifying", "wonderful", ...), then come d neutral words, d
    drawn uniformly; the label is the opinion's polarity. No training example comes twice in an epoch.

    Attributes:
        cells: cells to train side by side, each a name (simple, lstm, gru) with options after a colon, as in
            gru:chrono=200 or lstm:forget_bias=0 or simple:activation=relu,recurrent_init=identity.
        steps: training steps in an epoch.
        features: units of each cell.
        embedding: size of the word vectors.
        embedding_scale: standard deviation of the initial word vectors: how loudly every word speaks to the cell.
        min_distance: smallest d, in words.
        max_distance: largest d, in words.
        sweep: a flag to vary, or an option of every cell, as in --sweep learning_rate=1e-3,3e-3 --sweep
            cell.init=chrono,orthogonal, of which each cell trains all four combinations; chrono is then set for the
            longest review.
        shard: part of the study to train here, as in --shard 1/4 on the first of four machines that share nothing; all
            of it if not given.
        out: folder for the results; made from the date and time under runs/ if not given.
        training: how to train.
        execution: where and how safely to run.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru", "gru:chrono=200")
    steps: int = 400
    features: int = 64
    embedding: int = 64
    embedding_scale: float = 0.5
    min_distance: int = 10
    max_distance: int = 200
    sweep: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    shard: str | None = None
    out: str | None = None
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    execution: Annotated[Execution, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Execution)

    def __post_init__(self) -> None:
        for name in ("steps", "features", "embedding", "max_distance"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "embedding_scale", 0 < self.embedding_scale < math.inf, "a number above 0")
        require(self, "min_distance", 0 <= self.min_distance <= self.max_distance, "from 0 to --max-distance")

    @property
    def longest(self) -> int:
        """Words of the longest review."""
        return self.max_distance + 1

    def model(self, vocabulary: int, cell: "Cell") -> "nn.Module":
        """The model that is trained around ``cell``, for ``vocabulary`` word ids."""
        from rnnjax.classifier import SequenceClassifier
        from rnnjax.modules import RNN

        return SequenceClassifier(vocabulary, self.embedding, RNN(cell), embedding_scale=self.embedding_scale)

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The reviews of ``seed``; there is no stage of it that ``progress`` is told."""
        from rnnjax.data.recall import recall

        return recall(
            min_distance=self.min_distance,
            max_distance=self.max_distance,
            train_examples=self.steps * self.training.batch_size,
            validation_examples=1000,
            test_per_distance=200,
            seed=seed,
        )

    def run(self, folder: Path, view: "ProgressView") -> None:
        """Train and test every run of the study into ``folder``."""
        from experiments.study import run

        run(self, folder, view)
