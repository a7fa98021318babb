"""What every experiment is: its flags in common, the nouns that its report uses, and what others have published."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from rnnjax.config.execution import Execution
from rnnjax.config.model import Architecture
from rnnjax.config.training import TrainingSettings, require, require_sizes
from rnnjax.runs.published import Published

if TYPE_CHECKING:
    import flax.linen as nn

    from rnnjax.cells import Cell
    from rnnjax.data.dataset import Dataset, Sizes


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Cells to be trained side by side on one task; the flags that all experiments share.

    Attributes:
        cells: what to train side by side, each a cell (simple, lstm, gru) with options after a colon, as in
            gru:chrono=200 or lstm:recurrent_dropout=0.2, and any flag that --sweep knows, as in
            lstm:clip=0.5,pooling=mean.
        features: units of each cell.
        sweep: a flag to vary, or an option of every cell, as in --sweep learning_rate=1e-3,3e-3 --sweep
            cell.init=chrono,orthogonal, of which each cell trains all four combinations; chrono is then set for the
            longest sequence.
        shard: part of the study to train here, as in --shard 1/4 on the first of four machines that share nothing; all
            of it if not given.
        out: folder for the results; made from the date and time under runs/ if not given.
        architecture: what is built around a cell.
        training: how to train.
        execution: where and how safely to run.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru")
    features: int = 128
    sweep: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    shard: str | None = None
    out: str | None = None
    architecture: Annotated[Architecture, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Architecture)
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = dataclasses.field(default_factory=TrainingSettings)
    execution: Annotated[Execution, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Execution)

    step: ClassVar[str] = "step"  # a person's word for one time step
    example: ClassVar[str] = "sequence"  # and for one example
    published: ClassVar[tuple[Published, ...]] = ()

    def __post_init__(self) -> None:
        require(self, "features", self.features >= 1, "at least 1")
        require_sizes(self)

    @property
    def longest(self) -> int:
        """Steps of the longest sequence."""
        raise NotImplementedError

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The data of ``seed``, the same object where seeds share them; ``progress`` is told a line at each stage."""
        raise NotImplementedError

    def model(self, sizes: "Sizes", cell: "Cell") -> "nn.Module":
        """The model that is trained around ``cell``."""
        return self.architecture.model(sizes, cell)

    def about(self) -> dict[str, Any]:
        """What the report must know of it, as fields of ``TaskInfo``."""
        return {"step": self.step, "example": self.example, "published": self.published}

    def studies(self) -> "tuple[Experiment, ...]":
        """The studies that this experiment consists of, one after the other: itself, as a rule.

        Each trains its own cells at every combination of its own --sweep; --shard divides all of them together.
        """
        return (self,)


@dataclasses.dataclass(frozen=True)
class WordExperiment(Experiment):
    """One that reads words, each of which has a vector.

    Attributes:
        embedding: size of the word vectors.
        embedding_scale: standard deviation of the initial word vectors: how loudly every word speaks to the cell.
        word_dropout: share of the words that are silenced in a text in training, each wherever it stands.
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
        """The model that is trained around ``cell``."""
        return self.architecture.model(
            sizes,
            cell,
            embedding=self.embedding,
            embedding_scale=self.embedding_scale,
            word_dropout=self.word_dropout,
        )


@dataclasses.dataclass(frozen=True)
class StepwiseExperiment(Experiment):
    """One that answers at every step, so that nothing may be pooled over steps or read from behind."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.architecture, "pooling", self.architecture.pooling == "last", "last where every step answers")
        require(self.architecture, "bidirectional", not self.architecture.bidirectional, "off where every step answers")

    def model(self, sizes: "Sizes", cell: "Cell") -> "nn.Module":
        """The model that is trained around ``cell``."""
        return self.architecture.model(sizes, cell, every_step=True)
