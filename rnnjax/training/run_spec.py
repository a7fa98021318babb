"""One run of a study, before anything is compiled."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping

import flax.linen as nn

from rnnjax.cells import Cell
from rnnjax.cells.registry import slug_of
from rnnjax.config.training import TrainingSettings
from rnnjax.data.dataset import Dataset, Sizes
from rnnjax.typing import JSONValue


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """One cell, one combination of settings, one seed.

    Attributes:
        label: the cell and what a sweep varies, for people; runs of one label differ in their seed alone.
        seed: of the initial parameters, the order of the examples and dropout.
        cell: to be trained.
        settings: of training.
        task: what model and data depend on beside cell and seed; runs of equal ``task`` have arrays of equal shapes.
        make_model: (sizes, cell) -> model.
        make_dataset: () -> data; the same object where seeds share one.
        varied: name of a swept flag -> its value here.
        report_metadata: what a report shows about the task: {"step": "word", "example": "review", "published": [...]}.
    """

    label: str
    seed: int
    cell: Cell
    settings: TrainingSettings
    task: Hashable
    make_model: Callable[[Sizes, Cell], nn.Module]
    make_dataset: Callable[[], Dataset]
    varied: Mapping[str, JSONValue] = dataclasses.field(default_factory=dict)
    report_metadata: Mapping[str, JSONValue] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the run's folder, for example ``gru-chrono-200-seed0``."""
        return f"{slug_of(self.label)}-seed{self.seed}"
