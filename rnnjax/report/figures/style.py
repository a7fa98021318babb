"""The common look of all figures: one colour a label, panels, clipped logarithms, PNG without a display."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from PIL import Image

from rnnjax.typing import Floats

# Okabe & Ito's palette, told apart with any colour vision; its yellow is left out, too pale for a line on white,
# and two of Paul Tol's muted colours follow, so that a sweep of eight cells has eight hues.
KNOWN = {"SimpleRNN": "#D55E00", "LSTM": "#0072B2", "GRU": "#009E73"}
OTHERS = ("#CC79A7", "#E69F00", "#56B4E9", "#999933", "#AA4499")
INK, FAINT = "#333333", "#8C8C8C"
UNKNOWN = "#BDBDBD"  # where a heat map has no number
FLOOR = -12  # log10 below which a gradient counts as vanished: 32-bit sums of ordinary size lose it altogether
MOST = 12  # labels whose figures a reader can tell apart, and a page has room for
WIDE, NARROW = 3, 1  # panels in a row: on a page, on a phone
INCHES = {WIDE: 10.5, NARROW: 4.6}
DOTS = {WIDE: 110, NARROW: 120}


def colours(labels: Sequence[str]) -> dict[str, str]:
    """One colour for each label, the same in every figure; other shades once the palette is used up.

    Side by side, where a label reads "run: cell", the cell keeps its hue in every run, in another shade.
    """
    labels = list(dict.fromkeys(labels))
    cells = [label.rpartition(": ")[2] for label in labels]
    spare = [cell for cell in dict.fromkeys(cells) if cell not in KNOWN]
    hues = {cell: (hue, 0) for cell, hue in KNOWN.items()}
    hues |= {cell: (OTHERS[place % len(OTHERS)], place // len(OTHERS)) for place, cell in enumerate(spare)}
    rounds = max(1, -(-len(spare) // len(OTHERS)))  # shades of one hue that single cells take up
    earlier = [cells[:place].count(cell) for place, cell in enumerate(cells)]
    return {
        label: _shade(hues[cell][0], hues[cell][1] + rounds * again)
        for label, cell, again in zip(labels, cells, earlier, strict=True)
    }


def _shade(hue: str, place: int) -> str:
    """The hue itself, then by turns lighter and darker ones."""
    toward, keep = (1.0 if place % 2 else 0.0), 0.65 ** -(-place // 2)
    red, green, blue = (keep * part + (1 - keep) * toward for part in to_rgb(hue))
    return to_hex((red, green, blue)).upper()


def literal(label: str) -> str:
    """``label`` as it stands, a dollar sign not taken for the start of a formula."""
    return label.replace("$", r"\$")


def panels(count: int, columns: int, height: float, share_y: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels that share their axes, each ``height`` inches high."""
    across = 2 if (count, columns) == (4, WIDE) else min(columns, count)  # two rows of two rather than three and one
    rows = -(-count // across)
    figure = Figure(
        figsize=(INCHES[columns], rows * height + (1.5 if rows == 1 else 0.9)), dpi=DOTS[columns], layout="constrained"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, across, sharex=True, sharey=share_y, squeeze=False)
    axes = list(grid.flat)
    for spare in axes[count:]:
        spare.remove()
    for panel in axes[max(0, count - across) : count]:  # the lowest of each column shows its numbers
        panel.xaxis.set_tick_params(labelbottom=True)
    for panel in axes[:count]:
        tidy(panel)
    return figure, axes[:count]


def legend_columns(names: Sequence[str], columns: int, most: int, points: float) -> int:
    """How many columns of a legend, at most ``most``, a figure of ``columns`` panels has room for.

    ``points`` is the size of the letters; a letter is taken to be as wide as those of the figures are on average.
    """
    for across in range(most, 1, -1):
        longest = [max(map(len, part), default=0) for part in np.array_split(np.array(names, object), across)]
        inches = sum(0.6 + 0.0082 * points * letters for letters in longest) - 0.25  # no gap behind the last
        if inches <= INCHES[columns]:
            return across
    return 1


def legend(figure: Figure, handles: Sequence[Artist], columns: int, most: int, points: float) -> None:
    """The legend above all panels, in at most ``most`` columns; the figure grows where it has many rows."""
    names = [str(handle.get_label()) for handle in handles]
    across = legend_columns(names, columns, most, points)
    extra = -(-len(names) // across) - 3  # a figure has room for three
    figure.set_figheight(figure.get_figheight() + 0.021 * points * max(0, extra))
    figure.legend(handles=handles, loc="outside upper left", ncols=across, frameon=False, fontsize=points)


def tidy(panel: Axes) -> None:
    """Quiet axes: no frame above and to the right, a faint grid behind the lines."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(True, color="#E4E4E4", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=9, colors=INK)


def log10(values: Floats) -> Floats:
    """log10 with everything at or below 10^FLOOR drawn at the floor, zero included; NaN and infinity are NaN."""
    shown = np.where(np.isfinite(values), np.maximum(values, 10.0**FLOOR), np.nan)
    return np.log10(shown)


def decades(values: Sequence[Floats]) -> tuple[int, int]:
    """The whole decades (lowest, highest) that hold all of ``values``, which are log10; (-1, 0) for none."""
    known = np.concatenate([np.ravel(value) for value in values] or [np.empty(0)])
    known = known[np.isfinite(known)]
    if not known.size:
        return -1, 0
    low, high = int(np.floor(known.min())), int(np.ceil(known.max()))
    return low, max(high, low + 1)


def decade_ticks(low: int, high: int) -> tuple[FixedLocator, FuncFormatter]:
    """At most seven ticks that read as powers of ten; the floor reads as "at most"."""

    def text(value: float, _: object = None) -> str:
        power = f"10^{{{round(value)}}}"
        return rf"$\leq {power}$" if round(value) == FLOOR else f"${power}$"

    return FixedLocator(decade_places(low, high)), FuncFormatter(text)


def decade_places(low: int, high: int) -> list[int]:
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
    """The figure as the bytes of a PNG file with 128 colours, a third of the size that full colour takes."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # savefig would draw it twice
    drawn, out = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]), io.BytesIO()
    few = drawn.quantize(128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)  # keeps rare hues apart
    few.save(out, "png")
    return out.getvalue()
