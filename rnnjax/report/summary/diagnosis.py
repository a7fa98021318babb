"""From diagnoses of members to what several seeds of one cell say together, by lag and as one number."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rnnjax.analysis.diagnosis import QUANTILE_NAMES, LayerDiagnosis
from rnnjax.diagnostics.confidence_intervals import seed_interval
from rnnjax.report.summary.seed_groups import FEWEST, SHARE, SeedGroup, fades, mean, middle
from rnnjax.runs.run_record import RunRecord
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

ENOUGH_SEEDS = 3  # from so many seeds on a band is a confidence interval; of two it would be 13 times their distance
TRAVELLED = ("belt", "detour", "enters")
Band = Literal["none", "examples", "range", "interval"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A quantity by lag: the median seed and a band around it, each (L,), NaN where not measured.

    ``band`` says what the band is: of one seed the q10 and q90 over examples or none, of two the lower and the
    higher, of more the 95% Student t interval of the mean over seeds.
    """

    middle: Floats
    low: Floats
    high: Floats
    band: Band


@dataclass(frozen=True)
class Interval:
    """Mean of one number over seeds and its 95% Student t interval; NaN bounds where ``seeds`` are fewer than two."""

    mean: float
    low: float
    high: float
    seeds: int


def layer_of(member: RunRecord, when: Stage, place: int = 0) -> LayerDiagnosis | None:
    """A diagnosed layer, the one that reads the inputs by default; None where it was not diagnosed."""
    found = member.diagnoses.get(when)
    return found.layers[place] if found is not None and place < len(found.layers) else None


def layers_of(group: SeedGroup, when: Stage, place: int = 0) -> list[LayerDiagnosis]:
    """That layer of every counted member that has it."""
    return [found for member in group.counted if (found := layer_of(member, when, place)) is not None]


def either(group: SeedGroup, place: int = 0) -> LayerDiagnosis | None:
    """That layer of any member at any moment, for what never changes: its name and its gates."""
    return next((layer for when in STAGES for layer in layers_of(group, when, place)), None)


def diagnosed(labels: tuple[SeedGroup, ...]) -> list[tuple[SeedGroup, int, str]]:
    """Each label and layer that was diagnosed, with its title: the label alone where it has one layer."""
    found = []
    for group in labels:
        known = [diagnosis for member in group.counted for diagnosis in member.diagnoses.values()]
        layers = max((diagnosis.layers for diagnosis in known), key=len, default=())
        for place, layer in enumerate(layers):
            backwards = " (backwards)" if layer.reverse else ""
            title = group.label if len(layers) == 1 else f"{group.label}, {layer.name}{backwards}"
            found.append((group, place, title))
    return found


def has_belt(layer: LayerDiagnosis) -> bool:
    """Whether a memory is carried along at all: ∂m_t/∂m_{t-1} at fixed z is not 0 everywhere."""
    keep = layer.by_lag.get("keep")
    return layer.keep_at_bias > 0 or (keep is not None and bool((keep.q90 > 0).any()))


def enough(count: Floats) -> NDArray[np.bool_]:
    """Whether enough examples reach each lag for a median, as for the gradient log: (L,) → (L,)."""
    batch = count[:1]
    return (count > 0) & (count >= np.minimum(batch, np.maximum(FEWEST, SHARE * batch)))


def by_lag(layer: LayerDiagnosis, quantity: str, level: str = "q50") -> Floats:
    """One quantile of a quantity (L,), NaN where too few examples are so long or it was not measured.

    NaN also at lag 0 for the parts that come from later steps: nothing has travelled there.
    """
    levels = layer.by_lag.get(quantity)
    known = enough(layer.count.astype(float))
    if quantity.split()[0] in TRAVELLED:
        known = known & (np.arange(len(known)) > 0)
    return np.where(known, np.nan if levels is None else getattr(levels, level), np.nan)


