"""Trainability: do measurements at initialisation predict over which distances a cell can be trained?"""

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
VARIED_BY_FLAG = {
    "cell.init": "--gains",
    "cell.recurrent_init": "--gains",
    "cell.forget_bias": "--forget-biases",
    "distance": "--distances",
}


@dataclasses.dataclass(frozen=True)
class Trainability(Experiment):
    """The recall task at fixed distances: do measurements at initialisation predict what can be trained?

    A review is an opinion word followed by a fixed number of neutral words; a run succeeds if its test accuracy is at
    least 90%. Each cell is trained at every gain and every distance, the LSTM at every forget bias and every distance;
    the report draws the boundary predicted at initialisation over the results of training.

    Attributes:
        embedding_scale: standard deviation of the initial word vectors, whose size is --features.
        steps: training steps in an epoch.
        gains: scales of the orthogonal recurrent matrix, for cells other than the LSTM.
        forget_biases: initial biases of the forget gate, for the LSTM.
        distances: numbers of neutral words after the opinion word.
        distance: number of neutral words in one run; set from --distances.
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
        for name, holds, expected in (
            ("gains", lambda gain: 0 < gain < math.inf, "numbers above 0"),
            ("forget_biases", math.isfinite, "finite numbers"),
            ("distances", lambda distance: distance >= 1, "numbers of at least 1"),
        ):
            values = getattr(self, name)
            valid = bool(values) and all(map(holds, values)) and len({*values}) == len(values)
            require(self, name, valid, f"one or more different {expected}")

    @property
    def longest(self) -> int:
        """Words of a review."""
        return self.distance + 1

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The reviews generated from ``seed``; ``progress`` is not called."""
        from rnnjax.data.synthetic.recall import recall

        return recall(
            min_distance=self.distance,
            max_distance=self.distance,
            train_examples=self.steps * self.training.batch_size,
            validation_examples=500,
            test_per_distance=500,
            seed=seed,
        )._replace(explained=False)  # word attribution would take longer than training

    def model(self, sizes: "Sizes", cell: "Cell") -> "nn.Module":
        """The model to train, built around ``cell``."""
        return self.architecture.model(sizes, cell, embedding=self.features, embedding_scale=self.embedding_scale)

    def studies(self) -> tuple[Experiment, ...]:
        """Up to two studies: cells other than the LSTM over the gains, then LSTMs over the forget biases.

        Raises:
            UserError: no cell, one without what this study varies, or a cell or sweep that sets it already.
        """
        if not self.cells:
            raise UserError("--cells must be one or more cells, but none was given.")
        for item in self.sweep:
            if (name := item.partition("=")[0].strip().replace("-", "_")) in VARIED_BY_FLAG:
                raise UserError(f"--sweep {name} varies what this study varies already; set {VARIED_BY_FLAG[name]}.")
        for spec in self.cells:
            _check_cell(spec)
        biased = [spec for spec in self.cells if _is_lstm(spec)]
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


def _is_lstm(cell_spec: str) -> bool:
    """Whether the study varies the forget bias of this cell, not the recurrent matrix."""
    return cell_spec.strip().lower().partition(":")[0] == "lstm"


def _check_cell(cell_spec: str) -> None:
    """Raise UserError where a cell lacks the option that the study varies, or sets it, or a distance, itself."""
    from rnnjax.cells.registry import parse_spec  # with jax, for which --help would wait
    from rnnjax.cells.specs.options import cell_options

    spec = parse_spec(cell_spec)
    option, flag = ("forget_bias", "--forget-biases") if _is_lstm(cell_spec) else ("recurrent_init", "--gains")
    given = {item.partition("=")[0].strip().replace("-", "_") for item in spec.options}
    for name, flag_of_study in ((option, flag), ("distance", "--distances")):
        if name in given:
            raise UserError(f"The cell {cell_spec!r} sets {name}, which this study varies; set {flag_of_study}.")
    if option not in cell_options(spec.load_class()):
        raise UserError(
            f"The cell {spec.name!r} has no {option}, which {flag} vary; choose other cells, as in --cells simple gru."
        )
