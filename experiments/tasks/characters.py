"""Characters: a character language model trained on consecutive windows of a text, with carried state."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from experiments.base import StepwiseExperiment
from rnnjax.config.training import TrainingSettings, require
from rnnjax.runs.published import Published

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset
    from rnnjax.typing import JSONObject

DEFAULT_TRAINING = TrainingSettings(epochs=5, batch_size=32, learning_rate=3e-3, schedule="cosine", validate_every=100)


@dataclasses.dataclass(frozen=True)
class Characters(StepwiseExperiment):
    """Character language model with carried state: truncated backpropagation through time (Williams & Peng 1990).

    The text is cut into --batch-size contiguous streams, which are read in parallel, window by window. Each window
    starts from the final state of the one before it; gradients stop at the start of the window. Validation and test
    use four times as many streams, which begin from zeros; so that the network learns to begin there, each stream of
    the training restarts from zeros in front of a window with a probability of 5%. The loss is in nats a character;
    divide it by ln 2 for bits.

    Attributes:
        file: text file to train on, plain or .gz; tiny_shakespeare of TFDS, 1.1 million characters, if not given.
        encoding: of the file, as Python names it: utf-8, latin-1, cp1252, shift_jis, utf-16.
        window: characters in a window, the length of truncated backpropagation.
        validation: fraction of the text that is held out to choose the best epoch.
        test_share: fraction of the text, at its end, that is used for the test.
        data_dir: folder of TFDS data sets; the environment variable TFDS_DATA_DIR, or ~/tensorflow_datasets, if not
            given.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru")
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    file: str | None = None
    encoding: str = "utf-8"
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

    def report_metadata(self) -> "JSONObject":
        """As in ``Experiment``; the published figures are for Shakespeare's text."""
        return super().report_metadata() if self.file is None else {**super().report_metadata(), "published": ()}

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The text, one object for all seeds; ``progress`` gets one line at each stage."""
        return _dataset(
            self.file, self.encoding, self.data_dir, self.window, self.validation, self.test_share, progress
        )


@functools.lru_cache(maxsize=4)  # all runs of a study share one data set and one progress function
def _dataset(
    file: str | None,
    encoding: str,
    data_dir: str | None,
    window: int,
    validation: float,
    test_share: float,
    progress: Callable[[str], None],
) -> "Dataset":
    from rnnjax.data.files.language_model import character_dataset, read_text_file
    from rnnjax.data.tfds.tiny_shakespeare import tiny_shakespeare

    if file is None:
        text = tiny_shakespeare(data_dir=data_dir, progress=progress)
    else:
        text = read_text_file(Path(file), encoding)
    return character_dataset(text, window=window, validation_fraction=validation, test_fraction=test_share)
