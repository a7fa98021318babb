"""The gradient on its way back through time, for the screen: curves under a slider over training, heat maps."""

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
from rnnjax.report.interactive import style as interactive_style
from rnnjax.report.summary.gradient_history import History

# Runs in the reader's browser: each curve becomes the last row of its log that is no later than the chosen step.
MOVE = """
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
NAME = "return steps[tick].toLocaleString('en')"
POWER = "return value === Infinity ? 'not measured' : value === -Infinity ? '0' : (10 ** value).toExponential(1)"


def logs_of(histories: Sequence[History]) -> list[ColumnDataSource]:
    """One source for each history, a row for each step; the heat maps draw it and the curves are cut from it.

    What was not measured is ∞ there: of NaN a tooltip would say nothing but "NaN".
    """
    return [
        ColumnDataSource(
            {
                "step": one.steps,
                "image": [np.where(np.isnan(row), np.float32(np.inf), row)[None] for row in one.levels],
                "from": one.borders[:-1],
                "height": np.diff(one.borders),
            }
        )
        for one in histories
    ]


def curves(histories: Sequence[History], logs: Sequence[ColumnDataSource], nouns: Nouns) -> tuple[UIElement, ...]:
    """Norm against lag, a curve for each cell and layer, at the step that the slider names; upper layers are off.

    Hover: cell, lag, norm, share of the strength at lag 0. A click on a cell's name hides its curve.
    """
    low, high = style.decades([style.log10(10.0 ** one.levels.astype(float)) for one in histories])
    drawn = interactive_style.plot(nouns.back, "gradient norm ‖∂L/∂state‖", 340)
    drawn.y_range = Range1d(low - 0.02 * (high - low), high)
    _label_decades(drawn, low, high)
    steps = sorted({int(step) for one in histories for step in one.steps})
    sources = [ColumnDataSource(_curve(one, steps[-1])) for one in histories]
    dash = interactive_style.dashes([one.label for one in histories])
    names = []
    for one, source in zip(histories, sources, strict=True):
        line = drawn.line(
            "lag", "level", source=source, color=one.colour, line_width=2.2, visible=one.layer == 0, name=one.name,
            line_dash=dash[one.label] if one.layer == 0 else "dotted",
        )  # fmt: skip
        names.append((one.name, [line]))
    told = [("", "$name"), (f"{nouns.steps} back", "@lag"), ("norm", "@norm{%.1e}"), ("of lag 0", "@share{%.2g}%")]
    told.append(("logged at step", "@step{0,0}"))
    form = {"@norm": "printf", "@share": "printf"}
    interactive_style.hover(drawn, told, [line for _, (line,) in names], formatters=form)
    interactive_style.legend(drawn, names)
    if len(steps) == 1:
        return (drawn,)
    slider = Slider(
        start=0, end=len(steps) - 1, value=len(steps) - 1, step=1, title="Training step", sizing_mode="stretch_width",
        format=CustomJSTickFormatter(args={"steps": steps}, code=NAME), bar_color=style.FAINT, margin=(5, 20, 5, 20),
    )  # fmt: skip
    known = {"slider": slider, "steps": steps, "logs": list(logs), "curves": sources, "floor": style.FLOOR}
    slider.js_on_change("value", CustomJS(args=known, code=MOVE))
    return (column(slider, drawn, sizing_mode="stretch_width"),)


def _curve(one: History, at: int) -> dict[str, np.ndarray]:
    """The columns that ``MOVE`` computes, at step ``at``."""
    row = int(np.searchsorted(one.steps, at, side="right")) - 1
    levels = one.levels[row].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        share = 100 * 10 ** (levels - levels[0])  # percent
    return {
        "lag": np.arange(len(levels)),
        "level": np.maximum(levels, style.FLOOR),
        "norm": 10**levels,
        "share": share,
        "step": np.full(len(levels), one.steps[row]),
    }


def maps(histories: Sequence[History], logs: Sequence[ColumnDataSource], nouns: Nouns) -> tuple[UIElement, ...]:
    """Heat maps lag × training step on one scale, one for each cell and layer; hover: step, lag, norm."""
    low, high = style.decades([style.log10(10.0 ** one.levels.astype(float)) for one in histories])
    first = min(one.borders[0] for one in histories)
    last = max(one.borders[-1] for one in histories) - 1e-6  # its upper edge belongs to no image
    across = Range1d(-0.5, max(one.levels.shape[1] for one in histories) - 0.5)
    return tuple(
        _map(one, log, (low, high), across, Range1d(max(0, first), last), nouns)
        for one, log in zip(histories, logs, strict=True)
    )


def _map(
    one: History, log: ColumnDataSource, scale: tuple[int, int], across: Range1d, upward: Range1d, nouns: Nouns
) -> figure:
    drawn = interactive_style.plot(nouns.back, "training step", 250, one.name, one.colour)
    drawn.x_range, drawn.y_range = across, upward
    drawn.grid.grid_line_color = None
    drawn.yaxis.formatter = NumeralTickFormatter(format="0,0")
    mapper = LinearColorMapper(palette=Magma256, low=scale[0], high=scale[1], high_color=style.UNKNOWN)
    image = drawn.image(
        image="image", x=-0.5, y="from", dw=one.levels.shape[1], dh="height", source=log, color_mapper=mapper
    )
    told = [("training step", "@step{0,0}"), (f"{nouns.steps} back", "$x{0}"), ("norm", "@image{custom}")]
    interactive_style.hover(drawn, told, [image], formatters={"@image": CustomJSHover(code=POWER)})
    ticker, texts = interactive_style.decades(*scale)
    drawn.add_layout(
        ColorBar(
            color_mapper=mapper, ticker=ticker, major_label_overrides=texts, width=8, padding=2, label_standoff=4,
            background_fill_color=None, major_tick_line_color=None, bar_line_color=None,
            major_label_text_color=interactive_style.MIDDLE, major_label_text_font_size="11px",
        ),
        "right",
    )  # fmt: skip
    return drawn


def _label_decades(drawn: figure, low: int, high: int) -> None:
    drawn.yaxis.ticker, drawn.yaxis.major_label_overrides = interactive_style.decades(low, high)
