"""Diagnoses summarised over the seeds of a group: quantities by lag, and single numbers with their interval."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rnnjax.analysis.diagnosis import QUANTILE_NAMES, LayerDiagnosis
from rnnjax.diagnostics.confidence_intervals import seed_interval
from rnnjax.report.summary.seed_groups import (
    MIN_EXAMPLES,
    MIN_SHARE,
    SeedGroup,
    SeedGroups,
    lower_median,
    mean,
)
from rnnjax.runs.run_record import RunRecord
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

MIN_SEEDS = 3  # of a confidence interval; that of two seeds would be 13 times as wide as their distance
FROM_LATER_STEPS = ("belt", "detour", "enters")  # parts of the gradient that do not exist at lag 0
Band = Literal["none", "examples", "range", "interval"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A quantity by lag: the lower median over the seeds and a band around it, each (L,), NaN where not measured.

    ``band`` is the kind of the band: "examples" (q10 to q90 over the examples of a single seed) or "none", "range"
    (from the lower to the higher of two seeds), or "interval" (95% Student t interval of the mean over three or more).
    """

    median: Floats
    low: Floats
    high: Floats
    band: Band


@dataclass(frozen=True)
class Interval:
    """Mean over seeds and its 95% Student t interval; the bounds are NaN where ``seeds`` is less than three."""

    mean: float
    low: float
    high: float
    seeds: int


def member_layer(member: RunRecord, when: Stage, layer_index: int = 0) -> LayerDiagnosis | None:
    """A diagnosed layer, by default the one that reads the inputs; None where it was not diagnosed."""
    diagnosis = member.diagnoses.get(when)
    return None if diagnosis is None or layer_index >= len(diagnosis.layers) else diagnosis.layers[layer_index]


def group_layers(group: SeedGroup, when: Stage, layer_index: int = 0) -> list[LayerDiagnosis]:
    """The diagnosed layer of every reported member that has it."""
    return [layer for member in group.reported if (layer := member_layer(member, when, layer_index)) is not None]


def any_layer(group: SeedGroup, layer_index: int = 0) -> LayerDiagnosis | None:
    """The layer of some member at some moment, for what never changes: its name and its gates; None without any."""
    return next((layer for when in STAGES for layer in group_layers(group, when, layer_index)), None)


def diagnosed(groups: SeedGroups) -> list[tuple[SeedGroup, int, str]]:
    """Each group and index of a diagnosed layer, with a title: the label alone where the cell has one layer."""
    titled = []
    for group in groups:
        diagnoses = [diagnosis for member in group.reported for diagnosis in member.diagnoses.values()]
        layers = max((diagnosis.layers for diagnosis in diagnoses), key=len, default=())
        for layer_index, layer in enumerate(layers):
            backwards = " (backwards)" if layer.reverse else ""
            title = group.label if len(layers) == 1 else f"{group.label}, {layer.name}{backwards}"
            titled.append((group, layer_index, title))
    return titled


def has_belt(layer: LayerDiagnosis) -> bool:
    """Whether the layer has a conveyor belt: ∂m_t/∂m_{t-1} at fixed z, or a gradient along it, is not 0 everywhere."""
    known = (layer.by_lag.get(name) for name in ("keep", "belt"))
    return layer.keep_at_bias > 0 or any(levels is not None and bool((levels.q90 > 0).any()) for levels in known)


def mean_keep(layer: LayerDiagnosis) -> float | None:
    """The mean over lags of the median share of the memory that the gates keep; None where it was not measured."""
    keep = by_lag(layer, "keep")
    return None if np.isnan(keep).all() else float(np.nanmean(keep))


def enough_examples(count: Floats) -> NDArray[np.bool_]:
    """Whether enough examples reach each lag for a median, by the same rule as ``measured_lags``: (L,) → (L,)."""
    batch = count[:1]
    return (count > 0) & (count >= np.minimum(batch, np.maximum(MIN_EXAMPLES, MIN_SHARE * batch)))


def by_lag(layer: LayerDiagnosis, quantity: str, level: str = "q50") -> Floats:
    """One quantile over examples of a quantity by lag (L,), NaN where it was not measured at enough examples.

    Parts of the gradient that come from later steps are NaN at lag 0, where there is no later step.
    """
    levels = layer.by_lag.get(quantity)
    known = enough_examples(layer.count.astype(float))
    if quantity.split()[0] in FROM_LATER_STEPS:
        known = known & (np.arange(len(known)) > 0)
    return np.where(known, np.nan if levels is None else getattr(levels, level), np.nan)


