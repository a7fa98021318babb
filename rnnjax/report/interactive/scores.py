"""What was learnt, for the screen: accuracy against distance and the learning curves, with hover and a legend."""

from typing import NamedTuple

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, Label, NumeralTickFormatter, Range1d, Renderer, Span, UIElement
from bokeh.plotting import figure

from rnnjax.report.figures import style
from rnnjax.report.figures.scores import Steps, by_step, chance_losses, highest_loss, logarithmic
from rnnjax.report.interactive import style as interactive_style
from rnnjax.report.summary.seed_groups import SeedGroup, accuracy_by_distance, mean
from rnnjax.report.summary.task import baselines, by_loss, chance, nouns_of
from rnnjax.typing import Floats


class Pen(NamedTuple):
    """How the lines of one label are drawn."""

    label: str
    colour: str
    dash: str


def accuracy_against_distance(labels: tuple[SeedGroup, ...]) -> tuple[UIElement, ...]:
    """Test accuracy by the steps between clue and answer; nothing where it was not measured."""
    measured = [(group, found) for group in labels if (found := accuracy_by_distance(group)) is not None]
    if not measured:
        return ()
    nouns = nouns_of(labels)
    back = f"{nouns.steps} back"
    drawn = interactive_style.plot(f"{back} to the {nouns.clue}", "right answers (test)", 290)
    drawn.xaxis.ticker = FixedTicker(ticks=_spread(np.unique(np.concatenate([at for _, (at, _) in measured]))))
    pen = _pens(labels)
    lines = [_lines(drawn, pen[group.label], at, right, (back, "{0.0%}")) for group, (at, right) in measured]
    _accuracy_axis(drawn, min(np.nanmin(right, initial=1.0) for _, (_, right) in measured), chance(labels))
    interactive_style.legend(drawn, [(group.label, some) for (group, _), some in zip(measured, lines, strict=True)])
    return (drawn,)


def _spread(places: Floats) -> list[float]:
    """At most nine of the places, so that their numbers do not run into each other."""
    return [float(place) for place in places[:: -(-len(places) // 9)]]


def learning_curves(labels: tuple[SeedGroup, ...]) -> tuple[UIElement, ...]:
    """Validation accuracy and loss against the training step, side by side; a click on a name hides it in both.

    The loss alone, beside the baseline, where it is the main score.
    """
    validated = [(group, by_step(group)) for group in labels if any(len(m.validation.steps) for m in group.members)]
    if not validated:
        return ()
    if by_loss(labels):
        return (_losses(validated, labels),)
    pen = _pens(labels)
    right = interactive_style.plot("training step", "right answers (validation)", 270)
    loss = interactive_style.plot("training step", "loss (validation)", 270)
    names, twins = [], []
    for group, (steps, accuracies, losses) in validated:
        label = group.label
        names.append((label, _lines(right, pen[label], steps, accuracies, ("training step", "{0.0%}"))))
        twins.append((label, _lines(loss, pen[label], steps, losses, ("training step", "{0.000}"))))
    for (_, lines), (_, others) in zip(names, twins, strict=True):
        for line, other in zip(lines, others, strict=True):
            line.js_link("visible", other, "visible")
            other.js_link("visible", line, "visible")
    _accuracy_axis(
        right, min(np.nanmin(accuracies, initial=1.0) for _, (_, accuracies, _) in validated), chance(labels)
    )
    loss.y_range = Range1d(0, highest_loss(labels, [losses for _, (_, _, losses) in validated]))
    for level in chance_losses(labels):
        _level(loss, level, "dotted")
    for drawn, some in ((right, names), (loss, twins)):
        drawn.xaxis.formatter = NumeralTickFormatter(format="0,0")
        interactive_style.legend(drawn, some)
    return right, loss


def _losses(validated: list[tuple[SeedGroup, Steps]], labels: tuple[SeedGroup, ...]) -> figure:
    pen, known = _pens(labels), baselines(labels)
    log = logarithmic([losses for _, (_, _, losses) in validated], known)
    scale = {"y_axis_type": "log"} if log else {}
    drawn = interactive_style.plot("training step", "loss (validation)", 290, **scale)
    told = ("training step", "{0.000e+0}")
    names = [(group.label, _lines(drawn, pen[group.label], at, losses, told)) for group, (at, _, losses) in validated]
    for text, level in known.items():
        _level(drawn, level, "dashed")
        said = Label(
            x=8, x_units="screen", y=level, text=f"remembers nothing: {text}", text_color=interactive_style.MIDDLE,
            text_font_size="11px", y_offset=2,
        )  # fmt: skip
        drawn.add_layout(said)
    every = [np.ravel(losses) for _, (_, _, losses) in validated] + [np.array(list(known.values()))]
    finite = np.concatenate(every)[np.isfinite(np.concatenate(every))]
    if finite.size:
        drawn.y_range = Range1d(finite.min() / 1.2, finite.max() * 1.4) if log else Range1d(0, 1.1 * finite.max())
    drawn.xaxis.formatter = NumeralTickFormatter(format="0,0")
    interactive_style.legend(drawn, names)
    return drawn


def _pens(labels: tuple[SeedGroup, ...]) -> dict[str, Pen]:
    names = [group.label for group in labels]
    colour, dash = style.colours(names), interactive_style.dashes(names)
    return {name: Pen(name, colour[name], dash[name]) for name in names}


def _lines(drawn: figure, pen: Pen, x: Floats, values: Floats, told: tuple[str, str]) -> list[Renderer]:
    """A thin line for each seed; a thick one with dots for their mean where every seed has a value, with hover."""
    lines: list[Renderer] = []
    for seed in values if len(values) > 1 else ():
        known = ~np.isnan(seed)
        source = ColumnDataSource({"x": x[known], "y": seed[known]})
        lines.append(drawn.line("x", "y", source=source, color=pen.colour, line_alpha=0.4))
    every = ~np.isnan(values).any(axis=0)
    whole = values[:, every]
    source = ColumnDataSource({"x": x[every], "y": mean(whole), "low": whole.min(axis=0), "high": whole.max(axis=0)})
    lines.append(drawn.scatter("x", "y", source=source, color=pen.colour, size=6))
    thick = {"color": pen.colour, "line_dash": pen.dash, "line_width": 2.4}
    lines.append(drawn.line("x", "y", source=source, name=pen.label, **thick))
    unit, form = told
    spread = [("lowest to highest seed", f"@low{form} to @high{form}")] if len(values) > 1 else []
    of = "mean of seeds" if spread else "value"
    interactive_style.hover(drawn, [("", "$name"), (unit, "@x{0,0}"), (of, f"@y{form}"), *spread], lines[-1:])
    return lines


def _accuracy_axis(drawn: figure, lowest: float, guessing: float | None) -> None:
    drawn.y_range = Range1d(min(0.4, lowest - 0.02), 1.02)
    drawn.yaxis.formatter = NumeralTickFormatter(format="0%")
    if guessing is not None:
        _level(drawn, guessing, "dotted")


def _level(drawn: figure, level: float, dash: str) -> None:
    drawn.add_layout(Span(location=level, dimension="width", line_dash=dash, line_color=interactive_style.MIDDLE))
