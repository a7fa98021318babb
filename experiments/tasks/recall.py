"""Recall: classify a synthetic review by its first word, after up to hundreds of neutral words."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.base import WordExperiment
from rnnjax.config.training import TrainingSettings, require

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset

DEFAULT_TRAINING = TrainingSettings(
    batch_size=64, learning_rate=3e-3, validate_every=100, log_gradients_every=10, seeds=3
)


@dataclasses.dataclass(frozen=True)
class Recall(WordExperiment):
    """The built-in task, offline: how many words back does each cell remember?

    A review is one of eight opinion words ("horrifying", "wonderful", ...) followed by d neutral words, with d drawn
    uniformly; the label is the opinion's polarity. Each training example is used once an epoch.

    Attributes:
        steps: training steps in an epoch.
        min_distance: smallest d, in words.
        max_distance: largest d, in words.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru", "gru:chrono=200")
    features: int = 64
    embedding: int = 64
    embedding_scale: float = 0.5
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    steps: int = 400
    min_distance: int = 10
    max_distance: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "max_distance"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "min_distance", 0 <= self.min_distance <= self.max_distance, "from 0 to --max-distance")

    @property
    def longest(self) -> int:
        """Words of the longest review."""
        return self.max_distance + 1

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The reviews generated from ``seed``; ``progress`` is not called."""
        from rnnjax.data.synthetic.recall import recall

        return recall(
            min_distance=self.min_distance,
            max_distance=self.max_distance,
            train_examples=self.steps * self.training.batch_size,
            validation_examples=1000,
            test_per_distance=200,
            seed=seed,
        )
