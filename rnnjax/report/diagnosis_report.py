"""The diagnosis of any recurrent network as a table, as figures, and as a page."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.markup import escape
from rich.table import Table

from rnnjax.analysis.diagnosis import Diagnosis, LayerDiagnosis
from rnnjax.diagnostics.alarms.evidence import Alarm
from rnnjax.diagnostics.gradients import half_life, reach
from rnnjax.formatting import number, short_percent
from rnnjax.report import document
from rnnjax.report.figures import style
from rnnjax.report.figures.panels import gate_colours, heading, lag_axis, percent_axis, sample
from rnnjax.report.sections.alarms import AlarmText, alarm_box
from rnnjax.report.sections.rendering import Section, figure_html, section
from rnnjax.report.summary.diagnosis import by_lag, has_belt
from rnnjax.report.tables.fields import Field
from rnnjax.runs.json_io import write_bytes
from rnnjax.typing import Floats

COLUMNS = {
    "layer": "", "half-life": "steps", "reach": "steps", "belt share": "%", "keeps": "%", "horizon": "steps",
    "largest λ": "per step", "Ω": "",
}  # fmt: skip

Figures = dict[str, Figure]


@dataclass(frozen=True)
class _FigureSpec:
    """One figure with a panel for each layer: how it is titled, read and drawn; ``decades``: a log10 axis."""

    title: str
    reading: str
    draw: Callable[[Axes, LayerDiagnosis], None]
    x_label: str
    y_label: str
    decades: bool = False


def rows(diagnosis: Diagnosis) -> list[list[str]]:
    """The summary: a row for each layer, in the order of ``COLUMNS``."""
    return [_row(layer) for layer in diagnosis.layers]


def _row(layer: LayerDiagnosis) -> list[str]:
    curve = by_lag(layer, "decay")
    return [
        title(layer),
        number(half_life(curve)),
        number(reach(curve)),
        short_percent(layer.belt_share) if has_belt(layer) else "none",
        short_percent(_finite_mean(by_lag(layer, "keep"))),
        number(layer.horizon),
        f"{layer.lyapunov.exponents[0] if layer.lyapunov is not None else np.nan:.3f}",
        f"{layer.omega:.3g}",
    ]


def title(layer: LayerDiagnosis) -> str:
    """A layer's cell and name: "LSTM encoder/rnn (backwards)"."""
    return f"{layer.cell} {layer.name}{' (backwards)' if layer.reverse else ''}"


def rich_summary(diagnosis: Diagnosis, alarms: tuple[Alarm, ...]) -> Table:
    """The summary as a table for a terminal or a notebook, the alarms below it."""
    lines = [f"[bold red]{alarm.name}[/]: {escape(f'{alarm.sentence} {alarm.remedy}')}" for alarm in alarms]
    table = Table(title=f"{diagnosis.examples} examples, mean loss {diagnosis.loss:.4g}", title_justify="left")
    table.caption = "\n".join(lines) or "No alarm."
    table.caption_justify = "left"
    for name, unit in COLUMNS.items():
        heading_text, of_layer = f"{name}\n[dim]{unit}[/]", name == "layer"
        table.add_column(
            heading_text, justify="left" if of_layer else "right", overflow="fold" if of_layer else "ellipsis"
        )
    for row in rows(diagnosis):
        table.add_row(*map(escape, row))
    return table


def figures(diagnosis: Diagnosis) -> Figures:
    """The figures by name, a panel for each layer: "decay", "paths", "shares", "gates", "flow"."""
    return {name: _figure(spec, diagnosis, style.WIDE) for name, spec in FIGURES.items()}


def write_page(path: Path, diagnosis: Diagnosis, alarms: tuple[Alarm, ...]) -> Path:
    """Write table, alarms and figures as one HTML file, which needs no other; an existing file is overwritten."""
    count = len(diagnosis.layers)
    first, *others = (_section(name, spec, diagnosis) for name, spec in FIGURES.items())
    page = document.document(
        kind="diagnosis",
        title="rnnjax: diagnosis",
        headline=f"How the gradient travels through {count} recurrent layer{'' if count == 1 else 's'}, "
        f"measured on {diagnosis.examples} examples",
        top=document.table([Field(name, unit) for name, unit in COLUMNS.items()], rows(diagnosis)),
        lead=[first],
        alarms=alarm_box([AlarmText(alarm.name, alarm.sentence, alarm.remedy) for alarm in alarms]),
        sections=others,
    )
    write_bytes(path, page.encode())
    return path


def _section(name: str, spec: _FigureSpec, diagnosis: Diagnosis) -> Section:
    wide, narrow = (style.png(_figure(spec, diagnosis, columns)) for columns in (style.WIDE, style.NARROW))
    return section(name, spec.title, figure_html(spec.title, wide, narrow), spec.reading)


