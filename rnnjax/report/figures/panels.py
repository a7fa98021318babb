"""Parts that the figures of a diagnosis share: grids of panels, curves with a band over seeds, legends, axes."""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rnnjax.formatting import Nouns
from rnnjax.report.figures import style
from rnnjax.report.summary.diagnosis import Curve
from rnnjax.runs.schema import Stage

Dash = Literal["-", "--", ":"]
STROKES: dict[Stage, tuple[Dash, float]] = {"start": ("--", 1.2), "end": ("-", 2.0)}
WHEN: dict[Stage, str] = {"start": "at the start", "end": "after training"}
LETTER = 0.095  # inches, the width of a bold letter of a panel's title on average
BANDS = {
    "examples": "band: 8 of 10 {examples} (one seed)",
    "range": "band: between the two seeds",
    "interval": "band: 95% interval of the mean over the seeds",
}
# A gate has the same colour in every cell; gates with the same role (f and u, g and n) share one.
GATE_STYLES = {
    "f": ("#332288", "keeps the memory"),
    "u": ("#332288", "keeps the memory"),
    "i": ("#44AA99", "lets new content in"),
    "g": ("#CC6677", "new content"),
    "n": ("#CC6677", "new content"),
    "h": ("#CC6677", "new content"),
    "r": ("#882255", "lets the past in"),
    "o": ("#DDAA33", "output"),
}
OTHER_COLOURS = ("#117733", "#88CCEE", "#999933", "#AA4499")  # for the gates of other cells


def gate_colours(gates: Sequence[str]) -> dict[str, str]:
    """One colour for each gate."""
    others = [gate for gate in dict.fromkeys(gates) if gate not in GATE_STYLES]
    colours = {gate: colour for gate, (colour, _) in GATE_STYLES.items()}
    colours |= {gate: OTHER_COLOURS[index % len(OTHER_COLOURS)] for index, gate in enumerate(others)}
    return {gate: colours[gate] for gate in gates}


def gate_patches(gates: Sequence[str]) -> list[Patch]:
    """The legend of gates, those of one colour in one entry, as in "f, u: keeps the memory"."""
    by_colour: dict[tuple[str, str], list[str]] = {}
    for gate, colour in gate_colours(gates).items():
        by_colour.setdefault((colour, GATE_STYLES.get(gate, ("", ""))[1]), []).append(gate)
    return [
        Patch(color=colour, linewidth=0, label=f"{', '.join(names)}: {role}" if role else names[0])
        for (colour, role), names in by_colour.items()
    ]


def grid(
    rows: int, across: int, columns: int, height: float, share_x: bool = True, share_y: bool = True
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of ``rows`` × ``across`` panels, each ``height`` inches high, as wide as ``style.panels`` makes it."""
    size = (style.INCHES[columns], rows * height + (1.5 if rows == 1 else 1.1))
    figure = Figure(figsize=size, dpi=style.DOTS[columns], layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, across, sharex=share_x, sharey=share_y, squeeze=False)
    for panel in axes.flat:
        style.style_axes(panel)
    return figure, [list(row) for row in axes]


def heading(panel: Axes, title: str, colour: str = style.INK) -> None:
    """Set the title of a panel, at its left, in as many lines as it takes; paths are divided after a slash."""
    figure, grid = panel.figure, panel.get_gridspec()
    inches = figure.bbox.width / figure.dpi / (1 if grid is None else grid.ncols)
    lines = textwrap.wrap(title.replace("/", "/ "), max(12, int(inches / LETTER)), break_on_hyphens=False)
    panel.set_title("\n".join(lines).replace("/ ", "/"), loc="left", fontsize=11, fontweight="bold", color=colour)


def draw_curve(panel: Axes, curve: Curve, colour: str, line: Dash, width: float, shade: float) -> None:
    """Draw the median seed as a line, and its band."""
    lag = np.arange(len(curve.median))
    panel.fill_between(lag, curve.low, curve.high, color=colour, alpha=shade, linewidth=0)
    panel.plot(lag, curve.median, color=colour, linewidth=width, linestyle=line)


def band_patches(curves: Iterable[Curve], nouns: Nouns) -> list[Patch]:
    """The legend of the bands that occur, in a fixed order."""
    kinds: set[str] = {curve.band for curve in curves}
    names = [nouns.fill_template(BANDS[band]) for band in BANDS if band in kinds]
    return [Patch(color=style.FAINT, alpha=0.35, linewidth=0, label=name) for name in names]


def moment_samples() -> list[Line2D]:
    """The legend of figures in which the start is thin and dashed and the end thick."""
    return [sample(WHEN[when], line=line, width=width) for when, (line, width) in STROKES.items()]


def sample(label: str, colour: str = style.INK, line: Dash = "-", width: float = 1.8) -> Line2D:
    """A sample of a line for the legend."""
    return Line2D([], [], color=colour, linestyle=line, linewidth=width, label=label)


def legend(figure: Figure, handles: Sequence[Line2D | Patch], columns: int, across: int = 3) -> None:
    """A legend above all panels with at most ``across`` columns, on a phone two, fewer where entries are long."""
    style.legend(figure, handles, columns, across if columns == style.WIDE else 2, points=9)


def percent_axis(panel: Axes) -> None:
    """Make the vertical axis one from 0 to 100%."""
    panel.set_ylim(-0.02, 1.02)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def lag_axis(panel: Axes) -> None:
    """Make the horizontal axis one of whole steps from 0."""
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
    panel.set_xlim(left=0)
