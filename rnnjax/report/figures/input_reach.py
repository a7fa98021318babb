"""Figure of how far back answers depend on their input: the score left, and what single inputs change."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from rnnjax.report.figures import style
from rnnjax.report.summary.input_reach import NetworkReach
from rnnjax.runs.schema import TaskInfo

HIGHEST = 2.5  # times the error of the best constant answer, above which errors are cut off
FAINTEST = 1e-5  # share of the largest move, below which moves are cut off


def input_reach(networks: Sequence[NetworkReach]) -> Figure:
    """Two panels for the networks of one run, a line for each of them; of many cells the first 12.

    Left: the score against the number of last inputs that are left intact, a point at the reach; dashed: the best
    constant answer; dotted: a network that is not better. Right: how far the answer moves when one input is exchanged,
    against its distance from the last, a point at the furthest one that matters.
    """
    figure, (left, right) = style.panels(2, style.WIDE, height=3.6, share_x=False, share_y=False)
    labels = list(dict.fromkeys(network.label for network in networks))[: style.MAX_LABELS]
    networks = [network for network in networks if network.label in labels]
    colours = style.colours(labels)
    for network in networks:
        measured, colour = network.measured, colours[network.label]
        scores = network.shown(measured.score)
        line = ":" if measured.left.at_chance else "-"
        left.plot(measured.kept, scores, color=colour, linewidth=1.5, linestyle=line)
        if (reach := measured.reach) is not None:
            score = float(network.shown(measured.score_with(reach)))
            left.plot(reach, score, "o", color=colour, markersize=6, markeredgecolor="white", clip_on=False, zorder=3)
        shown = measured.moves > 0
        lags = np.flatnonzero(shown)
        right.plot(lags, measured.moves[shown], color=colour, linewidth=1.1, linestyle=line)
        if (furthest := measured.furthest) is not None and not measured.left.at_chance:
            move = measured.moves[furthest]
            right.plot(furthest, move, "o", color=colour, markersize=6, markeredgecolor="white", zorder=3)
    constants = {float(network.shown(network.measured.constant)) for network in networks}
    for value in constants:
        left.axhline(value, color=style.FAINT, linewidth=1, linestyle="--", zorder=0)
    _score_axis(left, networks[0].task, max(constants))
    left.set_xlabel("last inputs left intact, the others exchanged", fontsize=10.5)
    right.set_xlabel("inputs back from the last, one exchanged", fontsize=10.5)
    right.set_ylabel("move of the answer", fontsize=10.5)
    right.set_yscale("log")
    largest = max(float(np.nanmax(network.measured.moves, initial=0.0)) for network in networks)
    if largest > 0:
        right.set_ylim(bottom=FAINTEST * largest)
    longest = max(int(network.measured.kept[-1]) for network in networks)
    for panel in (left, right):
        _distance_axis(panel, longest)
    handles = [Line2D([], [], color=colours[label], linewidth=2, label=label) for label in labels]
    handles.append(Line2D([], [], color=style.FAINT, linestyle="--", label="best constant answer"))
    if any(network.measured.left.at_chance for network in networks):
        handles.append(Line2D([], [], color=style.INK, linestyle=":", label="a network at chance"))
    style.legend(figure, handles, style.WIDE, 5, points=9.5)
    return figure


def _score_axis(panel: Axes, task: TaskInfo, constant: float) -> None:
    if not task.by_loss:
        panel.set_ylim(-0.02, 1.04)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.set_ylabel("right answers (test)", fontsize=10.5)
        return
    panel.set_ylim(-0.02 * HIGHEST * constant, HIGHEST * constant)
    panel.set_ylabel(f"{'RMSE' if task.by_rmse else 'loss'} (test)", fontsize=10.5)


def _distance_axis(panel: Axes, longest: int) -> None:
    """A horizontal axis of whole distances from 0 to ``longest``, with equal room for each factor of 2 from 1 on."""
    panel.set_xscale("symlog", linthresh=1, linscale=0.5)
    panel.set_xlim(0, longest * 1.05)
    ticks = [0, *(k * 10**e for e in range(9) for k in (1, 2, 5) if k * 10**e <= longest)]
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
