"""Figures of the gates: their values, the gate through which the detour enters, and the gradient of each gate."""

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
from rnnjax.report.summary.diagnosis import (
    Curve,
    any_layer,
    clip_to_shares,
    curve,
    diagnosed,
    gate_shares,
    layer_values,
)
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups, lower_median
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.schema import STAGES, Stage

CONTENT_GATES = ("g", "n", "h")  # values between -1 and 1, which are neither open nor shut


def layer_gates(group: SeedGroup, layer_index: int) -> tuple[str, ...]:
    """The gates of a diagnosed layer."""
    layer = any_layer(group, layer_index)
    return () if layer is None else layer.gates


def gates_of_the_detour(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Stacked shares of the gates by lag, at the start and after training, a row for each cell with several gates."""
    rows_drawn = [
        (group, layer_index, title, [gate_shares(group, layer_index, when) for when in STAGES])
        for group, layer_index, title in diagnosed(groups)
        if len(layer_gates(group, layer_index)) > 1
    ]
    rows_drawn = [row for row in rows_drawn if any(shares is not None for shares in row[3])]
    if not rows_drawn:
        return None
    colours = style.colours([group.label for group in groups])
    figure, rows = grid(len(rows_drawn), 2, columns, height=1.9)
    for panels, (group, layer_index, title, shares) in zip(rows, rows_drawn, strict=True):
        for panel, when, shares_at in zip(panels, STAGES, shares, strict=True):
            heading(panel, f"{title}, {WHEN[when]}" if when == "start" else WHEN[when], colours[group.label])
            percent_axis(panel)
            if shares_at is None:
                panel.annotate("not measured", (0.5, 0.5), xycoords="axes fraction", ha="center", color=style.FAINT)
                continue
            borders = np.concatenate([np.zeros((1, shares_at.shape[1])), np.cumsum(shares_at, axis=0)])
            gate_tints = gate_colours(layer_gates(group, layer_index))
            for gate, below, above in zip(gate_tints, borders[:-1], borders[1:], strict=True):
                lag = np.arange(shares_at.shape[1])
                panel.fill_between(lag, below, above, where=np.isfinite(above), color=gate_tints[gate], linewidth=0)
            lag_axis(panel)
    figure.supxlabel(nouns_of(groups).back, fontsize=10.5)
    figure.supylabel("share of the detour", fontsize=10.5)
    names = _gate_names([(group, layer_index) for group, layer_index, *_ in rows_drawn])
    legend(figure, gate_patches(names), columns, across=5)
    return figure


def into_gates(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Norm of the gradient at each gate's pre-activation by lag, a panel for each cell; None without a diagnosis."""
    return _gate_lines(groups, columns, "into", decades=True)


def gates(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Mean value of each gate by lag and the horizon, a panel for each cell that has gates; None without any."""
    return _gate_lines(groups, columns, "gate", decades=False)


def _gate_lines(groups: SeedGroups, columns: int, prefix: str, decades: bool) -> Figure | None:
    """A line for each gate, thin at the start, thick after training: values of gates or, with ``decades``, norms."""
    scale = style.log10 if decades else None
    rows_drawn: list[tuple[SeedGroup, int, str, dict[tuple[Stage, str], Curve]]] = []
    for group, layer_index, title in diagnosed(groups):
        gates_shown = [gate for gate in layer_gates(group, layer_index) if decades or gate not in CONTENT_GATES]
        curves = {
            (when, gate): line_curve
            for when in STAGES
            for gate in gates_shown
            if (line_curve := curve(group, layer_index, when, f"{prefix} {gate}", scale)) is not None
        }
        if curves:
            rows_drawn.append((group, layer_index, title, curves))
    if not rows_drawn:
        return None
    colours = style.colours([group.label for group in groups])
    figure, axes = style.panels(len(rows_drawn), columns, height=2.6)
    all_curves = [line_curve for *_, curves in rows_drawn for line_curve in curves.values()]
    low, high = style.decades([level for drawn in all_curves for level in (drawn.median, drawn.low, drawn.high)])
    nouns = nouns_of(groups)
    for panel, (group, layer_index, title, curves) in zip(axes, rows_drawn, strict=True):
        heading(panel, title, colours[group.label])
        gate_tints = gate_colours(layer_gates(group, layer_index))
        for (when, gate), line_curve in curves.items():
            line, width = STROKES[when]
            clipped = line_curve if decades else clip_to_shares(line_curve)
            draw_curve(panel, clipped, gate_tints[gate], line, width, 0.2 if when == "end" else 0.0)
        if decades:
            style.decade_axis(panel, low, high)
        else:
            percent_axis(panel)
            panel.annotate(
                _horizon(group, layer_index, nouns), (0.03, 0.03), xycoords="axes fraction", fontsize=9, color=style.INK
            )
        lag_axis(panel)
    figure.supxlabel(nouns.back, fontsize=10.5)
    figure.supylabel("gradient at the gate: ‖∂L/∂z‖" if decades else "how far the gate is open", fontsize=10.5)
    gates_drawn = _gate_names([(group, layer_index) for group, layer_index, *_ in rows_drawn])
    names = [gate for gate in gates_drawn if decades or gate not in CONTENT_GATES]
    end_curves = [line_curve for *_, curves in rows_drawn for (when, _), line_curve in curves.items() if when == "end"]
    legend(figure, [*gate_patches(names), *moment_samples(), *band_patches(end_curves, nouns)], columns, across=4)
    return figure


def _gate_names(layers: list[tuple[SeedGroup, int]]) -> list[str]:
    return list(dict.fromkeys(gate for group, layer_index in layers for gate in layer_gates(group, layer_index)))


def _horizon(group: SeedGroup, layer_index: int, nouns: Nouns) -> str:
    """The median seed's horizon at the start and after training: "horizon 3.7 → 12 words"."""
    values = [layer_values(group, when, "horizon", layer_index) for when in STAGES]
    medians = [float(lower_median(seeds)) for seeds in values if len(seeds)]
    if not medians:
        return ""
    first, *later = medians
    return f"horizon {number(first)} → {nouns.far(later[0])}" if later else f"horizon {nouns.far(first)}"
