"""A sweep over a number for the screen: seeds as dots, a line through their mean, the interval as a band."""

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, NumeralTickFormatter, Range1d, UIElement
from numpy.typing import NDArray

from rnnjax.report.figures import style
from rnnjax.report.figures.sweep import Sweep, logarithmic, measured, score_name, ticks
from rnnjax.report.interactive import style as interactive_style
from rnnjax.report.summary.task import by_loss


def accuracy_against_setting(sweep: Sweep) -> tuple[UIElement, ...]:
    """The test score by the value of what is swept; nothing where no seed has finished."""
    known = measured(sweep.series, sweep.name)
    if not known:
        return ()
    every = np.unique(np.concatenate([found.values for _, found in known]))
    scale = "log" if logarithmic(every) else "linear"
    lower = by_loss(sweep.series)
    single = np.concatenate([scores for _, found in known for scores in found.seeds])
    upward = {"y_axis_type": "log"} if lower and logarithmic(single) else {}
    drawn = interactive_style.plot(sweep.name, score_name(sweep.series), 290, x_axis_type=scale, **upward)
    drawn.xaxis.ticker = FixedTicker(ticks=ticks(every))
    drawn.xaxis.major_label_overrides = {value: f"{value:g}" for value in ticks(every)}
    colour = style.colours([group.label for group in sweep.series])
    names = []
    for group, found in known:
        tint, (low, high) = colour[group.label], found.band
        parts = [{"x": found.values[at], "low": low[at], "high": high[at]} for at in _stretches(np.isfinite(low))]
        bands = [ColumnDataSource(part) for part in parts]
        areas = [drawn.varea("x", "low", "high", source=band, color=tint, alpha=0.15) for band in bands]
        dots = {
            "x": np.repeat(found.values, [len(scores) for scores in found.seeds]),
            "y": np.concatenate(found.seeds),
        }
        seeds = drawn.scatter("x", "y", source=ColumnDataSource(dots), color=tint, size=6, alpha=0.5)
        told = {"x": found.values, "y": found.means, "seeds": [len(scores) for scores in found.seeds]}
        told |= {"setting": [f"{value:g}" for value in found.values]}
        source = ColumnDataSource(told)
        line = drawn.line("x", "y", source=source, name=group.label, color=tint, line_width=2.4)
        hover = [
            ("", "$name"),
            (sweep.name, "@setting"),
            ("mean", "@y{0.000e+0}" if lower else "@y{0.0%}"),
            ("seeds", "@seeds"),
        ]
        interactive_style.hover(drawn, hover, [line])
        names.append((group.label, [seeds, *areas, line]))
    if not lower:
        drawn.y_range = Range1d(min(0.4, single.min() - 0.02), 1.02)
        drawn.yaxis.formatter = NumeralTickFormatter(format="0%")
    interactive_style.legend(drawn, names)
    return (drawn,)


def _stretches(known: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Places that follow one another without a gap, for an area would bridge one."""
    places = np.split(np.arange(len(known)), np.flatnonzero(np.diff(known)) + 1)
    return [some for some in places if known[some].all()]
