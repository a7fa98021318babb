"""Members of a run grouped by label, and summaries over the seeds of a group: gradients by lag, scores."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnjax.analysis.layer_diagnosis import state_rank
from rnnjax.runs.member_schema import RunResult
from rnnjax.runs.run_record import GradientLog, Run, RunRecord
from rnnjax.runs.schema import Stage
from rnnjax.typing import Floats

StateKey = tuple[int, str]  # (layer, state), see ``RunRecord.gradients``
MIN_EXAMPLES, MIN_SHARE = 5, 0.1  # fewer examples at a lag, or a smaller share of the batch, are no measurement


@dataclass(frozen=True, eq=False)
class SeedGroup:
    """The members of a run that share a label; they differ in their seed alone."""

    label: str
    members: tuple[RunRecord, ...]

    @property
    def finished(self) -> tuple[RunRecord, ...]:
        """The members that have a result."""
        return tuple(member for member in self.members if member.result is not None)

    @property
    def reported(self) -> tuple[RunRecord, ...]:
        """The members that tables and figures are drawn from: the finished ones, or all while none has finished."""
        return self.finished or self.members

    @property
    def last_step_only(self) -> bool:
        """Whether the loss of every member reads the last step alone, so that the logged gradient decays over lag."""
        return all(member.last_step_only for member in self.members)

    @property
    def keys(self) -> tuple[StateKey, ...]:
        """The (layer, state) pairs that any reported member has logged."""
        return tuple(sorted({key for member in self.reported for key in member.gradients}))

    def scan_name(self, layer: int) -> str:
        """The name of a scan that was logged as this layer; empty where the layer is one of rnnjax."""
        logs = (log for member in self.reported for (index, _), log in member.gradients.items() if index == layer)
        return next((log.name for log in logs), "")

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have a gradient log."""
        return tuple(sorted({layer for layer, _ in self.keys}))


SeedGroups = tuple[SeedGroup, ...]


@dataclass(frozen=True, eq=False)
class GradientBand:
    """Gradient norm by lag (L,): quantiles over the examples, of several seeds the lower median at each lag."""

    q10: Floats
    q50: Floats
    q90: Floats


def seed_groups(run: Run) -> SeedGroups:
    """The members of a run by label, in the order of the run."""
    by_label: dict[str, list[RunRecord]] = {}
    for member in run.members:
        by_label.setdefault(member.label, []).append(member)
    return tuple(SeedGroup(label, tuple(members)) for label, members in by_label.items())


def lower_median(values: Floats | list[float]) -> Floats:
    """The median over the first axis, NaN ignored: (N, ...) → (...); of an even number of values the lower middle one.

    The result is always the value of one seed, even where other seeds are infinite.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=0)  # NaN comes last
    index = np.maximum((~np.isnan(ordered)).sum(axis=0) - 1, 0) // 2
    return np.take_along_axis(ordered, np.expand_dims(index, 0), axis=0)[0]


def memory_key(member: RunRecord, layer: int = 0) -> StateKey:
    """The key of a layer's memory: c where it was logged (LSTM), otherwise h, otherwise the first state by name."""
    states = sorted((state for key_layer, state in member.gradients if key_layer == layer), key=state_rank)
    return (layer, states[0] if states else "h")


def log_row(log: GradientLog, when: Stage) -> int | None:
    """The row of ``log`` of a moment: the first is the start, the last the end; None while a second is missing."""
    if when == "start":
        return 0
    return len(log.steps) - 1 if len(log.steps) > 1 else None


def measured_lags(log: GradientLog) -> NDArray[np.bool_]:
    """Whether enough examples reach each lag for a median, (S, L).

    Enough are ``MIN_EXAMPLES`` and ``MIN_SHARE`` of the batch, or all of a smaller batch. With fewer, the norm of a
    few long examples would be compared with that of the whole batch.
    """
    batch = log.count[:, :1]
    return (log.count > 0) & (log.count >= np.minimum(batch, np.maximum(MIN_EXAMPLES, MIN_SHARE * batch)))


def gradient_band(group: SeedGroup, key: StateKey, when: Stage) -> GradientBand | None:
    """Gradient norm by lag at the start or the end of training over the reported members; None where none has it."""
    rows = [
        (log, row)
        for member in group.reported
        if (log := member.gradients.get(key)) is not None and (row := log_row(log, when)) is not None
    ]
    if not rows:
        return None
    levels = ([_measured_norms(log, getattr(log, level))[row] for log, row in rows] for level in ("q10", "q50", "q90"))
    return GradientBand(*map(median_row, levels))


def gradient_history(group: SeedGroup, key: StateKey) -> tuple[NDArray[np.int64], Floats]:
    """Median norm at every logged step over the reported members: steps (S,), norms (S, L), NaN where not measured."""
    logs = [member.gradients[key] for member in group.reported if key in member.gradients]
    rows: dict[int, list[Floats]] = {}  # of each step, one of each log that has it
    for log in logs:
        logged, first = np.unique(log.steps, return_index=True)
        for step, norms in zip(logged.tolist(), _measured_norms(log, log.q50)[first], strict=True):
            rows.setdefault(step, []).append(norms)
    longest = max(log.q50.shape[1] for log in logs)
    steps = sorted(rows)
    return np.array(steps, np.int64), np.stack([median_row(rows[step], longest) for step in steps])


def _measured_norms(log: GradientLog, norms: Floats) -> Floats:
    return np.where(measured_lags(log), norms, np.nan)


def median_row(rows: list[Floats], length: int | None = None) -> Floats:
    """The lower median of rows of unequal length, padded with NaN to the longest, or to ``length``."""
    length = length or max(len(row) for row in rows)
    return lower_median(np.stack([np.pad(row, (0, length - len(row)), constant_values=np.nan) for row in rows]))


def accuracy_by_distance(group: SeedGroup) -> tuple[Floats, Floats] | None:
    """Distances in time steps (D,) and accuracies (members, D); None where no member measured them."""
    by_member = [
        dict(zip(result.distance, result.accuracy, strict=True))
        for member in group.finished
        if (result := member.result) is not None and result.distance is not None and result.accuracy is not None
    ]
    distances = sorted({distance for accuracies in by_member for distance in accuracies})
    if not distances:
        return None
    rows = [[accuracies.get(distance, np.nan) for distance in distances] for accuracies in by_member]
    return np.array(distances, np.float64), np.array(rows, np.float64)


def mean(values: Floats) -> Floats:
    """Mean over the first axis, NaN ignored: (N, ...) → (...); NaN where all values are."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def results(group: SeedGroup, value: Callable[[RunResult], float]) -> Floats:
    """``value`` of the result of each finished member (N,)."""
    values = [value(member.result) for member in group.members if member.result is not None]
    return np.array(values, np.float64)
