"""A run folder in memory: what each member logged, as arrays, what it achieved, and its diagnoses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rnnjax.analysis.diagnosis import Diagnosis
from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.runs.member_schema import RunResult
from rnnjax.runs.schema import Stage, TaskInfo
from rnnjax.typing import Floats, JSONObject, JSONValue


@dataclass(frozen=True, eq=False)
class GradientLog:
    """Gradient norms of one state of one layer by lag: (S, L) at the logged ``steps`` (S,), NaN where no example is.

    ``name`` is that of the scan, empty where the layer is one of rnnjax.

    ``mean`` and the quantiles are over the ``count`` examples that reach a lag, counted in time steps back from an
    example's last one. Where training has diverged they can be NaN or infinite although examples reach the lag.
    """

    steps: NDArray[np.int64]
    count: Floats
    mean: Floats
    q10: Floats
    q50: Floats
    q90: Floats
    name: str = ""


@dataclass(frozen=True, eq=False)
class ScoreHistory:
    """Loss and accuracy (a fraction) at the steps (S,) where they were recorded; each array is (S,)."""

    steps: NDArray[np.int64]
    loss: Floats
    accuracy: Floats


@dataclass(frozen=True, eq=False)
class UpdateHistory:
    """How much a step changes each block of parameters, ‖ΔW‖/‖W‖: steps (S,), each ratio (S,), NaN where unknown."""

    steps: NDArray[np.int64]
    ratios: Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class RunRecord:
    """One cell trained from one seed, as far as its training got.

    Attributes:
        name: of its folder.
        label: the cell and what a sweep varies; members of one label differ in their seed alone.
        cell: name of the cell's class in lower case.
        seed: of the initial parameters, the order of the examples and dropout.
        parameters: numbers that are trained; None where it is not known.
        steps: updates of the whole training; None where it is not known.
        train: of every training step.
        gradient_norms: (steps,) global norm before clipping of the steps in ``train``.
        validation: of every validation.
        gradients: (layer, state) -> its log, the state being "h", the LSTM's "c", or an array of the carry of a scan.
        result: None where training has not finished.
        updates: None where they were not logged.
        diagnoses: those that were written.
        diverged: where the first number that is not finite was made, if one was.
        failure: why training gave up, one sentence; None where it did not.
        varied: name of a swept flag -> its value.
        task: what is learnt.
        baseline: loss of the best answer that remembers nothing, where it is known.
        clip: the largest gradient norm that was let through, 0 for any; None where the run did not write it.
        last_step_only: whether the loss reads the sequence at its last step alone, so that the gradient by lag decays
            from there; elsewhere it adds up over many steps' losses, and the diagnoses hold the decay.
    """

    name: str
    label: str
    cell: str
    seed: int
    parameters: int | None
    steps: int | None
    train: ScoreHistory
    gradient_norms: Floats
    validation: ScoreHistory
    gradients: dict[tuple[int, str], GradientLog]
    result: RunResult | None
    updates: UpdateHistory | None = None
    diagnoses: Mapping[Stage, Diagnosis] = field(default_factory=dict)
    diverged: Origin | None = None
    failure: str | None = None
    varied: JSONObject = field(default_factory=dict)
    task: TaskInfo = field(default_factory=TaskInfo)
    baseline: float | None = None
    clip: float | None = None
    last_step_only: bool = True

    @property
    def status(self) -> Literal["finished", "diverged", "unfinished"]:
        """How it ended; a member that was killed, or still trains, is unfinished."""
        if self.failure is not None or self.diverged is not None:
            return "diverged"
        return "unfinished" if self.result is None else "finished"


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder.

    Attributes:
        path: of the folder.
        experiment: name of the experiment, as "recall".
        flags: its settings by name, nested as its dataclasses are.
        environment: what ``environment.json`` holds.
        members: by size, label and seed.
        not_started: names of the member folders in which nothing was written yet.
        task: what is learnt.
    """

    path: Path
    experiment: str
    flags: JSONObject
    environment: JSONObject
    members: tuple[RunRecord, ...]
    not_started: tuple[str, ...]
    task: TaskInfo = field(default_factory=TaskInfo)

    def training_flag(self, name: str, member: RunRecord) -> JSONValue:
        """A flag of the training of a member: the value that a sweep gives it, or the run's; None where unknown."""
        training = self.flags.get("training")
        return member.varied.get(name, training.get(name) if isinstance(training, dict) else None)
