"""Figures of Lyapunov exponents, of the size of parameter updates, and of exchanged words."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rnnjax.analysis.diagnosis import LayerDiagnosis, WordSwaps
from rnnjax.report.figures import style
from rnnjax.report.figures.panels import WHEN, Dash, grid, heading, lag_axis, legend, sample
from rnnjax.report.summary.diagnosis import diagnosed, group_layers
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups, lower_median
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.run_record import UpdateHistory
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

HEALTHY = 1e-3  # relative change of a block in a step, about what training with Adam should show
BLOCK_COLOURS = ("#332288", "#44AA99", "#CC6677", "#DDAA33", "#882255", "#88CCEE", "#117733", "#999933")
LINES: dict[Stage, tuple[Dash, float, float]] = {"start": ("--", 1.0, 0.55), "end": ("-", 1.7, 0.9)}


def lyapunov(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """The spectrum, the convergence of the largest exponent, and singular values of products of step Jacobians.

    One line for each seed; None where nothing was measured.
    """
    layers = [
        (group, when, layer)
        for group, layer_index, _ in diagnosed(groups)
        if layer_index == 0
        for when in STAGES
        for layer in group_layers(group, when)
        if layer.lyapunov is not None or layer.singular is not None
    ]
    if not layers:
        return None
    colours = style.colours([group.label for group in groups])
    across = 3 if columns == style.WIDE else 1
    figure, rows = grid(3 // across, across, columns, height=2.8, share_x=False, share_y=False)
    panels = [panel for row in rows for panel in row]
    for group, when, layer in layers:
        _draw_stability(panels, layer, when, colours[group.label])
    titles = ("all exponents", "the largest, as it converges", "products of step Jacobians")
    x_labels = ("rank: 0 the largest, 1 the smallest", "steps followed", "steps in the product")
    y_labels = ("exponent per step", "largest exponent per step", "largest and smallest\nsingular value")
    for panel, title, x, y in zip(panels, titles, x_labels, y_labels, strict=True):
        heading(panel, title)
        panel.axhline(0, color=style.INK, linewidth=1)
        panel.set_xlabel(x, fontsize=9.5)
        panel.set_ylabel(y, fontsize=9.5)
    low, high = style.decades([np.ravel(line.get_ydata()) for line in panels[2].get_lines()])
    style.decade_axis(panels[2], low, high)
    labels = dict.fromkeys(group.label for group, *_ in layers)
    cells = [sample(label, colours[label], width=2.0) for label in labels]
    moments = [
        sample(f"{WHEN[when]} (a line for each seed)", line=LINES[when][0], width=LINES[when][1]) for when in STAGES
    ]
    legend(figure, [*cells, *moments], columns, across=3)
    return figure


def _draw_stability(panels: list[Axes], layer: LayerDiagnosis, when: Stage, colour: str) -> None:
    spectrum, convergence, products = panels
    line, width, alpha = LINES[when]

    def draw(panel: Axes, x: Floats, y: Floats) -> None:
        finite = np.where(np.isfinite(y), y, np.nan)
        panel.plot(x, finite, color=colour, linestyle=line, linewidth=width, alpha=alpha)

    if layer.lyapunov is not None:
        exponents = layer.lyapunov.exponents
        draw(spectrum, np.arange(len(exponents)) / max(1, len(exponents) - 1), exponents)
        draw(convergence, layer.lyapunov.steps.astype(float), layer.lyapunov.largest)
    if layer.singular is not None:
        for values in (layer.singular.largest, layer.singular.smallest):
            draw(products, layer.singular.lag.astype(float), np.maximum(values, style.FLOOR))  # these are log10


def updates(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Ratio of update to weights of each block over training, a panel for each cell; None where nothing was logged.

    The line of a block is that of the median seed.
    """
    records = [(group, record) for group in groups if (record := group_updates(group)) is not None]
    if not records:
        return None
    colours = style.colours([group.label for group in groups])
    figure, axes = style.panels(len(records), columns, height=2.6)
    blocks = list(dict.fromkeys(block for _, record in records for block in record.ratios))
    block_colours = {block: BLOCK_COLOURS[index % len(BLOCK_COLOURS)] for index, block in enumerate(blocks)}
    curves = [style.log10(values) for _, record in records for values in record.ratios.values()]
    low, high = style.decades([*curves, np.log10([HEALTHY])])
    for panel, (group, record) in zip(axes, records, strict=True):
        heading(panel, group.label, colours[group.label])
        style.decade_axis(panel, low, high)
        panel.axhline(np.log10(HEALTHY), color=style.INK, linewidth=1, linestyle=":")
        for block, values in record.ratios.items():
            panel.plot(record.steps, style.log10(values), color=block_colours[block], linewidth=1.5)
    figure.supxlabel("training step", fontsize=10.5)
    figure.supylabel("change in a step: ‖ΔW‖ / ‖W‖", fontsize=10.5)
    guide = sample("one part in a thousand", line=":", width=1.0)
    legend(figure, [*(sample(block, block_colours[block]) for block in blocks), guide], columns, across=4)
    return figure


