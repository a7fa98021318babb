"""Sequential MNIST: images of digits, read pixel by pixel or row by row, optionally with permuted pixels."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from experiments.base import Experiment
from rnnjax.config.training import TrainingSettings, require
from rnnjax.runs.published import Published

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset
    from rnnjax.typing import JSONObject

BAI, LE = "Bai, Kolter & Koltun 2018, table 1", "Le, Jaitly & Hinton 2015, section 4.2"
SEQUENTIAL = (
    Published("RNN", "simplernn", "test accuracy", 0.215, "pixels, 70k parameters", BAI),
    Published("LSTM", "lstm", "test accuracy", 0.872, "pixels, 70k parameters", BAI),
    Published("GRU", "gru", "test accuracy", 0.962, "pixels, 70k parameters", BAI),
    Published("IRNN", "simplernn", "test accuracy", 0.97, "pixels, 100 units", LE),
    Published("LSTM", "lstm", "test accuracy", 0.985, "pixels", "van der Westhuizen & Lasenby 2018"),
    Published("LSTM of Flax", "lstm", "test accuracy", 0.677, "pixels, 5 epochs", "TristanTorchet/LearningJAX"),
    Published("own LSTM", "lstm", "test accuracy", 0.877, "pixels, 5 epochs", "TristanTorchet/LearningJAX"),
)
PERMUTED = (
    Published("RNN", "simplernn", "test accuracy", 0.253, "permuted, 70k parameters", BAI),
    Published("LSTM", "lstm", "test accuracy", 0.857, "permuted, 70k parameters", BAI),
    Published("GRU", "gru", "test accuracy", 0.873, "permuted, 70k parameters", BAI),
    Published("IRNN", "simplernn", "test accuracy", 0.82, "permuted, 100 units", LE),
)
DEFAULT_TRAINING = TrainingSettings(epochs=5, batch_size=128, learning_rate=2e-3, schedule="cosine")


@dataclasses.dataclass(frozen=True)
class Mnist(Experiment):
    """Sequential MNIST (Le, Jaitly & Hinton 2015): classify a digit after reading it pixel by pixel.

    The data set comes through TensorFlow Datasets, without TensorFlow, and is prepared on first use.

    Attributes:
        by: input of a step: one of 784 pixels, or one of 28 rows.
        permuted: put the pixels into one fixed random order first.
        train_examples: number of training images; all that are not used for validation if not given.
        data_dir: folder of TFDS data sets; the environment variable TFDS_DATA_DIR, or ~/tensorflow_datasets, if not
            given.
    """

    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    by: Literal["pixel", "row"] = "pixel"
    permuted: bool = False
    train_examples: int | None = None
    data_dir: str | None = None

    example: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "train_examples", self.train_examples is None or self.train_examples >= 1, "at least 1")

    @property
    def longest(self) -> int:
        """Steps of an image."""
        return 784 if self.by == "pixel" else 28

    def report_metadata(self) -> "JSONObject":
        """As in ``Experiment``, with the published figures for these inputs."""
        published = () if self.by == "row" else PERMUTED if self.permuted else SEQUENTIAL
        return {**super().report_metadata(), "step": self.by, "published": published}

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The images, one object for all seeds; ``progress`` gets one line at each stage."""
        return _dataset(self.data_dir, self.by, self.permuted, self.train_examples, progress)


@functools.lru_cache(maxsize=4)  # all runs of a study share one data set and one progress function
def _dataset(
    data_dir: str | None,
    by: Literal["pixel", "row"],
    permuted: bool,
    train_examples: int | None,
    progress: Callable[[str], None],
) -> "Dataset":
    from rnnjax.data.tfds.mnist import mnist

    return mnist(
        data_dir=data_dir,
        by=by,
        permuted=permuted,
        validation_examples=5000,
        train_examples=train_examples,
        seed=0,
        progress=progress,
    )
