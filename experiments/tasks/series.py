"""Series: your own series of numbers with labels, from an npz file."""

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

DEFAULT_TRAINING = TrainingSettings(epochs=10, batch_size=32, learning_rate=1e-3, schedule="cosine", buckets=4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series(Experiment):
    """SimpleRNN, LSTM or GRU → Dense on series of your own, each with a class or a number as label.

    An .npz file holds x, (N, T, D) or (N, T), and y, (N,): integers or words are classes, floating numbers are
    numbers. Series of different lengths lie one after the other in x, (sum of lengths, D), with their lengths, (N,).

    Attributes:
        train: file with series and labels to train on.
        test: file with series and labels to test on; a part of --train if not given.
        validation: share of the training series that is set aside to choose the best epoch.
        test_share: share of the training series that is tested on without --test.
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
        """The series, one object for all seeds; ``progress`` is called with one line at each stage."""
        return _dataset(self.train, self.test, self.validation, self.test_share, progress)


@functools.lru_cache(maxsize=4)
def _longest(train: str, test: str | None) -> int:
    from rnnjax.data.files.series_reader import read_series

    return max(int(read_series(Path(path)).lengths.max()) for path in (train, test) if path is not None)


@functools.lru_cache(maxsize=4)  # progress is the same for all runs of one study
def _dataset(
    train: str, test: str | None, validation: float, test_share: float, progress: Callable[[str], None]
) -> "Dataset":
    from rnnjax.data.files.time_series import labelled_series

    return labelled_series(
        train=Path(train),
        test=None if test is None else Path(test),
        validation_fraction=validation,
        test_fraction=test_share,
        seed=0,
        progress=progress,
    )
