"""Pictures of the two ways a gradient takes through time: along the conveyor belt, or round through the matrix W_h."""

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
from rnnjax.report.summary.diagnosis import Curve, curve, diagnosed, has_belt, layers_of, within
from rnnjax.report.summary.seed_groups import SeedGroup
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.schema import STAGES, Stage

Labels = tuple[SeedGroup, ...]
PATHS: dict[str, tuple[str, Dash]] = {
    "m": ("the whole gradient ‖∂L/∂m‖", ":"),
    "belt": ("down the belt", "-"),
    "detour": ("through W_h at least once", "--"),
}


def belt_and_detour(labels: Labels, columns: int = style.WIDE) -> Figure | None:
    """Norms of the whole gradient and its two parts against lag, a panel for each cell; None where not diagnosed.

    Line: the median seed; band: see ``diagnosis_summary.Curve``. Grey: start; the cell's colour: end.
    """
    drawn = [(group, place, title, _paths(group, place)) for group, place, title in diagnosed(labels)]
    drawn = [one for one in drawn if one[3]]
    if not drawn:
        return None
    colour = style.colours([group.label for group in labels])
    figure, axes = style.panels(len(drawn), columns, height=2.7)
    every = [found for *_, curves in drawn for found in curves.values()]
    low, high = style.decades([level for found in every for level in (found.middle, found.low, found.high)])
    for panel, (group, _, title, curves) in zip(axes, drawn, strict=True):
        heading(panel, title, colour[group.label])
        style.decade_axis(panel, low, high)
        for (when, path), found in curves.items():
            tint = style.FAINT if when == "start" else colour[group.label]
            width, shade = (1.2, 0.0) if path == "m" else (1.8, 0.18)
            draw_curve(panel, found, tint, PATHS[path][1], width, shade)
        if not any(path == "belt" for _, path in curves):
            panel.annotate("no belt: all is detour", (0.97, 0.93), xycoords="axes fraction", ha="right", va="top")
        lag_axis(panel)
    figure.supxlabel(nouns_of(labels).back, fontsize=10.5)
    figure.supylabel("norm of the gradient", fontsize=10.5)
    handles = [sample(text, line=line) for text, line in PATHS.values()]
    moments = [sample(WHEN["start"], style.FAINT), sample(f"{WHEN['end']} (in the cell's colour)")]
    legend(figure, [*handles, *moments, *band_patches(every, nouns_of(labels))], columns)
    return figure


def _paths(group: SeedGroup, place: int) -> dict[tuple[Stage, str], Curve]:
    """The curves that there are; no belt where a cell has none at any moment."""
    belt = any(has_belt(layer) for when in STAGES for layer in layers_of(group, when, place))
    keys = [(when, path) for when in STAGES for path in PATHS if belt or path != "belt"]
    found = {key: curve(group, place, *key, style.log10) for key in keys}
    return {key: one for key, one in found.items() if one is not None}


def belt_share(labels: Labels, columns: int = style.WIDE) -> Figure | None:
    """The belt's share against lag, of all cells in one panel, the start thin and the end strong; None without any."""
    drawn: list[tuple[SeedGroup, str, Stage, Curve]] = [
        (group, title, when, found)
        for group, place, title in diagnosed(labels)
        if place == 0
        for when in STAGES
        if (found := curve(group, place, when, "belt_share")) is not None
    ]
    if not drawn:
        return None
    colour = style.colours([group.label for group in labels])
    figure, (panel,) = style.panels(1, columns, height=2.9)
    for group, _, when, found in drawn:
        line, width = STROKES[when]
        draw_curve(panel, within(found), colour[group.label], line, width, 0.2 if when == "end" else 0.12)
    percent_axis(panel)
    lag_axis(panel)
    panel.set_xlabel(nouns_of(labels).back, fontsize=10.5)
    panel.set_ylabel("share of the belt", fontsize=10.5)
    cells = [sample(label, colour[label], width=2.0) for label in dict.fromkeys(group.label for group, *_ in drawn)]
    bands = band_patches((found for *_, found in drawn), nouns_of(labels))
    legend(figure, [*cells, *moment_samples(), *bands], columns, across=4)
    return figure
