"""How far back the answers of trained networks depend on their input, by cell: what the table and the figure show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnnjax.analysis.input_reach import InputReach
from rnnjax.runs.schema import TaskInfo
from rnnjax.typing import Floats


@dataclass(frozen=True, eq=False)
class NetworkReach:
    """One trained network of a run.

    Attributes:
        run: folder.
        experiment: name of the task.
        label: the cell and what a sweep varies; networks of one label differ in their seed alone.
        seed: of the training.
        length: steps of the longest sequence that the task can have.
        task: what is learnt.
        measured: on the test data.
    """

    run: Path
    experiment: str
    label: str
    seed: int
    length: int
    task: TaskInfo
    measured: InputReach

    def shown(self, scores: Floats | float) -> Floats:
        """Scores as the report shows them: accuracies, losses, or errors in the unit of the labels."""
        return self.task.main_error(scores) if self.task.by_loss else np.asarray(scores, np.float64)


@dataclass(frozen=True, eq=False)
class CellReach:
    """The networks of one run and one label."""

    networks: tuple[NetworkReach, ...]

    @property
    def first(self) -> NetworkReach:
        """What all of them share, but for seed and measurement."""
        return self.networks[0]

    @property
    def at_chance(self) -> int:
        """How many have no score above that of the best constant answer."""
        return sum(network.measured.left.at_chance for network in self.networks)

    def values(self, value: Callable[[NetworkReach], float | None]) -> Floats:
        """``value`` of each network (S,), NaN for None."""
        values = map(value, self.networks)
        return np.array([np.nan if number is None else number for number in values], np.float64)

    def scores_with(self, share: float) -> Floats:
        """The scores (S,) with the last ``share`` of the steps intact; all further back is another example's."""
        return self.values(
            lambda network: float(network.shown(network.measured.score_with(steps_of(network.length, share))))
        )


def steps_of(length: int, share: float) -> int:
    """A share of the steps of a sequence, at least 1."""
    return max(1, round(share * length))


def cells_of(networks: Sequence[NetworkReach]) -> tuple[CellReach, ...]:
    """The networks by run and label, in their order."""
    groups: dict[tuple[Path, str], list[NetworkReach]] = {}
    for network in networks:
        groups.setdefault((network.run, network.label), []).append(network)
    return tuple(CellReach(tuple(group)) for group in groups.values())