def curve(
    group: SeedGroup, layer_index: int, when: Stage, quantity: str, scale: Callable[[Floats], Floats] | None = None
) -> Curve | None:
    """A quantity by lag over the seeds, transformed by ``scale``; None where no seed has a finite number."""
    layers = group_layers(group, when, layer_index)
    q10, q50, q90 = ([_scaled(by_lag(layer, quantity, level), scale) for layer in layers] for level in QUANTILE_NAMES)
    result = median_curve(q50)
    if result is None:
        return None
    if result.band != "none":
        low = result.low if scale is None else np.maximum(result.low, scale(np.zeros(1)))  # where the scale ends
        return Curve(result.median, low, result.high, result.band)
    (seed,) = (index for index, values in enumerate(q50) if not np.isnan(values).all())
    return Curve(result.median, q10[seed], q90[seed], "examples")


def clip_to_shares(share: Curve) -> Curve:
    """The curve of a share with its band cut to 0..1, which a Student t interval can exceed."""
    return replace(share, low=np.clip(share.low, 0, 1), high=np.clip(share.high, 0, 1))


def _scaled(values: Floats, scale: Callable[[Floats], Floats] | None) -> Floats:
    finite = np.where(np.isfinite(values), values, np.nan)
    return finite if scale is None else scale(finite)


def median_curve(rows: list[Floats]) -> Curve | None:
    """The lower median of rows of any length and a band around it, at the lags where every row has a number.

    The curve would jump at a lag where a seed drops out. Rows of NaN alone are ignored; None where nothing is left.
    """
    rows = [values for values in rows if not np.isnan(values).all()]
    if not rows:
        return None
    table = pad_rows(rows)
    every = ~np.isnan(table).any(axis=0)
    if not every.any():
        return None
    table = np.where(every, table, np.nan)
    if len(table) == 1:
        return Curve(table[0], table[0], table[0], "none")
    if len(table) < MIN_SEEDS:
        return Curve(lower_median(table), table.min(axis=0), table.max(axis=0), "range")
    low, high = np.full((2, table.shape[1]), np.nan)
    _, low[every], high[every] = seed_interval(table[:, every], axis=0)
    return Curve(lower_median(table), low, high, "interval")


def pad_rows(rows: list[Floats]) -> Floats:
    """Rows of unequal length as one array (N, L), padded with NaN."""
    longest = max(len(row) for row in rows)
    return np.stack([np.pad(row, (0, longest - len(row)), constant_values=np.nan) for row in rows])


def gate_shares(group: SeedGroup, layer_index: int, when: Stage) -> Floats | None:
    """The shares of the gates through which the detour enters: (G, L), of sum 1 over the gates; None without any.

    Each gate's median norm divided by the sum over the gates, averaged over the seeds; NaN at lags where the sum is 0
    or not finite in any seed. Seeds without any number are ignored.
    """
    by_seed = []
    for layer in filter(lambda layer: layer.gates, group_layers(group, when, layer_index)):
        norms = np.stack([by_lag(layer, f"enters {gate}") for gate in layer.gates])
        total = norms.sum(axis=0)
        usable = np.isfinite(total) & (total > 0)
        if usable.any():
            by_seed.append(np.where(usable, norms, np.nan) / np.where(usable, total, 1.0))
    if not by_seed:
        return None
    longest = max(rows.shape[1] for rows in by_seed)
    table = [np.pad(rows, ((0, 0), (0, longest - rows.shape[1])), constant_values=np.nan) for rows in by_seed]
    result = np.stack(table).mean(axis=0)
    return None if np.isnan(result).all() else result


def layer_values(group: SeedGroup, when: Stage, name: str, layer_index: int = 0) -> Floats:
    """The attribute ``name`` of the layer in every diagnosed seed, without NaN: (N,)."""
    values = np.array([getattr(layer, name) for layer in group_layers(group, when, layer_index)], np.float64)
    return values[~np.isnan(values)]


def over_seeds(values: Floats, least: float = 0.0, most: float = np.inf) -> Interval:
    """Mean over N seeds of values (N,) and its interval, cut to [least, most], if all are finite and N at least 3."""
    if len(values) < MIN_SEEDS or not np.isfinite(values).all():
        return Interval(float(mean(values)) if len(values) else np.nan, np.nan, np.nan, len(values))
    centre, low, high = (float(bound) for bound in seed_interval(values))
    return Interval(centre, max(low, least), min(high, most), len(values))
