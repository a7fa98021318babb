"""The copy memory task: repeat ten symbols after a long delay."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from experiments.base import StepwiseExperiment
from rnnjax.config.training import TrainingSettings, require
from rnnjax.runs.published import Published

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset

BAI = "Bai, Kolter & Koltun 2018, figure 3"
DEFAULT_TRAINING = TrainingSettings(
    epochs=6, batch_size=64, learning_rate=3e-3, schedule="cosine", validate_every=100, log_gradients_every=50, seeds=3
)


@dataclasses.dataclass(frozen=True)
class Copying(StepwiseExperiment):
    """Copy memory (Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016): repeat ten symbols after a delay.

    Without memory, the best answer is blank until the go sign and a guess from then on, with a cross-entropy of
    10·ln 8/(delay + 20) nats a step.

    Attributes:
        steps: training steps in an epoch; each example is used once an epoch.
        delay: steps between the last symbol shown and the first to be repeated.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru")
    features: int = 64
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    steps: int = 500
    delay: int = 50

    published: ClassVar[tuple[Published, ...]] = tuple(
        Published(model, cell, "test loss", 0.02, "delay 1000, stays at the baseline", BAI)
        for model, cell in (("RNN", "simplernn"), ("LSTM", "lstm"), ("GRU", "gru"))
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "delay"):
            require(self, name, getattr(self, name) >= 1, "at least 1")

    @property
    def longest(self) -> int:
        """Steps of a sequence."""
        return self.delay + 20

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The sequences generated from ``seed``; ``progress`` is not called."""
        from rnnjax.data.synthetic.copying import copying

        return copying(
            delay=self.delay,
            train_examples=self.steps * self.training.batch_size,
            validation_examples=500,
            test_examples=1000,
            seed=seed,
        )
