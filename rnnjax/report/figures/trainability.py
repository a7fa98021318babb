"""The trainability map: test accuracy over distance and initialisation, and the boundary predicted at step 0."""

import warnings
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from rnnjax.report.figures import style
from rnnjax.report.summary.trainability import AXES, SUCCESS, TrainabilityRun
from rnnjax.typing import Floats

COLOUR_MAP = "cividis"  # its lightness rises steadily: readable in grey print and with any colour vision
EDGE = "#D55E00"
CHANCE = 0.5
X_LABEL = "distance in words"


@dataclass(frozen=True, eq=False)
class TrainabilityMap:
    """The map of one cell: the number of ``runs`` of each setting, their mean accuracy and held-out log-odds.

    Both means are NaN without any finite value.
    """

    cell: str
    axis: str
    values: Floats  # (V,) of what is varied, rising
    distances: Floats  # (D,) rising
    runs: Floats  # (V, D)
    accuracy: Floats  # (V, D), of the test
    log_odds: Floats  # (V, D)


def maps(runs: tuple[TrainabilityRun, ...], log_odds: Floats) -> tuple[TrainabilityMap, ...]:
    """A map for each cell, in the order of the runs; ``log_odds`` (N,) are those of the runs."""
    cell_maps = []
    for cell, axis in dict.fromkeys((run.cell, run.axis) for run in runs):
        of_cell = np.array([(run.cell, run.axis) == (cell, axis) for run in runs])
        cell_runs, cell_odds = [run for run, chosen in zip(runs, of_cell, strict=True) if chosen], log_odds[of_cell]
        values, rows = np.unique([run.value for run in cell_runs], return_inverse=True)
        distances, columns = np.unique([float(run.distance) for run in cell_runs], return_inverse=True)
        accuracies = np.array([run.accuracy for run in cell_runs])
        count, accuracy, odds = np.zeros((3, len(values), len(distances)))
        for row, column in np.ndindex(count.shape):
            field = (rows == row) & (columns == column)
            count[row, column] = field.sum()
            accuracy[row, column] = _finite_mean(accuracies[field])
            odds[row, column] = _finite_mean(cell_odds[field])
        cell_maps.append(TrainabilityMap(cell, axis, values, distances, count, accuracy, odds))
    return tuple(cell_maps)


def _finite_mean(values: Floats) -> float:
    """Mean of the finite values; NaN without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else np.nan


def trainability(cell_maps: tuple[TrainabilityMap, ...], columns: int = style.WIDE) -> Figure | None:
    """Distance × initialisation, a panel for each cell: colour is test accuracy, the line the predicted boundary."""
    if not cell_maps:
        return None
    figure, axes = style.panels(len(cell_maps), columns, height=3.2, share_y=False)
    scale = Normalize(CHANCE, 1.0)
    for panel, cell_map in zip(axes, cell_maps, strict=True):
        panel.set_title(cell_map.cell, loc="left", fontsize=11, fontweight="bold", color=style.INK)
        panel.grid(False)
        panel.pcolormesh(
            np.arange(len(cell_map.distances)),
            np.arange(len(cell_map.values)),
            np.ma.masked_invalid(cell_map.accuracy),
            cmap=COLOUR_MAP, norm=scale, shading="nearest", edgecolors="white", linewidth=0.5,
        )  # fmt: skip
        _boundary(panel, cell_map.log_odds)
        _label(panel, "x", cell_map.distances)
        _label(panel, "y", cell_map.values)
        panel.set_ylabel(AXES[cell_map.axis], fontsize=10)
    if columns == style.WIDE:
        figure.supxlabel(X_LABEL, fontsize=10.5)
    else:  # above the colour bar
        axes[-1].set_xlabel(X_LABEL, fontsize=10.5)
    line = Line2D([], [], color=EDGE, linewidth=2.2, label="even odds of success, predicted before the first step")
    style.legend(figure, [line], columns, 1, points=9.5)
    where = "right" if columns == style.WIDE else "bottom"
    bar = figure.colorbar(
        ScalarMappable(scale, COLOUR_MAP), ax=axes, location=where, aspect=30, format=PercentFormatter(1.0, decimals=0)
    )
    bar.ax.axhline(SUCCESS, color=EDGE) if where == "right" else bar.ax.axvline(SUCCESS, color=EDGE)
    bar.set_label(f"right answers (test); from {SUCCESS:.0%} on a success", fontsize=10)
    bar.ax.tick_params(labelsize=9)
    return figure


def _boundary(panel: Axes, log_odds: Floats) -> None:
    """Draw the line where the log-odds are 0, up to the border of the map."""
    if min(log_odds.shape) < 2 or not np.isfinite(log_odds).any():
        return
    wide = np.pad(log_odds, 1, mode="edge")
    xs, ys = ([-0.5, *range(count), count - 0.5] for count in log_odds.shape[::-1])
    with warnings.catch_warnings(action="ignore"):  # a map without a boundary warns
        for colour, width in (("white", 4.0), (EDGE, 2.2)):
            panel.contour(xs, ys, np.ma.masked_invalid(wide), levels=[0.0], colors=[colour], linewidths=[width])


def _label(panel: Axes, side: str, values: Floats) -> None:
    axis = panel.xaxis if side == "x" else panel.yaxis
    axis.set_major_locator(FixedLocator(range(len(values))))
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(range(len(values)), [f"{value:g}" for value in values])
