"""The common look of the interactive figures: clear ground, text that reads on light and dark, and a legend to click.

The page's style sheet sets exact text colours through Bokeh's CSS variables; the colours here hold where it does not.
"""

from collections.abc import Sequence

from bokeh.models import FixedTicker, HoverTool, Legend, LegendItem, Renderer
from bokeh.plotting import figure

from rnnjax.report.figures import style

MIDDLE, GRID = "#7D848C", "rgba(128, 128, 128, 0.25)"  # both read on white and on near-black
SIZE = "12px"
DASHES = ("solid", "dashed", "dotdash", "dotted")
ROW = 23  # pixels that a line of the legend takes
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LEGEND_WIDTH = 330  # pixels that a phone leaves for it


def plot(x_label: str, y_label: str, height: int, title: str = "", tint: str = MIDDLE, **options: object) -> figure:
    """An empty figure as wide as the page lets it be and ``height`` pixels high, that never takes over scrolling."""
    drawn = figure(
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
    drawn.grid.grid_line_color = GRID
    if drawn.title is not None:
        drawn.title.text_color = tint
        drawn.title.text_font_size = "13px"
    for axis in drawn.axis:
        axis.axis_line_color = axis.major_tick_line_color = MIDDLE
        axis.minor_tick_line_color = None
        axis.axis_label_text_color = axis.major_label_text_color = MIDDLE
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = SIZE
    return drawn


def hover(drawn: figure, tooltips: Sequence[tuple[str, str]], renderers: Sequence[Renderer], **options: object) -> None:
    """Show ``tooltips`` of the nearest point of one of ``renderers``."""
    drawn.add_tools(HoverTool(tooltips=list(tooltips), renderers=list(renderers), **options))


def dashes(labels: Sequence[str]) -> dict[str, str]:
    """Side by side, where a label reads "run: cell", a kind of line for each run; a single run has whole lines."""
    runs = list(dict.fromkeys(label.rpartition(": ")[0] for label in labels))
    return {label: DASHES[runs.index(label.rpartition(": ")[0]) % len(DASHES)] for label in labels}


def legend(drawn: figure, items: Sequence[tuple[str, Sequence[Renderer]]]) -> None:
    """A legend below the figure, which grows by it; a click on a name hides and shows its lines."""
    widest = max(len(name) for name, _ in items)
    across = max(1, min(len(items), LEGEND_WIDTH // (40 + 7 * widest)))
    drawn.height += ROW * -(-len(items) // across)
    drawn.add_layout(
        Legend(
            items=[LegendItem(label=name, renderers=list(lines)) for name, lines in items],
            click_policy="hide",
            ncols=across,
            background_fill_color=None,
            border_line_color=None,
            inactive_fill_color="#808080",
            inactive_fill_alpha=0.5,
            label_text_color=MIDDLE,
            label_text_font_size=SIZE,
            location="top_left",
            margin=0,
            padding=4,
        ),
        "below",
    )


def decades(low: int, high: int) -> tuple[FixedTicker, dict[int, str]]:
    """At most seven ticks for log10 values and their texts, as ``style.decade_ticks`` has them."""
    places = style.decade_places(low, high)
    return FixedTicker(ticks=places), {place: power(place) for place in places}


def power(place: int) -> str:
    """-3 → "10⁻³"; the floor reads as "at most"."""
    text = f"10{str(place).translate(SUPERSCRIPTS)}"
    return f"≤ {text}" if place == style.FLOOR else text
