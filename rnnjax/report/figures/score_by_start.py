"""Figure of what each cell learnt against its half-life and its belt share before training."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

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
    endless = 3 * max((point.half_life for point in points if np.isfinite(point.half_life)), default=1.0)
    half_lives = {point: min(point.half_life, endless) for point in points if point.half_life > 0}
    shares = {point: point.belt_share for point in points if np.isfinite(point.belt_share)}
    figure, axes = style.panels(2, columns, height=3.4, share_x=False)
    colours = style.colours([point.label for point in points])
    order = {point.label: index for index, point in enumerate(points)}
    for panel, shown in zip(axes, (half_lives, shares), strict=True):
        for point, x in shown.items():
            panel.plot(
                x, point.score, MARKERS[order[point.label] % len(MARKERS)],
                color=colours[point.label], label=point.label,
                markersize=9, markeredgecolor="white", markeredgewidth=0.5,
            )  # fmt: skip
    _axes(axes, groups, [point.score for point in points])
    if any(np.isinf(point.half_life) for point in points):
        axes[0].axvline(endless, color=style.FAINT, linewidth=1, linestyle=":", zorder=0)
        axes[0].annotate("∞", (endless, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=11)
    handles = {label: line for panel in axes for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    style.legend(figure, list(handles.values()), columns, 5 if columns == style.WIDE else 2, points=9.5)
    return figure


def _axes(axes: list[Axes], groups: SeedGroups, scores: list[float]) -> None:
    axes[0].set_xscale("log")
    low, high = axes[0].get_xlim()
    axes[0].xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
    axes[0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes[0].xaxis.set_minor_formatter(NullFormatter())
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
