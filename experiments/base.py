"""The base classes of experiments: shared flags, the words a report uses, and published figures to compare with."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from rnnjax.config.execution import Execution
from rnnjax.config.model import Architecture
from rnnjax.config.training import TrainingSettings, require, require_sizes
from rnnjax.runs.published import Published

if TYPE_CHECKING:
    import flax.linen as nn

    from rnnjax.cells import Cell
    from rnnjax.data.dataset import Dataset, Sizes
    from rnnjax.typing import JSONObject


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Trains several cells on one task and compares them; the flags that all experiments share.

    Attributes:
        cells: cells to train and compare, each a name (simple, lstm, gru, peephole, janet, indrnn, mingru, minlstm,
            ctrnn, layernorm_lstm, lstmp, slstm, lru, cornn) with options after a colon, as in gru:chrono=200 or
            lstm:recurrent_dropout=0.2, or a class in a file of your own, as in my_cells:MyCell:depth=2; also flags,
            all that --sweep accepts, can be set for one cell in the same way, as in lstm:clip=0.5,pooling=mean.
        features: hidden units of each cell.
        sweep: a flag to vary, or an option of every cell, as in --sweep learning_rate=1e-3,3e-3 --sweep
            cell.init=chrono,orthogonal, which trains each cell at all four combinations; chrono uses the length of
            the longest sequence.
        shard: part of the study to train, as in --shard 1/4 on the first of four independent machines; the whole
            study if not given.
        out: folder for the results; a new folder under runs/, named after the date and time, if not given.
        architecture: layers around the cell.
        training: how to train.
        execution: devices, checkpoints and caches.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru")
    features: int = 128
    sweep: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    shard: str | None = None
    out: str | None = None
    architecture: Annotated[Architecture, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Architecture)
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = dataclasses.field(default_factory=TrainingSettings)
    execution: Annotated[Execution, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Execution)

    step: ClassVar[str] = "step"  # what the report calls one time step
    example: ClassVar[str] = "sequence"  # what the report calls one example
    published: ClassVar[tuple[Published, ...]] = ()

    def __post_init__(self) -> None:
        require(self, "features", self.features >= 1, "at least 1")
        require_sizes(self)

    @property
    def longest(self) -> int:
        """Length of the longest sequence, in steps."""
        raise NotImplementedError

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The data set for ``seed``, one object where seeds share it; ``progress`` gets one line at each stage."""
        raise NotImplementedError

    def model(self, sizes: "Sizes", cell: "Cell") -> "nn.Module":
        """The model to train, built around ``cell``."""
        return self.architecture.model(sizes, cell)

    def report_metadata(self) -> "JSONObject":
        """What the report shows about the task: its words for a step and an example, and published figures."""
        return {"step": self.step, "example": self.example, "published": self.published}

    def studies(self) -> "tuple[Experiment, ...]":
        """The studies this experiment consists of, in order; by default the experiment itself.

        Each trains its own cells at every combination of its own --sweep; --shard divides their concatenation.
        """
        return (self,)


@dataclasses.dataclass(frozen=True)
class WordExperiment(Experiment):
    """An experiment whose inputs are words, each looked up in an embedding.

    Attributes:
        embedding: size of the word vectors.
        embedding_scale: standard deviation of the initial word vectors.
        word_dropout: fraction of the distinct words of a text whose vectors are set to zero in training, at every
            occurrence.
    """

    embedding: int = 128
    embedding_scale: float = 0.1
    word_dropout: float = 0.0

    step: ClassVar[str] = "word"
    example: ClassVar[str] = "review"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "embedding", self.embedding >= 1, "at least 1")
        require(self, "embedding_scale", 0 < self.embedding_scale < math.inf, "a number above 0")
        require(self, "word_dropout", 0 <= self.word_dropout < 1, "from 0 to below 1")

    def model(self, sizes: "Sizes", cell: "Cell") -> "nn.Module":
        """The model to train, built around ``cell``."""
        return self.architecture.model(
            sizes,
            cell,
            embedding=self.embedding,
            embedding_scale=self.embedding_scale,
            word_dropout=self.word_dropout,
        )


@dataclasses.dataclass(frozen=True)
class StepwiseExperiment(Experiment):
    """An experiment with an output at every step, which rules out pooling over steps and reading backwards."""

    def __post_init__(self) -> None:
        super().__post_init__()
        architecture, reason = self.architecture, "for a task with an output at every step"
        require(architecture, "pooling", architecture.pooling == "last", f"last {reason}")
        require(architecture, "bidirectional", not architecture.bidirectional, f"off {reason}")

    def model(self, sizes: "Sizes", cell: "Cell") -> "nn.Module":
        """The model to train, built around ``cell``."""
        return self.architecture.model(sizes, cell, every_step=True)
