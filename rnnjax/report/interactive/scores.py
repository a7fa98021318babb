"""Interactive figures of accuracy against distance and of the learning curves, with hover and a legend."""

from typing import NamedTuple

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, Label, NumeralTickFormatter, Range1d, Renderer, Span, UIElement
from bokeh.plotting import figure

from rnnjax.report.figures import style
from rnnjax.report.figures.scores import Steps, chance_losses, curves, highest_loss, logarithmic
from rnnjax.report.interactive.style import TEXT_COLOUR, add_hover, add_legend, dashes, new_plot
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups, accuracy_by_distance, mean
from rnnjax.report.summary.task import baselines, by_loss, chance, curve_split, error_name, nouns_of
from rnnjax.typing import Floats


class Pen(NamedTuple):
    """The style of the lines of one label."""

    label: str
    colour: str
    dash: str


def accuracy_against_distance(groups: SeedGroups) -> tuple[UIElement, ...]:
    """Test accuracy by the steps between clue and answer; empty where it was not measured."""
    measured = [(group, scores) for group in groups if (scores := accuracy_by_distance(group)) is not None]
    if not measured:
        return ()
    nouns = nouns_of(groups)
    back = f"{nouns.steps} back"
    plotted = new_plot(f"{back} to the {nouns.clue}", "right answers (test)", 290)
    plotted.xaxis.ticker = FixedTicker(
        ticks=_spread(np.unique(np.concatenate([distances for _, (distances, _) in measured])))
    )
    pens = _pens(groups)
    entries = [
        (group.label, _lines(plotted, pens[group.label], distances, accuracies, (back, "{0.0%}")))
        for group, (distances, accuracies) in measured
    ]
    _accuracy_axis(plotted, min(np.nanmin(accuracies, initial=1.0) for _, (_, accuracies) in measured), chance(groups))
    add_legend(plotted, entries)
    return (plotted,)


def _spread(positions: Floats) -> list[float]:
    """At most nine of the positions, so that their tick labels do not overlap."""
    return [float(position) for position in positions[:: -(-len(positions) // 9)]]


def learning_curves(groups: SeedGroups) -> tuple[UIElement, ...]:
    """Validation accuracy and loss against the training step, side by side; a click on a name hides it in both.

    The loss alone, beside the baseline, where it is the main score.
    """
    validated = curves(groups)
    if not validated:
        return ()
    if by_loss(groups):
        return (_losses(validated, groups),)
    pens = _pens(groups)
    accuracy_plot = new_plot("training step", "right answers (validation)", 270)
    loss_plot = new_plot("training step", "loss (validation)", 270)
    entries, loss_entries = [], []
    for group, (steps, accuracies, losses) in validated:
        label = group.label
        entries.append((label, _lines(accuracy_plot, pens[label], steps, accuracies, ("training step", "{0.0%}"))))
        loss_entries.append((label, _lines(loss_plot, pens[label], steps, losses, ("training step", "{0.000}"))))
    for (_, lines), (_, loss_lines) in zip(entries, loss_entries, strict=True):
        for line, loss_line in zip(lines, loss_lines, strict=True):
            line.js_link("visible", loss_line, "visible")
            loss_line.js_link("visible", line, "visible")
    _accuracy_axis(
        accuracy_plot, min(np.nanmin(accuracies, initial=1.0) for _, (_, accuracies, _) in validated), chance(groups)
    )
    loss_plot.y_range = Range1d(0, highest_loss(groups, [losses for _, (_, _, losses) in validated]))
    for level in chance_losses(groups):
        _add_level(loss_plot, level, "dotted")
    for plotted, legend_entries in ((accuracy_plot, entries), (loss_plot, loss_entries)):
        plotted.xaxis.formatter = NumeralTickFormatter(format="0,0")
        add_legend(plotted, legend_entries)
    return accuracy_plot, loss_plot


def _losses(validated: list[tuple[SeedGroup, Steps]], groups: SeedGroups) -> figure:
    pens, losses_of_baselines = _pens(groups), baselines(groups)
    log = logarithmic([losses for _, (_, _, losses) in validated], losses_of_baselines)
    scale = {"y_axis_type": "log"} if log else {}
    plotted = new_plot("training step", f"{error_name(groups)} ({curve_split(groups)})", 290, **scale)
    value_format = ("training step", "{0.000e+0}")
    entries = [
        (group.label, _lines(plotted, pens[group.label], xs, losses, value_format))
        for group, (xs, _, losses) in validated
    ]
    for text, level in losses_of_baselines.items():
        _add_level(plotted, level, "dashed")
        label = Label(
            x=8, x_units="screen", y=level, text=f"remembers nothing: {text}", text_color=TEXT_COLOUR,
            text_font_size="11px", y_offset=2,
        )  # fmt: skip
        plotted.add_layout(label)
    levels = np.array(list(losses_of_baselines.values()))
    values = np.concatenate([*(np.ravel(losses) for _, (_, _, losses) in validated), levels])
    finite = values[np.isfinite(values)]
    if finite.size:
        plotted.y_range = Range1d(finite.min() / 1.2, finite.max() * 1.4) if log else Range1d(0, 1.1 * finite.max())
    plotted.xaxis.formatter = NumeralTickFormatter(format="0,0")
    add_legend(plotted, entries)
    return plotted


def _pens(groups: SeedGroups) -> dict[str, Pen]:
    labels = [group.label for group in groups]
    colours, dash = style.colours(labels), dashes(labels)
    return {label: Pen(label, colours[label], dash[label]) for label in labels}


def _lines(plotted: figure, pen: Pen, x: Floats, values: Floats, value_format: tuple[str, str]) -> list[Renderer]:
    """A thin line for each seed, and a thick one with dots and hover for their mean where every seed has a value."""
    lines: list[Renderer] = []
    for seed in values if len(values) > 1 else ():
        known = ~np.isnan(seed)
        source = ColumnDataSource({"x": x[known], "y": seed[known]})
        lines.append(plotted.line("x", "y", source=source, color=pen.colour, line_alpha=0.4))
    complete = ~np.isnan(values).any(axis=0)
    seeds = values[:, complete]
    source = ColumnDataSource({"x": x[complete], "y": mean(seeds), "low": seeds.min(axis=0), "high": seeds.max(axis=0)})
    lines.append(plotted.scatter("x", "y", source=source, color=pen.colour, size=6))
    thick = {"color": pen.colour, "line_dash": pen.dash, "line_width": 2.4}
    lines.append(plotted.line("x", "y", source=source, name=pen.label, **thick))
    unit, number_format = value_format
    spread = [("lowest to highest seed", f"@low{number_format} to @high{number_format}")] if len(values) > 1 else []
    statistic = "mean of seeds" if spread else "value"
    add_hover(plotted, [("", "$name"), (unit, "@x{0,0}"), (statistic, f"@y{number_format}"), *spread], lines[-1:])
    return lines


def _accuracy_axis(plotted: figure, lowest: float, guessing: float | None) -> None:
    plotted.y_range = Range1d(min(0.4, lowest - 0.02), 1.02)
    plotted.yaxis.formatter = NumeralTickFormatter(format="0%")
    if guessing is not None:
        _add_level(plotted, guessing, "dotted")


def _add_level(plotted: figure, level: float, dash: str) -> None:
    plotted.add_layout(Span(location=level, dimension="width", line_dash=dash, line_color=TEXT_COLOUR))
