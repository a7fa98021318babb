"""The gradient at every logged step, thinned so that a page can carry it: what the interactive figures share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnjax.report.figures import style
from rnnjax.report.figures.gradients import edges, remembered, titles
from rnnjax.report.summary.seed_groups import SeedGroup, history
from rnnjax.typing import Floats

MOST_STEPS, FEWEST_STEPS = 60, 8
MOST_NUMBERS = 150_000  # 0.8 MB of a page that holds less than 5


@dataclass(frozen=True, eq=False)
class History:
    """Median norm of what one layer of one cell remembers: steps (S,), log10 norms (S, L), by lag in time steps.

    ``label`` is the cell's, ``name`` tells its layers apart; ``layer`` is 0 for the one that reads the inputs.
    ``levels`` is NaN where nothing was measured and -∞ where the norm is zero; ``borders`` (S+1,) lie between the
    steps.
    """

    label: str
    name: str
    layer: int
    colour: str
    steps: NDArray[np.int32]
    borders: Floats
    levels: NDArray[np.float32]


def histories(labels: tuple[SeedGroup, ...]) -> list[History]:
    """One for each cell and layer that has a gradient log, at no more steps than a page has room for."""
    colour = style.colours([group.label for group in labels])
    found = [(group, layer, title, *history(group, remembered(group, layer))) for group, layer, title in titles(labels)]
    lags = sum(norms.shape[1] for *_, norms in found)
    room = max(FEWEST_STEPS, min(MOST_STEPS, MOST_NUMBERS // max(1, lags)))
    return [
        _history((group.label, title, layer, colour[group.label]), *thinned(steps, norms, room))
        for group, layer, title, steps, norms in found
    ]


def thinned(steps: NDArray[np.int64], norms: Floats, room: int) -> tuple[NDArray[np.int64], Floats]:
    """At most ``room`` of the logged steps and their norms, evenly spread, with the first and the last."""
    if len(steps) <= room:
        return steps, norms
    kept = np.linspace(0, len(steps) - 1, room).round().astype(int)
    return steps[kept], norms[kept]


def _history(who: tuple[str, str, int, str], steps: NDArray[np.int64], norms: Floats) -> History:
    with np.errstate(divide="ignore"):
        levels = np.log10(np.where(np.isfinite(norms), norms, np.nan)).astype(np.float32)
    return History(*who, steps.astype(np.int32), edges(steps), levels)
