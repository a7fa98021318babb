"""From members to labels: what several seeds of one cell say together, before it is drawn or put in words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rnnjax.diagnostics.gradients import half_life, reach
from rnnjax.runs.member_schema import RunResult
from rnnjax.runs.run_record import GradientLog, Run, RunRecord
from rnnjax.runs.schema import Stage
from rnnjax.typing import Floats

Key = tuple[int, str]  # (layer, state)
FEWEST, SHARE = 5, 0.1  # a lag that fewer examples reach, or a smaller share of the batch, is not measured


@dataclass(frozen=True)
class Fade:
    """How a gradient fades on its way back through time.

    ``half_life`` and ``reach`` are in time steps, as ``rnnjax.diagnostics.gradients`` defines them; ``remaining`` is
    the norm at ``farthest``, the largest measured lag (see ``measured``), as a fraction of the norm at lag 0.
    Where ``trouble`` is not empty ("not finite", "zero") the four mean nothing.
    """

    half_life: float
    reach: float
    farthest: int
    remaining: float
    trouble: Literal["", "not finite", "zero"] = ""


@dataclass(frozen=True, eq=False)
class SeedGroup:
    """All members of one label."""

    label: str
    members: tuple[RunRecord, ...]

    @property
    def finished(self) -> tuple[RunRecord, ...]:
        """The members that have a result."""
        return tuple(member for member in self.members if member.result is not None)

    @property
    def counted(self) -> tuple[RunRecord, ...]:
        """The finished members, or all of them while none has finished."""
        return self.finished or self.members

    @property
    def keys(self) -> tuple[Key, ...]:
        """The (layer, state) pairs that any counted member has logged."""
        return tuple(sorted({key for member in self.counted for key in member.gradients}))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have a gradient log."""
        return tuple(sorted({layer for layer, _ in self.keys}))


@dataclass(frozen=True, eq=False)
class Band:
    """A gradient norm by lag: median and quantiles over examples, of each the median seed at that lag, all (L,)."""

    q10: Floats
    q50: Floats
    q90: Floats


def seed_groups(run: Run) -> tuple[SeedGroup, ...]:
    """The labels of a run in the order of its members."""
    labels = dict.fromkeys(member.label for member in run.members)
    return tuple(SeedGroup(label, tuple(m for m in run.members if m.label == label)) for label in labels)


def middle(values: Floats | list[float]) -> Floats:
    """The median over the first axis without NaN: (N, ...) → (...); of an even number the lower one of the two.

    So it is always the value of one seed, also where some are infinite.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=0)  # NaN comes last
    index = np.maximum((~np.isnan(ordered)).sum(axis=0) - 1, 0) // 2
    return np.take_along_axis(ordered, np.expand_dims(index, 0), axis=0)[0]


def memory(member: RunRecord, layer: int = 0) -> Key:
    """The state that carries what a layer remembers: c where it has one (LSTM), otherwise h."""
    return (layer, "c") if (layer, "c") in member.gradients else (layer, "h")


def moment(log: GradientLog, when: Stage) -> int | None:
    """The row of ``log`` that is the start (its first) or the end (its last, once there are two)."""
    if when == "start":
        return 0
    return len(log.steps) - 1 if len(log.steps) > 1 else None


def measured(log: GradientLog) -> NDArray[np.bool_]:
    """Whether enough examples reach each lag for a median, (S, L): ``FEWEST`` and ``SHARE``, or all of a tiny batch.

    Beyond, the norm of a few long examples would be compared with that of the whole batch.
    """
    batch = log.count[:, :1]
    return (log.count > 0) & (log.count >= np.minimum(batch, np.maximum(FEWEST, SHARE * batch)))


def fade(log: GradientLog, row: int) -> Fade:
    """How the median norm of one recorded step fades with the lag."""
    norms = log.q50[row]
    lags = np.flatnonzero(measured(log)[row])
    if len(lags) == 0 or not np.isfinite(norms[lags]).all():
        return Fade(np.nan, np.nan, 0, np.nan, "not finite")
    if norms[0] <= 0:
        return Fade(np.nan, np.nan, 0, np.nan, "zero")
    farthest = int(lags[-1])
    known = norms[: farthest + 1]
    return Fade(float(half_life(known)), float(reach(known)), farthest, float(known[-1] / known[0]))


def member_fade(member: RunRecord, when: Stage) -> Fade | None:
    """The fade of what the layer that reads the inputs remembers; None where it is not logged (yet)."""
    log = member.gradients.get(memory(member))
    row = None if log is None else moment(log, when)
    return None if log is None or row is None else fade(log, row)


def fades(group: SeedGroup, when: Stage) -> list[Fade]:
    """One fade for each counted member that has it."""
    return [found for member in group.counted if (found := member_fade(member, when)) is not None]


def open_from(found: list[Fade]) -> float:
    """The reach from which a reach, or a median of several, is only a lower bound: the measurement ended."""
    return min((one.reach for one in found if one.reach >= one.farthest), default=np.inf)


def band(group: SeedGroup, key: Key, when: Stage) -> Band | None:
    """Norm by lag at the start or the end of training over the counted members; None where none has it."""
    rows = [
        (log, row)
        for member in group.counted
        if (log := member.gradients.get(key)) is not None and (row := moment(log, when)) is not None
    ]
    if not rows:
        return None
    levels = ([_known(log, getattr(log, level))[row] for log, row in rows] for level in ("q10", "q50", "q90"))
    return Band(*map(stacked, levels))


def history(group: SeedGroup, key: Key) -> tuple[NDArray[np.int64], Floats]:
    """Median norm at every logged step over the counted members: steps (S,), norms (S, L), NaN where not measured."""
    logs = [member.gradients[key] for member in group.counted if key in member.gradients]
    steps = np.array(sorted({int(step) for log in logs for step in log.steps}), np.int64)
    known = [(log.steps, _known(log, log.q50)) for log in logs]
    rows = [[norms[at == step][0] for at, norms in known if (at == step).any()] for step in steps]
    longest = max(log.q50.shape[1] for log in logs)
    return steps, np.stack([stacked(row, longest) for row in rows])


def _known(log: GradientLog, norms: Floats) -> Floats:
    return np.where(measured(log), norms, np.nan)


def stacked(rows: list[Floats], length: int | None = None) -> Floats:
    """The middle of rows of unequal length, filled up with NaN to the longest, or to ``length``."""
    length = length or max(len(row) for row in rows)
    return middle(np.stack([np.pad(row, (0, length - len(row)), constant_values=np.nan) for row in rows]))


def accuracy_by_distance(group: SeedGroup) -> tuple[Floats, Floats] | None:
    """Distances in time steps (D,) and accuracies (members, D); None where no member measured them."""
    measured = [
        dict(zip(result.distance, result.accuracy, strict=True))
        for member in group.finished
        if (result := member.result) is not None and result.distance is not None and result.accuracy is not None
    ]
    distances = sorted({distance for by_distance in measured for distance in by_distance})
    if not distances:
        return None
    rows = [[by_distance.get(distance, np.nan) for distance in distances] for by_distance in measured]
    return np.array(distances, np.float64), np.array(rows, np.float64)


def mean(values: Floats) -> Floats:
    """Mean over the first axis without NaN, NaN where there is nothing else: (N, ...) → (...)."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def results(group: SeedGroup, value: Callable[[RunResult], float]) -> Floats:
    """One number of each finished member (N,)."""
    found = [value(member.result) for member in group.members if member.result is not None]
    return np.array(found, np.float64)
