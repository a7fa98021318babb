"""One trained cell as its folder tells it: what was logged, what it achieved, what it was diagnosed with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.runs.diagnosis import Diagnosis
from rnnjax.runs.task import TaskInfo
from rnnjax.typing import Floats

Moment = Literal["start", "end"]
MOMENTS: tuple[Moment, ...] = ("start", "end")


@dataclass(frozen=True, eq=False)
class GradientLog:
    """The gradient norms of one state of one layer: steps (S,), all else (S, L) by lag, NaN where no example is.

    ``mean`` and the quantiles are over the ``count`` examples that reach a lag, counted in steps back from an
    example's last one; where training has diverged they can be NaN or infinite although examples reach the lag.
    """

    steps: NDArray[np.int64]
    count: Floats
    mean: Floats
    q10: Floats
    q50: Floats
    q90: Floats


@dataclass(frozen=True, eq=False)
class Scores:
    """Loss and accuracy (a fraction) at the steps (S,) where they were recorded; each array is (S,)."""

    steps: NDArray[np.int64]
    loss: Floats
    accuracy: Floats


@dataclass(frozen=True, eq=False)
class Updates:
    """How much a step changes each block of parameters, ‖ΔW‖/‖W‖: steps (S,), each ratio (S,), NaN where unknown."""

    steps: NDArray[np.int64]
    ratios: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class Result:
    """What a finished member achieved; distances are in time steps, accuracies are fractions, arrays are (D,).

    ``validation_loss`` is NaN where a run did not write it.
    """

    test_loss: float
    test_accuracy: float
    validation_accuracy: float
    best_step: int
    seconds: float
    steps_per_second: float
    compile_seconds: float
    distance: Floats | None
    accuracy: Floats | None
    validation_loss: float = np.nan


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One cell trained from one seed; ``result`` is None where training has not finished.

    ``gradients`` maps (layer, state) to its log, state being "h" or the LSTM's "c". ``gradient_norms`` (steps,) is
    the global norm before clipping of the steps in ``train``. ``diagnoses`` holds those moments whose diagnosis was
    written, ``failure`` why training gave up, one sentence, and ``diverged`` where the first number that is not finite
    was made. ``varied`` maps what a sweep varies to its value here; members of one label differ in their seed alone.
    ``baseline`` is the loss of the best answer that remembers nothing, where it is known, and ``clip`` the largest
    gradient norm that was let through, 0 for any, where the run has written it.
    """

    name: str
    label: str
    cell: str
    seed: int
    parameters: int
    steps: int
    train: Scores
    gradient_norms: Floats
    validation: Scores
    gradients: dict[tuple[int, str], GradientLog]
    result: Result | None
    updates: Updates | None = None
    diagnoses: Mapping[Moment, Diagnosis] = field(default_factory=dict)
    diverged: Origin | None = None
    failure: str | None = None
    varied: Mapping[str, Any] = field(default_factory=dict)
    task: TaskInfo = field(default_factory=TaskInfo)
    baseline: float | None = None
    clip: float | None = None

    @property
    def status(self) -> Literal["finished", "diverged", "unfinished"]:
        """What came of it; a member that is killed, or still trains, is unfinished."""
        if self.failure is not None or self.diverged is not None:
            return "diverged"
        return "unfinished" if self.result is None else "finished"
