"""The common style of the figures: a colour for each label, panels, legends, log axes, and PNG files."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from PIL import Image

from rnnjax.runtime.console import printable
from rnnjax.typing import Floats

# Okabe & Ito's palette, distinct with any colour vision, without its yellow, which is too pale for a line on white,
# and two of Paul Tol's muted colours, so that a sweep of eight cells has eight hues.
CELL_COLOURS = {"SimpleRNN": "#D55E00", "LSTM": "#0072B2", "GRU": "#009E73"}
OTHER_COLOURS = ("#CC79A7", "#E69F00", "#56B4E9", "#999933", "#AA4499")
INK, FAINT = "#333333", "#8C8C8C"
UNKNOWN = "#BDBDBD"  # where a heat map has no number
FLOOR = -12  # log10 below which a gradient counts as vanished: it is lost in 32-bit sums of ordinary size
MAX_LABELS = 12  # labels that a figure can show
WIDE, NARROW = 3, 1  # panels in a row: on a page, on a phone
INCHES = {WIDE: 10.5, NARROW: 4.6}
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DOTS = {WIDE: 110, NARROW: 120}


def colours(labels: Sequence[str]) -> dict[str, str]:
    """One colour for each label, the same in every figure; shades of the palette once it is used up.

    In a comparison, where a label is "run: cell", the cell has the same hue in every run, in different shades.
    """
    labels = list(dict.fromkeys(labels))
    cells = [label.rpartition(": ")[2] for label in labels]
    others = [cell for cell in dict.fromkeys(cells) if cell not in CELL_COLOURS]
    hues = {cell: (hue, 0) for cell, hue in CELL_COLOURS.items()}
    count = len(OTHER_COLOURS)
    hues |= {cell: (OTHER_COLOURS[index % count], index // count) for index, cell in enumerate(others)}
    rounds = max(1, -(-len(others) // count))  # shades of one hue that single cells take up
    repeats = [cells[:index].count(cell) for index, cell in enumerate(cells)]
    return {
        label: _shade(hues[cell][0], hues[cell][1] + rounds * repeat)
        for label, cell, repeat in zip(labels, cells, repeats, strict=True)
    }


def _shade(hue: str, index: int) -> str:
    """The hue itself for index 0, then alternately lighter and darker shades."""
    target, share = (1.0 if index % 2 else 0.0), 0.65 ** -(-index // 2)
    red, green, blue = (share * part + (1 - share) * target for part in to_rgb(hue))
    return to_hex((red, green, blue)).upper()


def panels(
    count: int, columns: int, height: float, *, share_x: bool = True, share_y: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels that share their axes, each ``height`` inches high."""
    across = 2 if (count, columns) == (4, WIDE) else min(columns, count)  # two rows of two rather than three and one
    rows = -(-count // across)
    figure = Figure(
        figsize=(INCHES[columns], rows * height + (1.5 if rows == 1 else 0.9)), dpi=DOTS[columns], layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, across, sharex=share_x, sharey=share_y, squeeze=False)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.remove()
    for panel in axes[max(0, count - across) : count]:  # the lowest panel of each column has tick labels
        panel.xaxis.set_tick_params(labelbottom=True)
    for panel in axes[:count]:
        style_axes(panel)
    return figure, axes[:count]


def legend_columns(names: Sequence[str], columns: int, max_columns: int, points: float) -> int:
    """How many columns of a legend, at most ``max_columns``, fit into a figure with ``columns`` panels in a row.

    ``points`` is the font size; the width of a letter is an average over the figures.
    """
    for across in range(max_columns, 1, -1):
        longest = [max(map(len, part), default=0) for part in np.array_split(np.array(names, object), across)]
        inches = sum(0.6 + 0.0082 * points * letters for letters in longest) - 0.25  # no gap after the last column
        if inches <= INCHES[columns]:
            return across
    return 1


def legend(figure: Figure, handles: Sequence[Artist], columns: int, max_columns: int, points: float) -> None:
    """The legend above all panels, in at most ``max_columns`` columns; the figure grows where it has many rows."""
    names = [str(handle.get_label()) for handle in handles]
    across = legend_columns(names, columns, max_columns, points)
    extra = -(-len(names) // across) - 3  # a figure has room for three
    figure.set_figheight(figure.get_figheight() + 0.021 * points * max(0, extra))
    figure.legend(handles=handles, loc="outside upper left", ncols=across, frameon=False, fontsize=points)


def style_axes(panel: Axes) -> None:
    """Set the style of a panel: no frame above and to the right, a faint grid behind the lines."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(True, color="#E4E4E4", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=9, colors=INK)


def log10(values: Floats) -> Floats:
    """log10, with values up to 10^FLOOR, zero included, at the floor; NaN and infinity become NaN."""
    clipped = np.where(np.isfinite(values), np.maximum(values, 10.0**FLOOR), np.nan)
    return np.log10(clipped)


def decades(values: Sequence[Floats]) -> tuple[int, int]:
    """The whole decades (lowest, highest) that contain ``values``, which are log10; (-1, 0) where none is finite."""
    finite = np.concatenate([np.ravel(value) for value in values] or [np.empty(0)])
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return -1, 0
    low, high = int(np.floor(finite.min())), int(np.ceil(finite.max()))
    return low, max(high, low + 1)


def decade_ticks(low: int, high: int) -> tuple[FixedLocator, FuncFormatter]:
    """At most seven ticks with powers of ten as labels, that of the floor with "at most"."""
    return FixedLocator(decade_positions(low, high)), FuncFormatter(lambda value, _: power(round(value)))


def power(exponent: int) -> str:
    """-3 → "10⁻³"; the floor with "at most"."""
    text = f"10{str(exponent).translate(SUPERSCRIPTS)}"
    return f"≤ {text}" if exponent == FLOOR else text


def decade_positions(low: int, high: int) -> list[int]:
    """At most seven whole decades from ``low`` to ``high`` at equal distances."""
    return list(range(low, high + 1, -(-(high - low) // 6)))


def decade_axis(panel: Axes, low: int, high: int) -> None:
    """Label a vertical axis of log10 values in powers of ten."""
    locator, formatter = decade_ticks(low, high)
    panel.yaxis.set_major_locator(locator)
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(formatter)
    panel.set_ylim(low - 0.02 * (high - low), high)


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file with 128 colours, a third of the size that full colour takes.

    A "$" in its texts stands for itself and begins no formula.
    """
    for text in (artist for artist in figure.findobj(Text) if isinstance(artist, Text)):
        text.set_text(printable(text.get_text()).replace("$", r"\$"))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # savefig would draw it twice
    image, out = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]), io.BytesIO()
    indexed = image.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)  # keeps rare hues apart
    indexed.save(out, "png")
    return out.getvalue()
