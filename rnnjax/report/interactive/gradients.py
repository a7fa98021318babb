"""Interactive gradient figures: norm by lag with a slider over training, and heat maps of lag × training step."""

from collections.abc import Sequence

import numpy as np
from bokeh.layouts import column
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    CustomJSTickFormatter,
    LinearColorMapper,
    NumeralTickFormatter,
    Range1d,
    Slider,
    UIElement,
)
from bokeh.palettes import Magma256
from bokeh.plotting import figure

from rnnjax.formatting import Nouns
from rnnjax.report.figures import style
from rnnjax.report.interactive.style import TEXT_COLOUR, add_hover, add_legend, dashes, decade_ticks, new_plot
from rnnjax.report.summary.gradient_history import GradientHistory

# JavaScript: each curve becomes the last row of its log that is no later than the selected step.
MOVE_CURVES = """
const at = steps[slider.value]
logs.forEach((log, place) => {
  const logged = Array.from(log.data.step)
  const row = logged.findLastIndex((step) => step <= at)
  const levels = row < 0 ? [] : Array.from(log.data.image[row], (level) => level === Infinity ? NaN : level)
  curves[place].data = {
    lag: levels.map((_, lag) => lag),
    level: levels.map((level) => Math.max(level, floor)),
    norm: levels.map((level) => 10 ** level),
    share: levels.map((level) => 100 * 10 ** (level - levels[0])),
    step: levels.map(() => logged[row]),
  }
})
"""
STEP_LABEL = "return steps[tick].toLocaleString('en')"
NORM_LABEL = "return value === Infinity ? 'not measured' : value === -Infinity ? '0' : (10 ** value).toExponential(1)"


def log_sources(gradient_histories: Sequence[GradientHistory]) -> list[ColumnDataSource]:
    """One source for each history with a row for each step, shared by the heat maps and the curves.

    What was not measured is ∞ in it, since the tooltip of NaN could not be replaced.
    """
    return [
        ColumnDataSource(
            {
                "step": history.steps,
                "image": [np.where(np.isnan(row), np.float32(np.inf), row)[None] for row in history.levels],
                "from": history.borders[:-1],
                "height": np.diff(history.borders),
            }
        )
        for history in gradient_histories
    ]


def curves(
    gradient_histories: Sequence[GradientHistory], logs: Sequence[ColumnDataSource], nouns: Nouns
) -> tuple[UIElement, ...]:
    """Norm by lag at the step of the slider, a curve for each cell and layer, those of upper layers hidden at first.

    Hovering shows cell, lag, norm and its share of the norm at lag 0; a click on a cell's name hides its curve.
    """
    low, high = style.decades([style.log10(10.0 ** history.levels.astype(float)) for history in gradient_histories])
    plotted = new_plot(nouns.back, "gradient norm ‖∂L/∂state‖", 340)
    plotted.y_range = Range1d(low - 0.02 * (high - low), high)
    _label_decades(plotted, low, high)
    steps = sorted({int(step) for history in gradient_histories for step in history.steps})
    sources = [ColumnDataSource(_curve(history, steps[-1])) for history in gradient_histories]
    dash = dashes([history.label for history in gradient_histories])
    names = []
    for history, source in zip(gradient_histories, sources, strict=True):
        line = plotted.line(
            "lag", "level", source=source, color=history.colour, line_width=2.2, visible=history.layer == 0,
            name=history.name, line_dash=dash[history.label] if history.layer == 0 else "dotted",
        )  # fmt: skip
        names.append((history.name, [line]))
    tooltips = [("", "$name"), (f"{nouns.steps} back", "@lag"), ("norm", "@norm{%.1e}"), ("of lag 0", "@share{%.2g}%")]
    tooltips.append(("logged at step", "@step{0,0}"))
    formatters = {"@norm": "printf", "@share": "printf"}
    add_hover(plotted, tooltips, [line for _, (line,) in names], formatters=formatters)
    add_legend(plotted, names)
    if len(steps) == 1:
        return (plotted,)
    slider = Slider(
        start=0, end=len(steps) - 1, value=len(steps) - 1, step=1, title="Training step", sizing_mode="stretch_width",
        format=CustomJSTickFormatter(args={"steps": steps}, code=STEP_LABEL), bar_color=style.FAINT,
        margin=(5, 20, 5, 20),
    )  # fmt: skip
    arguments = {"slider": slider, "steps": steps, "logs": list(logs), "curves": sources, "floor": style.FLOOR}
    slider.js_on_change("value", CustomJS(args=arguments, code=MOVE_CURVES))
    return (column(slider, plotted, sizing_mode="stretch_width"),)


def _curve(history: GradientHistory, step: int) -> dict[str, np.ndarray]:
    """The columns that ``MOVE_CURVES`` computes, at training step ``step``."""
    row = int(np.searchsorted(history.steps, step, side="right")) - 1
    levels = history.levels[row].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        share = 100 * 10 ** (levels - levels[0])  # percent
    return {
        "lag": np.arange(len(levels)),
        "level": np.maximum(levels, style.FLOOR),
        "norm": 10**levels,
        "share": share,
        "step": np.full(len(levels), history.steps[row]),
    }


def maps(
    gradient_histories: Sequence[GradientHistory], logs: Sequence[ColumnDataSource], nouns: Nouns
) -> tuple[UIElement, ...]:
    """Heat maps of lag × training step on one scale, one for each cell and layer; hovering shows step, lag, norm."""
    low, high = style.decades([style.log10(10.0 ** history.levels.astype(float)) for history in gradient_histories])
    first = min(history.borders[0] for history in gradient_histories)
    last = max(history.borders[-1] for history in gradient_histories) - 1e-6  # the upper edge is not part of an image
    across = Range1d(-0.5, max(history.levels.shape[1] for history in gradient_histories) - 0.5)
    return tuple(
        _map(history, log, (low, high), across, Range1d(max(0, first), last), nouns)
        for history, log in zip(gradient_histories, logs, strict=True)
    )


def _map(
    history: GradientHistory,
    log: ColumnDataSource,
    scale: tuple[int, int],
    across: Range1d,
    upward: Range1d,
    nouns: Nouns,
) -> figure:
    plotted = new_plot(nouns.back, "training step", 250, history.name, history.colour)
    plotted.x_range, plotted.y_range = across, upward
    plotted.grid.grid_line_color = None
    plotted.yaxis.formatter = NumeralTickFormatter(format="0,0")
    mapper = LinearColorMapper(palette=Magma256, low=scale[0], high=scale[1], high_color=style.UNKNOWN)
    image = plotted.image(
        image="image", x=-0.5, y="from", dw=history.levels.shape[1], dh="height", source=log, color_mapper=mapper
    )
    tooltips = [("training step", "@step{0,0}"), (f"{nouns.steps} back", "$x{0}"), ("norm", "@image{custom}")]
    add_hover(plotted, tooltips, [image], formatters={"@image": CustomJSHover(code=NORM_LABEL)})
    ticker, labels = decade_ticks(*scale)
    plotted.add_layout(
        ColorBar(
            color_mapper=mapper, ticker=ticker, major_label_overrides=labels, width=8, padding=2, label_standoff=4,
            background_fill_color=None, major_tick_line_color=None, bar_line_color=None,
            major_label_text_color=TEXT_COLOUR, major_label_text_font_size="11px",
        ),
        "right",
    )  # fmt: skip
    return plotted


def _label_decades(plotted: figure, low: int, high: int) -> None:
    plotted.yaxis.ticker, plotted.yaxis.major_label_overrides = decade_ticks(low, high)