def group_updates(group: SeedGroup) -> UpdateHistory | None:
    """The update ratios of each block at every logged step, the lower median over seeds; None without a log."""
    logs = [member.updates for member in group.reported if member.updates is not None]
    if not logs:
        return None
    steps = np.array(sorted({int(step) for log in logs for step in log.steps}), np.int64)
    blocks = dict.fromkeys(block for log in logs for block in log.ratios)
    tables = {block: np.full((len(logs), len(steps)), np.nan) for block in blocks}
    for row, log in enumerate(logs):
        for block, values in log.ratios.items():
            tables[block][row, np.searchsorted(steps, log.steps)] = values
    return UpdateHistory(steps, {block: lower_median(table) for block, table in tables.items()})


def swaps(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Change of the logit by the lag of an exchanged word, measured and predicted; None where nothing was exchanged."""
    records = [(group, record) for group in groups if (record := group_swaps(group)) is not None]
    if not records:
        return None
    nouns = nouns_of(groups)
    colours = style.colours([group.label for group in groups])
    figure, axes = style.panels(len(records), columns, height=2.5)
    sizes = [
        [style.log10(np.abs(values)) for values in (exchanged.measured, exchanged.predicted)]
        for _, (_, exchanged) in records
    ]
    low, high = style.decades([values for pair in sizes for values in pair])
    for panel, (group, (when, exchanged)), (measured, predicted) in zip(axes, records, sizes, strict=True):
        heading(panel, f"{group.label}{', before training' if when == 'start' else ''}", colours[group.label])
        style.decade_axis(panel, low, high)
        panel.plot(exchanged.lag, predicted, "D", color=style.FAINT, markersize=4.5, fillstyle="none")
        colour = colours[group.label]
        panel.plot(exchanged.lag, measured, "o", color=colour, markersize=4.5, alpha=0.75, markeredgewidth=0)
        lag_axis(panel)
    figure.supxlabel(f"{nouns.steps} back to the {nouns.step} that is exchanged", fontsize=10.5)
    figure.supylabel("change of the logit", fontsize=10.5)
    dots = Line2D([], [], color=style.INK, marker="o", linestyle="", label="measured (in the cell's colour)")
    hollow = Line2D(
        [], [], color=style.FAINT, marker="D", fillstyle="none", linestyle="", label="predicted by the gradient"
    )
    legend(figure, [dots, hollow], columns)
    return figure


def group_swaps(group: SeedGroup) -> tuple[Stage, WordSwaps] | None:
    """The exchanges of all reported members after training, or at the start while there are none later."""
    for when in reversed(STAGES):
        by_member = [member.diagnoses[when].swaps for member in group.reported if when in member.diagnoses]
        records = [record for record in by_member if record is not None and len(record.lag)]
        if records:
            lag, measured, predicted = (
                np.concatenate([getattr(record, name) for record in records])
                for name in ("lag", "measured", "predicted")
            )
            return when, WordSwaps(what=records[0].what, lag=lag, measured=measured, predicted=predicted)
    return None
