"""Pictures of the flow and of learning itself: Lyapunov exponents, the size of updates, words exchanged."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rnnjax.analysis.diagnosis import LayerDiagnosis, WordSwaps
from rnnjax.report.figures import style
from rnnjax.report.figures.panels import WHEN, Dash, grid, heading, lag_axis, legend, sample
from rnnjax.report.summary.diagnosis import diagnosed, layers_of
from rnnjax.report.summary.seed_groups import SeedGroup, middle
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.run_record import UpdateHistory
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

Labels = tuple[SeedGroup, ...]
HEALTHY = 1e-3  # of its own size: about what Adam should change a block by in a step
BLOCKS = ("#332288", "#44AA99", "#CC6677", "#DDAA33", "#882255", "#88CCEE", "#117733", "#999933")
LINES: dict[Stage, tuple[Dash, float, float]] = {"start": ("--", 1.0, 0.55), "end": ("-", 1.7, 0.9)}


def lyapunov(labels: Labels, columns: int = style.WIDE) -> Figure | None:
    """Spectrum, settling of the largest exponent, singular values of products: a line a seed; None without any."""
    known = [
        (group, when, layer)
        for group, place, _ in diagnosed(labels)
        if place == 0
        for when in STAGES
        for layer in layers_of(group, when)
        if layer.lyapunov is not None or layer.singular is not None
    ]
    if not known:
        return None
    colour = style.colours([group.label for group in labels])
    across = 3 if columns == style.WIDE else 1
    figure, rows = grid(3 // across, across, columns, height=2.8, share_x=False, share_y=False)
    panels = [panel for row in rows for panel in row]
    for group, when, layer in known:
        _flow(panels, layer, when, colour[group.label])
    titles = ("all exponents", "the largest, as it settles", "products of step Jacobians")
    below = ("rank: 0 the largest, 1 the smallest", "steps followed", "steps in the product")
    beside = ("exponent a step", "largest exponent a step", "largest and smallest\nsingular value")
    for panel, title, x, y in zip(panels, titles, below, beside, strict=True):
        heading(panel, title)
        panel.axhline(0, color=style.INK, linewidth=1)
        panel.set_xlabel(x, fontsize=9.5)
        panel.set_ylabel(y, fontsize=9.5)
    low, high = style.decades([np.ravel(line.get_ydata()) for line in panels[2].get_lines()])
    style.decade_axis(panels[2], low, high)
    labelled = dict.fromkeys(group.label for group, *_ in known)
    cells = [sample(label, colour[label], width=2.0) for label in labelled]
    moments = [sample(f"{WHEN[when]} (a line a seed)", line=LINES[when][0], width=LINES[when][1]) for when in STAGES]
    legend(figure, [*cells, *moments], columns, across=3)
    return figure


def _flow(panels: list[Axes], layer: LayerDiagnosis, when: Stage, tint: str) -> None:
    spectrum, settling, products = panels
    line, width, alpha = LINES[when]

    def draw(panel: Axes, x: Floats, y: Floats) -> None:
        shown = np.where(np.isfinite(y), y, np.nan)
        panel.plot(x, shown, color=tint, linestyle=line, linewidth=width, alpha=alpha)

    if layer.lyapunov is not None:
        exponents = layer.lyapunov.exponents
        draw(spectrum, np.arange(len(exponents)) / max(1, len(exponents) - 1), exponents)
        draw(settling, layer.lyapunov.steps.astype(float), layer.lyapunov.largest)
    if layer.singular is not None:
        for values in (layer.singular.largest, layer.singular.smallest):
            draw(products, layer.singular.lag.astype(float), np.maximum(values, style.FLOOR))  # log10 already


def updates(labels: Labels, columns: int = style.WIDE) -> Figure | None:
    """Update-to-weight ratio of each block over training, the median seed, a panel for each cell; None without any."""
    drawn = [(group, found) for group in labels if (found := ratios(group)) is not None]
    if not drawn:
        return None
    colour = style.colours([group.label for group in labels])
    figure, axes = style.panels(len(drawn), columns, height=2.6)
    blocks = list(dict.fromkeys(block for _, found in drawn for block in found.ratios))
    tint = {block: BLOCKS[place % len(BLOCKS)] for place, block in enumerate(blocks)}
    curves = [style.log10(values) for _, found in drawn for values in found.ratios.values()]
    low, high = style.decades([*curves, np.log10([HEALTHY])])
    for panel, (group, found) in zip(axes, drawn, strict=True):
        heading(panel, group.label, colour[group.label])
        style.decade_axis(panel, low, high)
        panel.axhline(np.log10(HEALTHY), color=style.INK, linewidth=1, linestyle=":")
        for block, values in found.ratios.items():
            panel.plot(found.steps, style.log10(values), color=tint[block], linewidth=1.5)
    figure.supxlabel("training step", fontsize=10.5)
    figure.supylabel("change in a step: ‖ΔW‖ / ‖W‖", fontsize=10.5)
    guide = sample("one part in a thousand", line=":", width=1.0)
    legend(figure, [*(sample(block, tint[block]) for block in blocks), guide], columns, across=4)
    return figure


def ratios(group: SeedGroup) -> UpdateHistory | None:
    """The median seed's update ratio at every logged step, of each block; None where no step was logged."""
    logs = [member.updates for member in group.counted if member.updates is not None]
    if not logs:
        return None
    steps = np.array(sorted({int(step) for log in logs for step in log.steps}), np.int64)
    blocks = dict.fromkeys(block for log in logs for block in log.ratios)
    tables = {block: np.full((len(logs), len(steps)), np.nan) for block in blocks}
    for row, log in enumerate(logs):
        for block, values in log.ratios.items():
            tables[block][row, np.searchsorted(steps, log.steps)] = values
    return UpdateHistory(steps, {block: middle(table) for block, table in tables.items()})