def curve(
    group: SeedGroup, place: int, when: Stage, quantity: str, shown: Callable[[Floats], Floats] | None = None
) -> Curve | None:
    """A quantity over the seeds in the scale in which it is ``shown``; None where no seed has a finite number."""
    layers = layers_of(group, when, place)
    q10, q50, q90 = ([_shown(by_lag(layer, quantity, level), shown) for layer in layers] for level in QUANTILE_NAMES)
    found = over_members(q50)
    if found is None:
        return None
    if found.band != "none":
        low = found.low if shown is None else np.maximum(found.low, shown(np.zeros(1)))  # the scale ends there
        return Curve(found.middle, low, found.high, found.band)
    (one,) = (place for place, values in enumerate(q50) if not np.isnan(values).all())
    return Curve(found.middle, q10[one], q90[one], "examples")


def within(share: Curve) -> Curve:
    """The curve of a share, its band cut to 0..1: an interval of Student's t knows no such bounds."""
    return replace(share, low=np.clip(share.low, 0, 1), high=np.clip(share.high, 0, 1))


def _shown(values: Floats, scale: Callable[[Floats], Floats] | None) -> Floats:
    finite = np.where(np.isfinite(values), values, np.nan)
    return finite if scale is None else scale(finite)


def over_members(rows: list[Floats]) -> Curve | None:
    """The median seed of rows of any length and the band around it, at the lags where every seed has a number.

    A curve would leap where a seed drops out. Rows without any number have no part in it; None where nothing is left.
    """
    known = [values for values in rows if not np.isnan(values).all()]
    if not known:
        return None
    table = padded(known)
    every = ~np.isnan(table).any(axis=0)
    if not every.any():
        return None
    table = np.where(every, table, np.nan)
    if len(table) == 1:
        return Curve(table[0], table[0], table[0], "none")
    if len(table) < ENOUGH_SEEDS:
        return Curve(middle(table), table.min(axis=0), table.max(axis=0), "range")
    low, high = np.full((2, table.shape[1]), np.nan)
    _, low[every], high[every] = seed_interval(table[:, every], axis=0)
    return Curve(middle(table), low, high, "interval")


def padded(rows: list[Floats]) -> Floats:
    """Rows of unequal length as one table (N, L), filled up with NaN."""
    longest = max(len(row) for row in rows)
    return np.stack([np.pad(row, (0, longest - len(row)), constant_values=np.nan) for row in rows])


def shares(group: SeedGroup, place: int, when: Stage) -> Floats | None:
    """How the detour is divided among the gates it enters through: (G, L), 0..1 and of sum 1; None without any.

    The mean over seeds of every gate's median norm divided by the sum of these; NaN where that is 0 or no number of
    any seed. A seed without any number has no part in it.
    """
    divided = []
    for layer in layers_of(group, when, place):
        norms = np.stack([by_lag(layer, f"enters {gate}") for gate in layer.gates])
        total = norms.sum(axis=0)
        usable = np.isfinite(total) & (total > 0)
        if usable.any():
            divided.append(np.where(usable, norms, np.nan) / np.where(usable, total, 1.0))
    if not divided:
        return None
    longest = max(rows.shape[1] for rows in divided)
    table = [np.pad(rows, ((0, 0), (0, longest - rows.shape[1])), constant_values=np.nan) for rows in divided]
    found = np.stack(table).mean(axis=0)
    return None if np.isnan(found).all() else found


def numbers(group: SeedGroup, when: Stage, name: str, place: int = 0) -> Floats:
    """One number of a layer, of every seed that was diagnosed and has it: (N,)."""
    values = np.array([getattr(layer, name) for layer in layers_of(group, when, place)], np.float64)
    return values[~np.isnan(values)]


def half_lives(group: SeedGroup, when: Stage) -> Floats:
    """The half-life of what each seed remembers, of those that have one, infinite ones with them: (N,)."""
    values = np.array([fade.half_life for fade in fades(group, when)], np.float64)
    return values[~np.isnan(values)]


def over_seeds(values: Floats, least: float = 0.0, most: float = np.inf) -> Interval:
    """Mean and interval of finite numbers (N,) of N seeds, the bounds cut to what is possible."""
    if len(values) < 2 or not np.isfinite(values).all():
        return Interval(float(mean(values)) if len(values) else np.nan, np.nan, np.nan, len(values))
    centre, low, high = (float(bound) for bound in seed_interval(values))
    return Interval(centre, max(low, least), min(high, most), len(values))