def _figure(spec: _FigureSpec, diagnosis: Diagnosis, columns: int) -> Figure:
    figure, axes = style.panels(len(diagnosis.layers), columns, height=2.7)
    for panel, layer in zip(axes, diagnosis.layers, strict=True):
        heading(panel, title(layer))
        spec.draw(panel, layer)
    if spec.decades:
        low, high = style.decades([np.asarray(line.get_ydata(), np.float64) for ax in axes for line in ax.get_lines()])
        for panel in axes:
            style.decade_axis(panel, low, high)
    figure.legend(
        handles=_legend_handles(axes),
        loc="outside upper left",
        ncols=4 if columns == style.WIDE else 2,
        frameon=False,
        fontsize=9,
    )
    figure.supxlabel(spec.x_label, fontsize=10.5)
    figure.supylabel(spec.y_label, fontsize=10.5)
    return figure


def _legend_handles(axes: list[Axes]) -> list[Line2D]:
    """A sample of each labelled line; labels that begin with an underscore are left out."""
    lines = {str(line.get_label()): line for panel in axes for line in panel.get_lines()}
    return [
        sample(label, str(line.get_color()), line.get_linestyle())  # type: ignore[arg-type]
        for label, line in lines.items()
        if not label.startswith("_")
    ]


def _draw_paths(panel: Axes, layer: LayerDiagnosis) -> None:
    for quantity, label, line in (("m", "the whole gradient", ":"), ("belt", "belt", "-"), ("detour", "detour", "--")):
        if quantity != "belt" or has_belt(layer):
            panel.plot(style.log10(by_lag(layer, quantity)), line, color=style.INK, label=label)
    lag_axis(panel)


def _draw_decay(panel: Axes, layer: LayerDiagnosis) -> None:
    panel.plot(style.log10(by_lag(layer, "decay")), color=style.INK, label="the gradient of one step's loss")
    lag_axis(panel)


def _draw_shares(panel: Axes, layer: LayerDiagnosis) -> None:
    parts = {gate: by_lag(layer, f"enters {gate}") for gate in layer.gates}
    total = np.sum(list(parts.values()), axis=0)
    if has_belt(layer):
        panel.plot(by_lag(layer, "belt_share"), color=style.INK, label="belt, of all")
    for gate, colour in gate_colours(layer.gates).items():
        share = np.divide(parts[gate], total, out=np.full_like(total, np.nan), where=total > 0)
        panel.plot(share, "--", color=colour, label=f"through {gate}, of the detour")
    percent_axis(panel)
    lag_axis(panel)


def _draw_gates(panel: Axes, layer: LayerDiagnosis) -> None:
    for gate, colour in gate_colours(layer.gates).items():
        if f"gate {gate}" in layer.by_lag:
            panel.plot(by_lag(layer, f"gate {gate}"), color=colour, label=gate)
    panel.plot(by_lag(layer, "keep"), ":", color=style.INK, label="∂m_t/∂m_{t-1}")
    lag_axis(panel)


def _draw_spectrum(panel: Axes, layer: LayerDiagnosis) -> None:
    if layer.lyapunov is not None:
        exponents = layer.lyapunov.exponents
        panel.plot(np.linspace(0, 1, len(exponents)), exponents, color=style.INK, label="λ")
    panel.axhline(0, color=style.FAINT, linewidth=1, linestyle=":", label="_zero")


def _finite_mean(values: Floats) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


LAG_LABEL = "steps back from the last one"
FIGURES = {
    "decay": _FigureSpec(
        "Decay of one step's loss",
        "The gradient of what the loss reads at one step with respect to the memory so many steps earlier, relative to "
        "that at the step itself; the median over examples and steps. It decays over the lag also where the whole "
        "gradient does not, because it adds up over the losses of many steps.",
        _draw_decay, "steps back from the one whose loss it is", "gradient, relative", decades=True,
    ),
    "paths": _FigureSpec(
        "Belt and detour",
        "The gradient of each example's loss with respect to the memory of the layer, and its two parts: along the "
        "conveyor belt alone, and through the recurrent weights at least once. The median over examples.",
        _draw_paths, LAG_LABEL, "norm of the gradient", decades=True,
    ),
    "shares": _FigureSpec(
        "Shares of the paths",
        "The belt's share of the gradient that comes from later steps, and the share of each gate through which the "
        "detour enters.",
        _draw_shares, LAG_LABEL, "share",
    ),
    "gates": _FigureSpec(
        "The gates", "Mean value of each gate over units, and the share of the memory that a step keeps.",
        _draw_gates, LAG_LABEL, "mean over units",
    ),
    "flow": _FigureSpec(
        "Lyapunov spectrum",
        "Rates per step at which small changes of the state grow (above 0) or fade (below 0) along the longest "
        "example, from the largest to the smallest.",
        _draw_spectrum, "share of the directions", "exponent per step",
    ),
}  # fmt: skip