def swaps(labels: Labels, columns: int = style.WIDE) -> Figure | None:
    """Change of the logit when one word is exchanged, measured and predicted, against its lag; None without any."""
    drawn = [(group, found) for group in labels if (found := swapped(group)) is not None]
    if not drawn:
        return None
    nouns = nouns_of(labels)
    colour = style.colours([group.label for group in labels])
    figure, axes = style.panels(len(drawn), columns, height=2.5)
    sizes = [[style.log10(np.abs(values)) for values in (one.measured, one.predicted)] for _, (_, one) in drawn]
    low, high = style.decades([values for both in sizes for values in both])
    for panel, (group, (when, one)), (measured, predicted) in zip(axes, drawn, sizes, strict=True):
        heading(panel, f"{group.label}{', before training' if when == 'start' else ''}", colour[group.label])
        style.decade_axis(panel, low, high)
        panel.plot(one.lag, predicted, "D", color=style.FAINT, markersize=4.5, fillstyle="none")
        panel.plot(one.lag, measured, "o", color=colour[group.label], markersize=4.5, alpha=0.75, markeredgewidth=0)
        lag_axis(panel)
    figure.supxlabel(f"{nouns.steps} back to the {nouns.step} that is exchanged", fontsize=10.5)
    figure.supylabel("change of the logit", fontsize=10.5)
    dots = Line2D([], [], color=style.INK, marker="o", linestyle="", label="measured (in the cell's colour)")
    hollow = Line2D([], [], color=style.FAINT, marker="D", fillstyle="none", linestyle="", label="by its gradient")
    legend(figure, [dots, hollow], columns)
    return figure


def swapped(group: SeedGroup) -> tuple[Stage, WordSwaps] | None:
    """The exchanges of all counted members after training, or at the start where nothing later is known."""
    for when in reversed(STAGES):
        known = [member.diagnoses[when].swaps for member in group.counted if when in member.diagnoses]
        found = [one for one in known if one is not None and len(one.lag)]
        if found:
            names = ("lag", "measured", "predicted")
            rows = {name: np.concatenate([getattr(one, name) for one in found]) for name in names}
            return when, WordSwaps(what=found[0].what, **rows)
    return None
