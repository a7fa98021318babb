"""The temporal order problem: classify the order of two or three marks far apart among distractors."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from experiments.base import Experiment
from rnnjax.config.training import TrainingSettings, require
from rnnjax.runs.published import Published

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset
    from rnnjax.typing import JSONObject

PASCANU = "Pascanu, Mikolov & Bengio 2013, section 4.1.1"
DEFAULT_TRAINING = TrainingSettings(
    epochs=4, batch_size=64, learning_rate=3e-3, schedule="cosine", validate_every=100, log_gradients_every=50, seeds=3
)


@dataclasses.dataclass(frozen=True)
class Temporal(Experiment):
    """Temporal order problem (Hochreiter & Schmidhuber 1997, experiment 6; Pascanu, Mikolov & Bengio 2013).

    Each sequence consists of distractors a, b, c and d and of two or three marks X or Y, the first of them near the
    beginning; the class is the order of the marks.

    Attributes:
        steps: training steps in an epoch; each example is used once an epoch.
        length: longest sequence, in steps.
        min_length: shortest sequence, in steps; the same as --length if not given.
        marks: number of marks: 2, with four possible orders, or 3, with eight.
    """

    cells: tuple[str, ...] = ("simple", "simple:omega=2", "lstm", "gru")
    features: int = 50
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    steps: int = 500
    length: int = 100
    min_length: int | None = None
    marks: int = 2

    published: ClassVar[tuple[Published, ...]] = (
        Published("RNN, clipping and Ω", "simplernn", "test accuracy", 1.0, "T=50 to 200, in every run", PASCANU),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "steps", self.steps >= 1, "at least 1")
        require(self, "length", self.length >= 10, "at least 10")
        shortest = self.length if self.min_length is None else self.min_length
        require(self, "min_length", 10 <= shortest <= self.length, "from 10 to --length")
        require(self, "marks", self.marks in (2, 3), "2 or 3")

    @property
    def longest(self) -> int:
        """Steps of the longest sequence."""
        return self.length

    def report_metadata(self) -> "JSONObject":
        """As in ``Experiment``; the published figures are for two marks."""
        return super().report_metadata() if self.marks == 2 else {**super().report_metadata(), "published": ()}

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The sequences generated from ``seed``; ``progress`` is not called."""
        from rnnjax.data.synthetic.temporal_order import temporal_order

        return temporal_order(
            min_length=self.length if self.min_length is None else self.min_length,
            max_length=self.length,
            marks=self.marks,
            train_examples=self.steps * self.training.batch_size,
            validation_examples=1000,
            test_examples=2000,
            seed=seed,
        )
