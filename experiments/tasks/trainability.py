"""Trainability: does what is measured before the first step say over which distances a cell can be trained?"""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from experiments.base import Experiment
from rnnjax.config.training import TrainingSettings, require
from rnnjax.errors import UserError

if TYPE_CHECKING:
    import flax.linen as nn

    from rnnjax.cells import Cell
    from rnnjax.data.dataset import Dataset, Sizes

DEFAULT_TRAINING = TrainingSettings(batch_size=32, learning_rate=3e-3, log_gradients_every=0)
VARIED_ALREADY = {
    "cell.init": "--gains",
    "cell.recurrent_init": "--gains",
    "cell.forget_bias": "--forget-biases",
    "distance": "--distances",
}


@dataclasses.dataclass(frozen=True)
class Trainability(Experiment):
    """The built-in task at one distance at a time: does what is measured before the first step say what can be trained?

    A review is an opinion word and so many neutral words, all reviews of a run equally long; a run succeeds where it
    answers 90% of the test right. Each cell is trained at every gain and every distance, the LSTM at every forget bias
    instead; the report draws the boundary that step 0 predicts over what training reached.

    Attributes:
        embedding_scale: standard deviation of the initial word vectors, which are as large as the cell.
        steps: training steps in an epoch.
        gains: of the orthogonal recurrent matrices, for cells other than the LSTM.
        forget_biases: of the LSTM.
        distances: in words.
        distance: of one run; --distances sets it.
    """

    cells: tuple[str, ...] = ("simple", "gru", "lstm")
    features: int = 32
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    embedding_scale: float = 0.5
    steps: int = 300
    gains: tuple[float, ...] = (0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0)
    forget_biases: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    distances: tuple[int, ...] = (10, 20, 35, 60, 100, 160)
    distance: Annotated[int, tyro.conf.Suppress] = 10

    step: ClassVar[str] = "word"
    example: ClassVar[str] = "review"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "embedding_scale", 0 < self.embedding_scale < math.inf, "a number above 0")
        require(self, "steps", self.steps >= 1, "at least 1")
        for name, holds, wanted in (
            ("gains", lambda gain: 0 < gain < math.inf, "numbers above 0"),
            ("forget_biases", math.isfinite, "finite numbers"),
            ("distances", lambda distance: distance >= 1, "numbers of at least 1"),
        ):
            values = getattr(self, name)
            fit = bool(values) and all(map(holds, values)) and len({*values}) == len(values)
            require(self, name, fit, f"one or more {wanted}, none twice")

    @property
    def longest(self) -> int:
        """Words of a review."""
        return self.distance + 1

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The reviews of ``seed``; there is no stage of it that ``progress`` is told."""
        from rnnjax.data.synthetic.recall import recall

        return recall(
            min_distance=self.distance,
            max_distance=self.distance,
            train_examples=self.steps * self.training.batch_size,
            validation_examples=500,
            test_per_distance=500,
            seed=seed,
        )._replace(explained=False)  # it would take longer than to train

    def model(self, sizes: "Sizes", cell: "Cell") -> "nn.Module":
        """The model that is trained around ``cell``."""
        return self.architecture.model(sizes, cell, embedding=self.features, embedding_scale=self.embedding_scale)

    def studies(self) -> tuple[Experiment, ...]:
        """Two: the cells without a forget bias over the gains, then the LSTMs over the forget biases.

        Raises:
            UserError: no cell, or a sweep over what is varied already.
        """
        if not self.cells:
            raise UserError("--cells wants at least one cell, but none was given.")
        for item in self.sweep:
            if (name := item.partition("=")[0].strip().replace("-", "_")) in VARIED_ALREADY:
                raise UserError(f"--sweep {name} varies what this study varies already; set {VARIED_ALREADY[name]}.")
        biased = [spec for spec in self.cells if spec.strip().lower().partition(":")[0] == "lstm"]
        axes = {
            "cell.init=" + ",".join(f"orthogonal*{gain:g}" for gain in self.gains): [
                spec for spec in self.cells if spec not in biased
            ],
            "cell.forget_bias=" + ",".join(f"{bias:g}" for bias in self.forget_biases): biased,
        }
        distances = "distance=" + ",".join(map(str, self.distances))
        return tuple(
            dataclasses.replace(self, cells=tuple(cells), sweep=(axis, distances, *self.sweep))
            for axis, cells in axes.items()
            if cells
        )
