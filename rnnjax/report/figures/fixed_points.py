"""Fixed and slow points among the states that a network visits, on the principal axes of these states."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rnnjax.analysis.diagnosis import FixedPointSearch, StationaryPoint
from rnnjax.formatting import percent
from rnnjax.report.figures import style
from rnnjax.report.figures.panels import grid, heading, legend, sample
from rnnjax.report.summary.fixed_points import group_searches
from rnnjax.report.summary.seed_groups import SeedGroups
from rnnjax.report.summary.task import nouns_of

PLANES = ((0, 1), (0, 2))  # the principal axes of the two panels of a cell
PATH_COLOUR = "#B5B5B5"
# marker, size and colour (None: that of the cell) of each kind of point, in the order in which they are drawn
MARKERS: dict[str, tuple[str, float, str | None]] = {
    "slow point": ("D", 4.5, style.FAINT),
    "3 or more unstable directions": ("*", 8.5, style.INK),
    "2 unstable directions": ("P", 6.5, style.INK),
    "saddle with 1 unstable direction": ("X", 6.5, style.INK),
    "stable point": ("o", 7.5, None),
}


def fixed_points(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Paths and points of the lowest seed of each cell, in two planes; None where no points were searched for."""
    shown = [(group, *found[0], len(found)) for group in groups if (found := group_searches(group))]
    if not shown:
        return None
    across = len(PLANES) if columns == style.WIDE else 1
    figure, rows = grid(len(PLANES) * len(shown) // across, across, columns, 3.4, share_x=False, share_y=False)
    panels = iter([panel for row in rows for panel in row])
    colours = style.colours([group.label for group in groups])
    for group, seed, search, seeds in shown:
        for plane in PLANES:
            panel = next(panels)
            title = group.label if seeds == 1 else f"{group.label}, seed {seed}"
            heading(panel, title, colours[group.label])
            _draw(panel, search, plane, colours[group.label])
    kinds = {point_kind(point) for _, _, search, _ in shown for point in search.points}
    legend(figure, _samples(kinds, nouns_of(groups).examples), columns, across=3)
    return figure


def point_kind(point: StationaryPoint) -> str:
    """The kind of a point, one of ``MARKERS``."""
    if not point.fixed:
        return "slow point"
    kinds = ("stable point", "saddle with 1 unstable direction", "2 unstable directions")
    return kinds[point.unstable] if point.unstable < len(kinds) else "3 or more unstable directions"


def _draw(panel: Axes, search: FixedPointSearch, plane: tuple[int, int], colour: str) -> None:
    x, y = plane
    for path in search.paths:
        panel.plot(path.axes[x], path.axes[y], color=PATH_COLOUR, linewidth=0.6, alpha=0.6, zorder=1)
    for kind, (marker, size, own_colour) in MARKERS.items():
        positions = [point.position for point in search.points if point_kind(point) == kind]
        if positions:
            places = np.stack(positions)
            panel.plot(
                places[:, x], places[:, y], marker, color=own_colour or colour, markersize=size,
                markeredgecolor="white", markeredgewidth=0.6,
            )  # fmt: skip
    for set_label, axis in ((panel.set_xlabel, x), (panel.set_ylabel, y)):
        set_label(f"axis {axis + 1} ({percent(float(search.variance[axis]))} of the variance)", fontsize=9.5)
    panel.set_aspect("equal", adjustable="datalim")


def _samples(kinds: set[str], examples: str) -> list[Line2D]:
    """The legend: the paths, and the kinds of points that occur; those without a colour of their own in ink."""
    samples = [sample(f"states along held-out {examples}", PATH_COLOUR, width=1.0)]
    for kind, (marker, size, own_colour) in reversed(MARKERS.items()):
        if kind in kinds:
            name = f"{kind} (in the cell's colour)" if own_colour is None else kind
            samples.append(
                Line2D([], [], color=own_colour or style.INK, marker=marker, markersize=size, linestyle="", label=name)
            )
    return samples
