"""What the figures of a diagnosis share: grids of panels, curves with a band over seeds, and their legend."""

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
BANDS = {
    "examples": "band: 8 of 10 {examples} (one seed)",
    "range": "band: between the two seeds",
    "interval": "band: 95% interval of the mean over the seeds",
}
# A gate keeps its colour in every cell, and f and u, g and n, which do the same, share theirs.
GATES = {
    "f": ("#332288", "keeps the old"),
    "u": ("#332288", "keeps the old"),
    "i": ("#44AA99", "lets the new in"),
    "g": ("#CC6677", "the new content"),
    "n": ("#CC6677", "the new content"),
    "h": ("#CC6677", "the new content"),
    "r": ("#882255", "lets the past speak"),
    "o": ("#DDAA33", "shows"),
}
SPARE = ("#117733", "#88CCEE", "#999933", "#AA4499")  # for the gates of other cells


def gate_colours(gates: Sequence[str]) -> dict[str, str]:
    """One colour for each gate."""
    spare = [gate for gate in dict.fromkeys(gates) if gate not in GATES]
    return {gate: GATES[gate][0] if gate in GATES else SPARE[spare.index(gate) % len(SPARE)] for gate in gates}


def gate_patches(gates: Sequence[str]) -> list[Patch]:
    """The legend of gates, those of one colour in one entry, as in "f, u: keeps the old"."""
    alike: dict[tuple[str, str], list[str]] = {}
    for gate, colour in gate_colours(gates).items():
        alike.setdefault((colour, GATES.get(gate, ("", ""))[1]), []).append(gate)
    return [
        Patch(color=colour, linewidth=0, label=style.literal(f"{', '.join(names)}: {does}" if does else names[0]))
        for (colour, does), names in alike.items()
    ]


def grid(
    rows: int, across: int, columns: int, height: float, share_x: bool = True, share_y: bool = True
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of ``rows`` × ``across`` panels, each ``height`` inches high, as wide as ``style.panels`` makes it."""
    size = (style.INCHES[columns], rows * height + (1.5 if rows == 1 else 1.1))
    figure = Figure(figsize=size, dpi=style.DOTS[columns], layout="constrained")
    FigureCanvasAgg(figure)
    table = figure.subplots(rows, across, sharex=share_x, sharey=share_y, squeeze=False)
    for panel in table.flat:
        style.tidy(panel)
    return figure, [list(row) for row in table]


def heading(panel: Axes, title: str, colour: str = style.INK) -> None:
    """The title of a panel, at its left, in the colour of what it shows."""
    panel.set_title(style.literal(title), loc="left", fontsize=11, fontweight="bold", color=colour)


def draw_curve(panel: Axes, curve: Curve, colour: str, line: Dash, width: float, shade: float) -> None:
    """The median seed as a line, and its band."""
    lag = np.arange(len(curve.middle))
    panel.fill_between(lag, curve.low, curve.high, color=colour, alpha=shade, linewidth=0)
    panel.plot(lag, curve.middle, color=colour, linewidth=width, linestyle=line)


def band_patches(curves: Iterable[Curve], nouns: Nouns) -> list[Patch]:
    """The legend of the bands that occur, in a fixed order."""
    found: set[str] = {curve.band for curve in curves}
    names = [nouns.told(BANDS[band]) for band in BANDS if band in found]
    return [Patch(color=style.FAINT, alpha=0.35, linewidth=0, label=name) for name in names]


def moment_samples() -> list[Line2D]:
    """The legend of figures in which the start is thin and dashed, the end strong."""
    return [sample(WHEN[when], line=line, width=width) for when, (line, width) in STROKES.items()]


def sample(label: str, colour: str = style.INK, line: Dash = "-", width: float = 1.8) -> Line2D:
    """A line for the legend."""
    return Line2D([], [], color=colour, linestyle=line, linewidth=width, label=style.literal(label))


def legend(figure: Figure, handles: Sequence[Line2D | Patch], columns: int, across: int = 3) -> None:
    """The legend above all panels: at most ``across`` entries in a row, on a phone two, fewer where they are long."""
    style.legend(figure, handles, columns, across if columns == style.WIDE else 2, points=9)


def percent_axis(panel: Axes) -> None:
    """A vertical axis from 0 to 100%."""
    panel.set_ylim(-0.02, 1.02)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def lag_axis(panel: Axes) -> None:
    """A horizontal axis of whole steps, from 0."""
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
    panel.set_xlim(left=0)
