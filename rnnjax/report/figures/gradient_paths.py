"""Figures of the two paths of a gradient through time: along the conveyor belt, and through the matrix W_h."""

from matplotlib.figure import Figure

from rnnjax.report.figures import style
from rnnjax.report.figures.panels import (
    STROKES,
    WHEN,
    Dash,
    band_patches,
    draw_curve,
    heading,
    lag_axis,
    legend,
    moment_samples,
    percent_axis,
    sample,
)
from rnnjax.report.summary.diagnosis import Curve, clip_to_shares, curve, diagnosed, group_layers, has_belt
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.schema import STAGES, Stage

PATHS: dict[str, tuple[str, Dash]] = {
    "m": ("the whole gradient ‖∂L/∂m‖", ":"),
    "belt": ("down the belt", "-"),
    "detour": ("through W_h at least once", "--"),
}


def belt_and_detour(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Norms of the whole gradient and its two parts by lag, a panel for each cell; None without a diagnosis.

    Lines are the median seed, bands those of ``Curve``; the start is grey, the end in the cell's colour.
    """
    entries = [
        (group, title, curves)
        for group, layer_index, title in diagnosed(groups)
        if (curves := _path_curves(group, layer_index))
    ]
    if not entries:
        return None
    colours = style.colours([group.label for group in groups])
    figure, axes = style.panels(len(entries), columns, height=2.7)
    all_curves = [path_curve for *_, curves in entries for path_curve in curves.values()]
    low, high = style.decades([level for drawn in all_curves for level in (drawn.median, drawn.low, drawn.high)])
    for panel, (group, title, curves) in zip(axes, entries, strict=True):
        heading(panel, title, colours[group.label])
        style.decade_axis(panel, low, high)
        for (when, path), path_curve in curves.items():
            colour = style.FAINT if when == "start" else colours[group.label]
            width, shade = (1.2, 0.0) if path == "m" else (1.8, 0.18)
            draw_curve(panel, path_curve, colour, PATHS[path][1], width, shade)
        if not any(path == "belt" for _, path in curves):
            panel.annotate("no belt: all is detour", (0.97, 0.93), xycoords="axes fraction", ha="right", va="top")
        lag_axis(panel)
    figure.supxlabel(nouns_of(groups).back, fontsize=10.5)
    figure.supylabel("norm of the gradient", fontsize=10.5)
    handles = [sample(text, line=line) for text, line in PATHS.values()]
    moments = [sample(WHEN["start"], style.FAINT), sample(f"{WHEN['end']} (in the cell's colour)")]
    legend(figure, [*handles, *moments, *band_patches(all_curves, nouns_of(groups))], columns)
    return figure


def _path_curves(group: SeedGroup, layer_index: int) -> dict[tuple[Stage, str], Curve]:
    """The curves that were measured, without that of the belt where the cell has none at any moment."""
    belt = any(has_belt(layer) for when in STAGES for layer in group_layers(group, when, layer_index))
    keys = [(when, path) for when in STAGES for path in PATHS if belt or path != "belt"]
    curves = {key: curve(group, layer_index, *key, style.log10) for key in keys}
    return {key: path_curve for key, path_curve in curves.items() if path_curve is not None}


def loss_decay(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Gradient of one step's own loss by the lag from that step, a panel for each cell and layer; start grey.

    None where the loss reads the last step alone, so that the whole gradient by lag shows the same, or without a
    diagnosis.
    """
    entries = [
        (group, title, curves)
        for group, layer_index, title in diagnosed(groups)
        if not group.last_step_only and (curves := _decay_curves(group, layer_index))
    ]
    if not entries:
        return None
    colours = style.colours([group.label for group in groups])
    figure, axes = style.panels(len(entries), columns, height=2.7)
    drawn = [decay for *_, curves in entries for decay in curves.values()]
    low, high = style.decades([level for decay in drawn for level in (decay.median, decay.low, decay.high)])
    for panel, (group, title, curves) in zip(axes, entries, strict=True):
        heading(panel, title, colours[group.label])
        style.decade_axis(panel, low, high)
        for when, decay in curves.items():
            draw_curve(panel, decay, style.FAINT if when == "start" else colours[group.label], "-", 1.8, 0.18)
        lag_axis(panel)
    nouns = nouns_of(groups)
    figure.supxlabel(f"{nouns.steps} back from the one whose loss it is", fontsize=10.5)
    figure.supylabel("gradient, relative", fontsize=10.5)
    moments = [sample(WHEN["start"], style.FAINT), sample(f"{WHEN['end']} (in the cell's colour)")]
    legend(figure, [*moments, *band_patches(drawn, nouns)], columns)
    return figure


def _decay_curves(group: SeedGroup, layer_index: int) -> dict[Stage, Curve]:
    curves = {when: curve(group, layer_index, when, "decay", style.log10) for when in STAGES}
    return {when: decay for when, decay in curves.items() if decay is not None}


def belt_share(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """The belt's share by lag, all cells in one panel, thin at the start and thick at the end; None without any."""
    entries: list[tuple[SeedGroup, str, Stage, Curve]] = [
        (group, title, when, path_curve)
        for group, layer_index, title in diagnosed(groups)
        if layer_index == 0
        for when in STAGES
        if (path_curve := curve(group, layer_index, when, "belt_share")) is not None
    ]
    if not entries:
        return None
    colours = style.colours([group.label for group in groups])
    figure, (panel,) = style.panels(1, columns, height=2.9)
    for group, _, when, path_curve in entries:
        line, width = STROKES[when]
        draw_curve(panel, clip_to_shares(path_curve), colours[group.label], line, width, 0.2 if when == "end" else 0.12)
    percent_axis(panel)
    lag_axis(panel)
    panel.set_xlabel(nouns_of(groups).back, fontsize=10.5)
    panel.set_ylabel("share of the belt", fontsize=10.5)
    cells = [sample(label, colours[label], width=2.0) for label in dict.fromkeys(group.label for group, *_ in entries)]
    bands = band_patches((path_curve for *_, path_curve in entries), nouns_of(groups))
    legend(figure, [*cells, *moment_samples(), *bands], columns, across=4)
    return figure
