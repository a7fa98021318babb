"""The adding problem: output the sum of two marked numbers at the end of a long sequence."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from experiments.base import Experiment
from rnnjax.config.training import TrainingSettings, require
from rnnjax.runs.published import Published

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset

BAI = "Bai, Kolter & Koltun 2018, table 1"
DEFAULT_TRAINING = TrainingSettings(
    epochs=8, batch_size=64, learning_rate=3e-3, schedule="cosine", validate_every=100, log_gradients_every=50, seeds=3
)


@dataclasses.dataclass(frozen=True)
class Adding(Experiment):
    """Adding problem (Hochreiter & Schmidhuber 1997): remember two numbers until the end, and add them.

    Each step shows a number from 0 to 1 and a mark; one number in each half of the sequence is marked. Without memory,
    the best answer is always 1, with a mean squared error of 1/6.

    Attributes:
        steps: training steps in an epoch; each example is used once an epoch.
        length: longest sequence, in steps.
        min_length: shortest sequence, in steps; the same as --length if not given.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru")
    features: int = 64
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    steps: int = 500
    length: int = 200
    min_length: int | None = None

    published: ClassVar[tuple[Published, ...]] = (
        Published("LSTM", "lstm", "test loss", 0.164, "T=600, 70k parameters", BAI),
        Published("GRU", "gru", "test loss", 5.3e-5, "T=600, 70k parameters", BAI),
        Published("RNN", "simplernn", "test loss", 0.177, "T=600, 70k parameters", BAI),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "steps", self.steps >= 1, "at least 1")
        require(self, "length", self.length >= 2, "at least 2")
        shortest = self.length if self.min_length is None else self.min_length
        require(self, "min_length", 2 <= shortest <= self.length, "from 2 to --length")

    @property
    def longest(self) -> int:
        """Steps of the longest sequence."""
        return self.length

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The sequences generated from ``seed``; ``progress`` is not called."""
        from rnnjax.data.synthetic.adding import adding

        return adding(
            min_length=self.length if self.min_length is None else self.min_length,
            max_length=self.length,
            train_examples=self.steps * self.training.batch_size,
            validation_examples=1000,
            test_examples=2000,
            seed=seed,
        )
