"""A sweep over a number for the screen: seeds as dots, a line through their mean, the interval as a band."""

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, NumeralTickFormatter, Range1d, UIElement
from numpy.typing import NDArray

from rnnjax.report.figures import style
from rnnjax.report.figures.sweep import Sweep, groups_with_points, logarithmic, score_name, ticks
from rnnjax.report.interactive.style import add_hover, add_legend, new_plot
from rnnjax.report.summary.task import by_loss


def accuracy_against_setting(sweep: Sweep) -> tuple[UIElement, ...]:
    """The test score by the value of what is swept; nothing where no seed has finished."""
    with_points = groups_with_points(sweep.series, sweep.name)
    if not with_points:
        return ()
    tested = np.unique(np.concatenate([points.values for _, points in with_points]))
    scale = "log" if logarithmic(tested) else "linear"
    lower = by_loss(sweep.series)
    scores_of_seeds = np.concatenate([scores for _, points in with_points for scores in points.seeds])
    upward = {"y_axis_type": "log"} if lower and logarithmic(scores_of_seeds) else {}
    plotted = new_plot(sweep.name, score_name(sweep.series), 290, x_axis_type=scale, **upward)
    plotted.xaxis.ticker = FixedTicker(ticks=ticks(tested))
    plotted.xaxis.major_label_overrides = {value: f"{value:g}" for value in ticks(tested)}
    colours = style.colours([group.label for group in sweep.series])
    entries = []
    for group, points in with_points:
        colour, (low, high) = colours[group.label], points.band
        parts = [
            {"x": points.values[stretch], "low": low[stretch], "high": high[stretch]}
            for stretch in _stretches(np.isfinite(low))
        ]
        bands = [ColumnDataSource(part) for part in parts]
        areas = [plotted.varea("x", "low", "high", source=band, color=colour, alpha=0.15) for band in bands]
        dots = {
            "x": np.repeat(points.values, [len(scores) for scores in points.seeds]),
            "y": np.concatenate(points.seeds),
        }
        seeds = plotted.scatter("x", "y", source=ColumnDataSource(dots), color=colour, size=6, alpha=0.5)
        columns = {"x": points.values, "y": points.means, "seeds": [len(scores) for scores in points.seeds]}
        columns |= {"setting": [f"{value:g}" for value in points.values]}
        source = ColumnDataSource(columns)
        line = plotted.line("x", "y", source=source, name=group.label, color=colour, line_width=2.4)
        tooltips = [
            ("", "$name"),
            (sweep.name, "@setting"),
            ("mean", "@y{0.000e+0}" if lower else "@y{0.0%}"),
            ("seeds", "@seeds"),
        ]
        add_hover(plotted, tooltips, [line])
        entries.append((group.label, [seeds, *areas, line]))
    if not lower:
        plotted.y_range = Range1d(min(0.4, scores_of_seeds.min() - 0.02), 1.02)
        plotted.yaxis.formatter = NumeralTickFormatter(format="0%")
    add_legend(plotted, entries)
    return (plotted,)


def _stretches(with_points: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Places that follow one another without a gap, for an area would bridge one."""
    indices = np.split(np.arange(len(with_points)), np.flatnonzero(np.diff(with_points)) + 1)
    return [stretch for stretch in indices if with_points[stretch].all()]
