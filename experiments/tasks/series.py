"""Series: classification or regression of your own time series, from .npz files."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from experiments.base import Experiment
from rnnjax.config.training import TrainingSettings, require

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset

DEFAULT_TRAINING = TrainingSettings(epochs=10, batch_size=32, learning_rate=1e-3, schedule="cosine", sorted_batches=100)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series(Experiment):
    """SimpleRNN, LSTM or GRU → Dense on your own time series, each labelled with a class or a number.

    An .npz file holds x, (N, T, D) or (N, T), and y, (N,): integers and strings are classes, floating-point numbers
    are regression targets. Series of different lengths are concatenated in x, (sum of lengths, D), with an array
    lengths, (N,).

    Attributes:
        train: file with series and labels to train on.
        test: file with series and labels to test on; part of --train is used if not given.
        validation: fraction of the training series that is held out to choose the best epoch.
        test_share: fraction of the training series that is tested on if --test is not given.
    """

    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    train: str
    test: str | None = None
    validation: float = 0.1
    test_share: float = 0.1

    example: ClassVar[str] = "series"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("validation", "test_share"):
            require(self, name, 0 < getattr(self, name) < 1, "above 0 and below 1")

    @property
    def longest(self) -> int:
        """Steps of the longest series."""
        return _longest(self.train, self.test)

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The series, one object for all seeds; ``progress`` gets one line at each stage."""
        return _dataset(self.train, self.test, self.validation, self.test_share, progress)


@functools.lru_cache(maxsize=4)
def _longest(train: str, test: str | None) -> int:
    from rnnjax.data.files.series_reader import read_series

    return max(int(read_series(Path(path)).lengths.max()) for path in (train, test) if path is not None)


@functools.lru_cache(maxsize=4)  # all runs of a study share one data set and one progress function
def _dataset(
    train: str, test: str | None, validation: float, test_share: float, progress: Callable[[str], None]
) -> "Dataset":
    from rnnjax.data.files.time_series import series_dataset_from_files

    return series_dataset_from_files(
        train=Path(train),
        test=None if test is None else Path(test),
        validation_fraction=validation,
        test_fraction=test_share,
        seed=0,
        progress=progress,
    )
