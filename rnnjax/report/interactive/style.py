"""The common style of the interactive figures: transparent background, colours for light and dark, a legend to click.

The page's style sheet sets the text colours through Bokeh's CSS variables; those here are for where it cannot.
"""

from collections.abc import Sequence

from bokeh.models import FixedTicker, HoverTool, Legend, LegendItem, Renderer
from bokeh.plotting import figure

from rnnjax.report.figures import style

TEXT_COLOUR, GRID_COLOUR = "#7D848C", "rgba(128, 128, 128, 0.25)"  # both readable on white and on near-black
FONT_SIZE = "12px"
DASHES = ("solid", "dashed", "dotdash", "dotted")
LEGEND_ROW = 23  # height in pixels
LEGEND_WIDTH = 330  # in pixels, on a phone


def new_plot(
    x_label: str, y_label: str, height: int, title: str = "", colour: str = TEXT_COLOUR, **options: object
) -> figure:
    """An empty figure as wide as its container and ``height`` pixels high, without tools that capture scrolling."""
    plotted = figure(
        height=height,
        sizing_mode="stretch_width",
        title=title or None,
        x_axis_label=x_label,
        y_axis_label=y_label,
        tools="",
        toolbar_location=None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_right=12,
        **options,
    )
    plotted.grid.grid_line_color = GRID_COLOUR
    if plotted.title is not None:
        plotted.title.text_color = colour
        plotted.title.text_font_size = "13px"
    for axis in plotted.axis:
        axis.axis_line_color = axis.major_tick_line_color = TEXT_COLOUR
        axis.minor_tick_line_color = None
        axis.axis_label_text_color = axis.major_label_text_color = TEXT_COLOUR
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = FONT_SIZE
    return plotted


def add_hover(
    plotted: figure, tooltips: Sequence[tuple[str, str]], renderers: Sequence[Renderer], **options: object
) -> None:
    """Show ``tooltips`` for the nearest point of the ``renderers``."""
    plotted.add_tools(HoverTool(tooltips=list(tooltips), renderers=list(renderers), **options))


def dashes(labels: Sequence[str]) -> dict[str, str]:
    """A kind of line for each label: in a comparison, where a label is "run: cell", one for each run."""
    runs = list(dict.fromkeys(label.rpartition(": ")[0] for label in labels))
    return {label: DASHES[runs.index(label.rpartition(": ")[0]) % len(DASHES)] for label in labels}


def add_legend(plotted: figure, items: Sequence[tuple[str, Sequence[Renderer]]]) -> None:
    """Add a legend below the figure, whose height grows by it; a click on a name hides or shows its lines."""
    longest = max(len(name) for name, _ in items)
    across = max(1, min(len(items), LEGEND_WIDTH // (40 + 7 * longest)))
    plotted.height += LEGEND_ROW * -(-len(items) // across)
    plotted.add_layout(
        Legend(
            items=[LegendItem(label=name, renderers=list(lines)) for name, lines in items],
            click_policy="hide",
            ncols=across,
            background_fill_color=None,
            border_line_color=None,
            inactive_fill_color="#808080",
            inactive_fill_alpha=0.5,
            label_text_color=TEXT_COLOUR,
            label_text_font_size=FONT_SIZE,
            location="top_left",
            margin=0,
            padding=4,
        ),
        "below",
    )


def decade_ticks(low: int, high: int) -> tuple[FixedTicker, dict[int, str]]:
    """At most seven ticks for log10 values, and their labels by position."""
    positions = style.decade_positions(low, high)
    return FixedTicker(ticks=positions), {exponent: style.power(exponent) for exponent in positions}
