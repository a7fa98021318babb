"""The gradient norm by lag at every logged step, thinned to a size that fits in a page, for the interactive figures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnjax.report.figures import style
from rnnjax.report.figures.gradients import edges, group_memory_key, layer_titles
from rnnjax.report.summary.seed_groups import SeedGroups, gradient_history
from rnnjax.typing import Floats

MAX_STEPS, MIN_STEPS = 60, 8
MAX_NUMBERS = 150_000  # 0.8 MB; a page should stay below 5 MB


@dataclass(frozen=True, eq=False)
class GradientHistory:
    """Median gradient norm at the memory of one layer of one cell, by training step and lag.

    Attributes:
        label: the cell's label.
        name: the title of the curve, which names the layer where the cell has several.
        layer: its index, 0 for the layer that reads the inputs.
        colour: of the cell in all figures.
        steps: (S,) the logged training steps.
        borders: (S+1,) half-way between the steps.
        levels: (S, L) log10 of the norm, NaN where it was not measured, -∞ where it is zero.
    """

    label: str
    name: str
    layer: int
    colour: str
    steps: NDArray[np.int32]
    borders: Floats
    levels: NDArray[np.float32]


def gradient_histories(groups: SeedGroups) -> list[GradientHistory]:
    """The history of each cell and layer with a gradient log, at no more steps than a page has room for."""
    colour = style.colours([group.label for group in groups])
    logs = [
        (group, layer, title, *gradient_history(group, group_memory_key(group, layer)))
        for group, layer, title in layer_titles(groups)
    ]
    lags = sum(norms.shape[1] for *_, norms in logs)
    room = max(MIN_STEPS, min(MAX_STEPS, MAX_NUMBERS // max(1, lags)))
    return [
        _log_levels((group.label, title, layer, colour[group.label]), *thinned(steps, norms, room))
        for group, layer, title, steps, norms in logs
    ]


def thinned(steps: NDArray[np.int64], norms: Floats, room: int) -> tuple[NDArray[np.int64], Floats]:
    """At most ``room`` of the logged steps, evenly spread from the first to the last, and their norms."""
    if len(steps) <= room:
        return steps, norms
    kept = np.linspace(0, len(steps) - 1, room).round().astype(int)
    return steps[kept], norms[kept]


def _log_levels(names: tuple[str, str, int, str], steps: NDArray[np.int64], norms: Floats) -> GradientHistory:
    with np.errstate(divide="ignore"):
        levels = np.log10(np.where(np.isfinite(norms), norms, np.nan)).astype(np.float32)
    return GradientHistory(*names, steps.astype(np.int32), edges(steps), levels)
