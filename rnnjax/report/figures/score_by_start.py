"""Figure of what each cell learnt against its half-life and its belt share before training."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from rnnjax.report.figures import style
from rnnjax.report.figures.scores import MARKERS
from rnnjax.report.summary.score_by_start import starts_and_scores
from rnnjax.report.summary.seed_groups import SeedGroups
from rnnjax.report.summary.task import by_loss, error_name, nouns_of


def score_by_start(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """The test score over the half-life and over the belt share at the start, a point for each cell.

    None where fewer than ``summary.score_by_start.FEWEST`` cells have both.
    """
    points = starts_and_scores(groups)
    if not points:
        return None
    by_half_life = [point for point in points if np.isfinite(point.half_life) and point.half_life > 0]
    by_share = [point for point in points if np.isfinite(point.belt_share)]
    figure, axes = style.panels(2, columns, height=3.4, share_x=False)
    colours = style.colours([point.label for point in points])
    order = {point.label: index for index, point in enumerate(points)}
    for panel, shown, x in ((axes[0], by_half_life, "half_life"), (axes[1], by_share, "belt_share")):
        for point in shown:
            panel.plot(
                getattr(point, x), point.score, MARKERS[order[point.label] % len(MARKERS)],
                color=colours[point.label], markersize=8, markeredgecolor="white", label=point.label,
            )  # fmt: skip
    _axes(axes, groups, [point.score for point in points])
    handles = {handle.get_label(): handle for panel in axes for handle in panel.get_lines()}
    style.legend(figure, list(handles.values()), columns, 5 if columns == style.WIDE else 2, points=9.5)
    return figure


def _axes(axes: list[Axes], groups: SeedGroups, scores: list[float]) -> None:
    axes[0].set_xscale("log")
    axes[0].set_xlabel(f"half-life at the start, {nouns_of(groups).steps}", fontsize=10.5)
    axes[1].set_xlabel("belt share at the start", fontsize=10.5)
    axes[1].xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[1].set_xlim(-0.03, 1.03)
    if by_loss(groups):
        axes[0].set_ylabel(f"{error_name(groups)} (test)", fontsize=10.5)
        if min(scores) > 0 and max(scores) > 10 * min(scores):
            axes[0].set_yscale("log")
    else:
        axes[0].set_ylabel("right answers (test)", fontsize=10.5)
        axes[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
