"""Pictures of the gates: how far they stand open, through which the detour goes, and what gradient they receive."""

import numpy as np
from matplotlib.figure import Figure

from rnnjax.formatting import Nouns, number
from rnnjax.report.figures import style
from rnnjax.report.figures.panels import (
    STROKES,
    WHEN,
    band_patches,
    draw_curve,
    gate_colours,
    gate_patches,
    grid,
    heading,
    lag_axis,
    legend,
    moment_samples,
    percent_axis,
)
from rnnjax.report.summary.diagnosis import Curve, curve, diagnosed, either, numbers, shares, within
from rnnjax.report.summary.seed_groups import SeedGroup, middle
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.schema import STAGES, Stage

Labels = tuple[SeedGroup, ...]
CONTENT = ("g", "n", "h")  # between -1 and 1: no door that stands more or less open


def gates_of(group: SeedGroup, place: int) -> tuple[str, ...]:
    """The gates of a diagnosed layer."""
    layer = either(group, place)
    return () if layer is None else layer.gates


def gates_of_the_detour(labels: Labels, columns: int = style.WIDE) -> Figure | None:
    """Stacked shares of the gates by lag, a row for each cell of several gates: at the start, after training."""
    drawn = [
        (group, place, title, [shares(group, place, when) for when in STAGES])
        for group, place, title in diagnosed(labels)
        if len(gates_of(group, place)) > 1
    ]
    drawn = [one for one in drawn if any(divided is not None for divided in one[3])]
    if not drawn:
        return None
    colour = style.colours([group.label for group in labels])
    figure, rows = grid(len(drawn), 2, columns, height=1.9)
    for panels, (group, place, title, divided) in zip(rows, drawn, strict=True):
        for panel, when, parts in zip(panels, STAGES, divided, strict=True):
            heading(panel, f"{title}, {WHEN[when]}" if when == "start" else WHEN[when], colour[group.label])
            percent_axis(panel)
            if parts is None:
                panel.annotate("not measured", (0.5, 0.5), xycoords="axes fraction", ha="center", color=style.FAINT)
                continue
            borders = np.concatenate([np.zeros((1, parts.shape[1])), np.cumsum(parts, axis=0)])
            tints = gate_colours(gates_of(group, place))
            for gate, below, above in zip(tints, borders[:-1], borders[1:], strict=True):
                lag = np.arange(parts.shape[1])
                panel.fill_between(lag, below, above, where=np.isfinite(above), color=tints[gate], linewidth=0)
            lag_axis(panel)
    figure.supxlabel(nouns_of(labels).back, fontsize=10.5)
    figure.supylabel("share of the detour", fontsize=10.5)
    legend(figure, gate_patches(_all_gates([(group, place) for group, place, *_ in drawn])), columns, across=5)
    return figure


def into_gates(labels: Labels, columns: int = style.WIDE) -> Figure | None:
    """Norm of the gradient at each gate's pre-activation by lag, a panel for each cell; None where not diagnosed."""
    return _gate_lines(labels, columns, "into", decades=True)


def gates(labels: Labels, columns: int = style.WIDE) -> Figure | None:
    """Mean value of each gate by lag with the horizon it implies, a panel for each cell that has gates, or None."""
    return _gate_lines(labels, columns, "gate", decades=False)


def _gate_lines(labels: Labels, columns: int, prefix: str, decades: bool) -> Figure | None:
    """A line for each gate, thin at the start, strong after training; values of gates, or norms in decades."""
    scale = style.log10 if decades else None
    drawn: list[tuple[SeedGroup, int, str, dict[tuple[Stage, str], Curve]]] = []
    for group, place, title in diagnosed(labels):
        shown = [gate for gate in gates_of(group, place) if decades or gate not in CONTENT]
        found = {(when, k): curve(group, place, when, f"{prefix} {k}", scale) for when in STAGES for k in shown}
        curves = {key: one for key, one in found.items() if one is not None}
        if curves:
            drawn.append((group, place, title, curves))
    if not drawn:
        return None
    colour = style.colours([group.label for group in labels])
    figure, axes = style.panels(len(drawn), columns, height=2.6)
    every = [one for *_, curves in drawn for one in curves.values()]
    low, high = style.decades([level for one in every for level in (one.middle, one.low, one.high)])
    nouns = nouns_of(labels)
    for panel, (group, place, title, curves) in zip(axes, drawn, strict=True):
        heading(panel, title, colour[group.label])
        tints = gate_colours(gates_of(group, place))
        for (when, gate), one in curves.items():
            line, width = STROKES[when]
            draw_curve(panel, one if decades else within(one), tints[gate], line, width, 0.2 if when == "end" else 0.0)
        if decades:
            style.decade_axis(panel, low, high)
        else:
            percent_axis(panel)
            panel.annotate(
                _horizon(group, place, nouns), (0.03, 0.03), xycoords="axes fraction", fontsize=9, color=style.INK
            )
        lag_axis(panel)
    figure.supxlabel(nouns.back, fontsize=10.5)
    figure.supylabel("gradient at the gate: ‖∂L/∂z‖" if decades else "how far the gate stands open", fontsize=10.5)
    known = [k for k in _all_gates([(group, place) for group, place, *_ in drawn]) if decades or k not in CONTENT]
    ends = [one for *_, curves in drawn for (when, _), one in curves.items() if when == "end"]
    legend(figure, [*gate_patches(known), *moment_samples(), *band_patches(ends, nouns)], columns, across=4)
    return figure


def _all_gates(layers: list[tuple[SeedGroup, int]]) -> list[str]:
    return list(dict.fromkeys(gate for group, place in layers for gate in gates_of(group, place)))


def _horizon(group: SeedGroup, place: int, nouns: Nouns) -> str:
    """The horizon at the start and after training, the median seed: "horizon 3.7 → 12 words"."""
    values = [numbers(group, when, "horizon", place) for when in STAGES]
    known = [float(middle(seeds)) for seeds in values if len(seeds)]
    if not known:
        return ""
    return "horizon " + (nouns.far(known[0]) if len(known) == 1 else f"{number(known[0])} → {nouns.far(known[1])}")
