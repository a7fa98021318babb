"""The trainability map: what training reached over distance and initialisation, and the boundary drawn at step 0."""

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
from rnnjax.report.summary.trainability import AXES, SUCCESS, Before
from rnnjax.typing import Floats

COLOURS = "cividis"  # its lightness rises all the way: told apart in grey print and with any colour vision
EDGE = "#D55E00"
CHANCE = 0.5
ACROSS = "distance in words"


@dataclass(frozen=True, eq=False)
class Map:
    """One cell: how many ``runs`` a setting has, and their mean accuracy and held-out log-odds, NaN without any."""

    cell: str
    axis: str
    values: Floats  # (V,) of what is varied, rising
    distances: Floats  # (D,) rising
    runs: Floats  # (V, D)
    accuracy: Floats  # (V, D), of the test
    log_odds: Floats  # (V, D)


def maps(known: tuple[Before, ...], log_odds: Floats) -> tuple[Map, ...]:
    """A map for each cell, in the order of the runs; ``log_odds`` (N,) of the runs."""
    found = []
    for cell, axis in dict.fromkeys((one.cell, one.axis) for one in known):
        own = [(one, odds) for one, odds in zip(known, log_odds, strict=True) if (one.cell, one.axis) == (cell, axis)]
        values, rows = np.unique([one.value for one, _ in own], return_inverse=True)
        distances, columns = np.unique([float(one.distance) for one, _ in own], return_inverse=True)
        runs, accuracy, odds = np.zeros((3, len(values), len(distances)))
        for row in range(len(values)):
            for column in range(len(distances)):
                here = [pair for pair, *place in zip(own, rows, columns, strict=True) if place == [row, column]]
                runs[row, column] = len(here)
                accuracy[row, column] = _mean([one.accuracy for one, _ in here])
                odds[row, column] = _mean([odds for _, odds in here])
        found.append(Map(cell, axis, values, distances, runs, accuracy, odds))
    return tuple(found)


def _mean(values: list[float]) -> float:
    """Of those that are numbers."""
    numbers = [value for value in values if np.isfinite(value)]
    return float(np.mean(numbers)) if numbers else np.nan


def trainability(drawn: tuple[Map, ...], columns: int = style.WIDE) -> Figure | None:
    """Distance × initialisation, a panel for each cell: colour is test accuracy, the line the predicted boundary."""
    if not drawn:
        return None
    figure, axes = style.panels(len(drawn), columns, height=3.2, share_y=False)
    scale = Normalize(CHANCE, 1.0)
    for panel, one in zip(axes, drawn, strict=True):
        panel.set_title(style.literal(one.cell), loc="left", fontsize=11, fontweight="bold", color=style.INK)
        panel.grid(False)
        panel.pcolormesh(
            np.arange(len(one.distances)), np.arange(len(one.values)), np.ma.masked_invalid(one.accuracy),
            cmap=COLOURS, norm=scale, shading="nearest", edgecolors="white", linewidth=0.5,
        )  # fmt: skip
        _boundary(panel, one.log_odds)
        _label(panel, "x", one.distances)
        _label(panel, "y", one.values)
        panel.set_ylabel(AXES[one.axis], fontsize=10)
    if columns == style.WIDE:
        figure.supxlabel(ACROSS, fontsize=10.5)
    else:  # above the colour bar
        axes[-1].set_xlabel(ACROSS, fontsize=10.5)
    line = Line2D([], [], color=EDGE, linewidth=2.2, label="even odds of success, predicted before the first step")
    style.legend(figure, [line], columns, 1, points=9.5)
    where = "right" if columns == style.WIDE else "bottom"
    bar = figure.colorbar(
        ScalarMappable(scale, COLOURS), ax=axes, location=where, aspect=30, format=PercentFormatter(1.0, decimals=0)
    )
    bar.ax.axhline(SUCCESS, color=EDGE) if where == "right" else bar.ax.axvline(SUCCESS, color=EDGE)
    bar.set_label(f"right answers (test); from {SUCCESS:.0%} on a success", fontsize=10)
    bar.ax.tick_params(labelsize=9)
    return figure


def _boundary(panel: Axes, log_odds: Floats) -> None:
    """The line where they are 0, between the middles of the fields, drawn on to the border of the map."""
    if min(log_odds.shape) < 2 or not np.isfinite(log_odds).any():
        return
    wide = np.pad(log_odds, 1, mode="edge")
    across, up = ([-0.5, *range(many), many - 0.5] for many in log_odds.shape[::-1])
    with warnings.catch_warnings(action="ignore"):  # of a map without a boundary
        for colour, width in (("white", 4.0), (EDGE, 2.2)):
            panel.contour(across, up, np.ma.masked_invalid(wide), levels=[0.0], colors=[colour], linewidths=[width])


def _label(panel: Axes, side: str, values: Floats) -> None:
    axis = panel.xaxis if side == "x" else panel.yaxis
    axis.set_major_locator(FixedLocator(range(len(values))))
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(range(len(values)), [f"{value:g}" for value in values])
