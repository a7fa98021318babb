"""Characters: a language model that reads a long text in pieces and carries its state from each to the next."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from experiments.base import StepwiseExperiment
from rnnjax.config.training import TrainingSettings, require
from rnnjax.runs.published import Published

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset

DEFAULT_TRAINING = TrainingSettings(epochs=5, batch_size=32, learning_rate=3e-3, schedule="cosine")


@dataclasses.dataclass(frozen=True)
class Characters(StepwiseExperiment):
    """Character language model with carried state: truncated backpropagation through time (Williams & Peng 1990).

    The text is read at --batch-size places side by side, window by window; each window begins with the state in which
    the one before it ended, and the gradient ends at the window's beginning. Validation and test read at four times as
    many places. The loss is in nats a character; divided by ln 2 it is in bits.

    Attributes:
        file: text to learn; Shakespeare's of TFDS, 1.1 million characters, if not given.
        window: characters through which the gradient is followed back.
        validation: share of the text that is set aside to choose the best epoch.
        test_share: share of the text, its end, that is tested once.
        data_dir: folder of TFDS data sets; the environment variable TFDS_DATA_DIR, or ~/tensorflow_datasets, if not
            given.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru")
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    file: str | None = None
    window: int = 100
    validation: float = 0.05
    test_share: float = 0.05
    data_dir: str | None = None

    step: ClassVar[str] = "character"
    example: ClassVar[str] = "window"
    published: ClassVar[tuple[Published, ...]] = (
        Published("GPT, 6 layers", None, "validation loss", 1.4697, "Shakespeare, 10.7M parameters", "nanoGPT"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "window", self.window >= 1, "at least 1")
        for name in ("validation", "test_share"):
            require(self, name, 0 < getattr(self, name) < 1, "above 0 and below 1")

    @property
    def longest(self) -> int:
        """Characters of a window."""
        return self.window

    def about(self) -> dict[str, Any]:
        """What the report must know of it, as JSON has it; others' figures are of Shakespeare's text."""
        return super().about() if self.file is None else {**super().about(), "published": ()}

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The text, one object for all seeds; ``progress`` is called with one line at each stage."""
        return _dataset(self.file, self.data_dir, self.window, self.validation, self.test_share, progress)


@functools.lru_cache(maxsize=4)  # progress is the same for all runs of one study
def _dataset(
    file: str | None,
    data_dir: str | None,
    window: int,
    validation: float,
    test_share: float,
    progress: Callable[[str], None],
) -> "Dataset":
    from rnnjax.data.files.language_model import characters, read_text_file
    from rnnjax.data.tfds.tiny_shakespeare import tiny_shakespeare

    text = tiny_shakespeare(data_dir=data_dir, progress=progress) if file is None else read_text_file(Path(file))
    return characters(text, window=window, validation_fraction=validation, test_fraction=test_share)
