"""One diagnosis of any network: a table, figures, and a page; "step" where a report of reviews says "word"."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.table import Table

from rnnjax.analysis.diagnosis import Diagnosis, LayerDiagnosis
from rnnjax.diagnostics.alarms.evidence import Alarm
from rnnjax.diagnostics.gradients import half_life, reach
from rnnjax.formatting import number, short_percent
from rnnjax.report import document
from rnnjax.report.figures import style
from rnnjax.report.figures.panels import gate_colours, lag_axis, percent_axis, sample
from rnnjax.report.sections.rendering import Section, png_uri
from rnnjax.report.summary.diagnosis import by_lag, has_belt
from rnnjax.runs.json_io import write_bytes
from rnnjax.typing import Floats

COLUMNS = {
    "layer": "", "half-life": "steps", "reach": "steps", "belt share": "%", "keeps": "%", "horizon": "steps",
    "largest λ": "per step", "Ω": "",
}  # fmt: skip

Figures = dict[str, Figure]


@dataclass(frozen=True)
class _Drawing:
    title: str
    reading: str
    panel: Callable[[Axes, LayerDiagnosis], None]
    x: str
    y: str
    decades: bool = False


def rows(diagnosis: Diagnosis) -> list[list[str]]:
    """One row of the summary a layer, in the order of ``COLUMNS``."""
    found = []
    for layer in diagnosis.layers:
        curve = by_lag(layer, "m")
        belt = short_percent(layer.belt_share) if has_belt(layer) else "none"
        exponents = layer.lyapunov.exponents if layer.lyapunov is not None else np.array([np.nan])
        numbers = (number(half_life(curve)), number(reach(curve)), belt, short_percent(_mean(by_lag(layer, "keep"))))
        found.append([title(layer), *numbers, number(layer.horizon), f"{exponents[0]:.3f}", f"{layer.omega:.3g}"])
    return found


def title(layer: LayerDiagnosis) -> str:
    """A layer's cell and name: "LSTM encoder/rnn (backwards)"."""
    return f"{layer.cell} {layer.name}{' (backwards)' if layer.reverse else ''}"


def rich_summary(diagnosis: Diagnosis, alarms: tuple[Alarm, ...]) -> Table:
    """The summary as a table for a terminal or a notebook, the alarms below it."""
    lines = [f"[bold red]{alarm.name}[/]: {alarm.sentence} {alarm.remedy}" for alarm in alarms]
    table = Table(title=f"{diagnosis.examples} examples, mean loss {diagnosis.loss:.4g}", title_justify="left")
    table.caption = "\n".join(lines) or "No alarm."
    table.caption_justify = "left"
    for name, unit in COLUMNS.items():
        table.add_column(f"{name}\n[dim]{unit}[/]", justify="left" if name == "layer" else "right")
    for row in rows(diagnosis):
        table.add_row(*row)
    return table


def figures(diagnosis: Diagnosis) -> Figures:
    """The figures by name, a panel for each layer: "paths", "shares", "gates", "flow"."""
    return {name: _figure(drawing, diagnosis, style.WIDE) for name, drawing in DRAWINGS.items()}


def write_page(path: Path, diagnosis: Diagnosis, alarms: tuple[Alarm, ...]) -> Path:
    """All of it as one HTML file that needs no other; an existing file is replaced whole."""
    head = "".join(f"<th>{escape(name)}<small>{escape(unit)}</small></th>" for name, unit in COLUMNS.items())
    body = "".join(
        f"<tr><th>{'</th><td>'.join([escape(row[0]), '</td><td>'.join(row[1:])])}</td></tr>" for row in rows(diagnosis)
    )
    summary = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    raised = [f"{alarm.name}: {alarm.sentence} {alarm.remedy}" for alarm in alarms]
    count = len(diagnosis.layers)
    page = document.document(
        kind="diagnosis",
        title="rnnjax: diagnosis",
        headline=f"How the gradient travels through {count} recurrent layer{'' if count == 1 else 's'}, "
        f"measured on {diagnosis.examples} examples",
        top=document.notes("Alarms", raised) + summary,
        sections=[_section(name, drawing, diagnosis) for name, drawing in DRAWINGS.items()],
        end="",
        scripts="",
    )
    write_bytes(path, page.encode())
    return path


def _section(name: str, drawing: _Drawing, diagnosis: Diagnosis) -> Section:
    wide, narrow = (png_uri(style.png(_figure(drawing, diagnosis, columns))) for columns in (style.WIDE, style.NARROW))
    picture = f'<picture><source media="(max-width: 700px)" srcset="{narrow}"><img src="{wide}" alt=""></picture>'
    html = (
        f'<section id="{name}"><h2>{escape(drawing.title)}</h2><p class="reading">{escape(drawing.reading)}</p>'
        f"<figure>{picture}</figure></section>"
    )
    return Section(name, drawing.title, html)


def _figure(drawing: _Drawing, diagnosis: Diagnosis, columns: int) -> Figure:
    figure, axes = style.panels(len(diagnosis.layers), columns, height=2.7)
    for panel, layer in zip(axes, diagnosis.layers, strict=True):
        panel.set_title(style.literal(title(layer)), loc="left", fontsize=11, fontweight="bold", color=style.INK)
        drawing.panel(panel, layer)
    lines = {line.get_label(): line for panel in axes for line in panel.get_lines()}
    handles = [sample(str(name), str(line.get_color()), line.get_linestyle()) for name, line in lines.items()]  # type: ignore[arg-type]
    shown: list[Line2D] = [handle for handle in handles if not str(handle.get_label()).startswith("_")]
    if drawing.decades:
        values = [np.asarray(line.get_ydata(), np.float64) for panel in axes for line in panel.get_lines()]
        low, high = style.decades(values)
        for panel in axes:
            style.decade_axis(panel, low, high)
    figure.legend(
        handles=shown, loc="outside upper left", ncols=4 if columns == style.WIDE else 2, frameon=False, fontsize=9
    )
    figure.supxlabel(drawing.x, fontsize=10.5)
    figure.supylabel(drawing.y, fontsize=10.5)
    return figure


def _paths(panel: Axes, layer: LayerDiagnosis) -> None:
    for quantity, name, line in (("m", "the whole gradient", ":"), ("belt", "belt", "-"), ("detour", "detour", "--")):
        if quantity != "belt" or has_belt(layer):
            panel.plot(style.log10(by_lag(layer, quantity)), line, color=style.INK, label=name)
    lag_axis(panel)


def _shares(panel: Axes, layer: LayerDiagnosis) -> None:
    parts = {gate: by_lag(layer, f"enters {gate}") for gate in layer.gates}
    total = np.sum(list(parts.values()), axis=0)
    if has_belt(layer):
        panel.plot(by_lag(layer, "belt_share"), color=style.INK, label="belt, of all")
    for gate, colour in gate_colours(layer.gates).items():
        share = np.divide(parts[gate], total, out=np.full_like(total, np.nan), where=total > 0)
        panel.plot(share, "--", color=colour, label=f"through {gate}, of the detour")
    percent_axis(panel)
    lag_axis(panel)


def _gates(panel: Axes, layer: LayerDiagnosis) -> None:
    for gate, colour in gate_colours(layer.gates).items():
        if f"gate {gate}" in layer.by_lag:
            panel.plot(by_lag(layer, f"gate {gate}"), color=colour, label=gate)
    panel.plot(by_lag(layer, "keep"), ":", color=style.INK, label="∂m_t/∂m_{t-1}")
    lag_axis(panel)


def _flow(panel: Axes, layer: LayerDiagnosis) -> None:
    if layer.lyapunov is not None:
        panel.plot(
            np.linspace(0, 1, len(layer.lyapunov.exponents)), layer.lyapunov.exponents, color=style.INK, label="λ"
        )
    panel.axhline(0, color=style.FAINT, linewidth=1, linestyle=":", label="_zero")


def _mean(values: Floats) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


BACK = "steps back from the last one"
DRAWINGS = {
    "paths": _Drawing(
        "Belt and detour",
        "The gradient of each example's own loss with respect to what the layer remembers, and its two parts: down the "
        "conveyor belt alone, and through the recurrent weights at least once. The median over examples.",
        _paths, BACK, "norm of the gradient", decades=True,
    ),
    "shares": _Drawing(
        "Which way it came",
        "The belt's share of the gradient that has travelled, and through which gate the rest entered.",
        _shares, BACK, "share",
    ),
    "gates": _Drawing(
        "The gates", "Mean value of each gate over units, and the share of the memory that a step keeps.",
        _gates, BACK, "mean over units",
    ),
    "flow": _Drawing(
        "Lyapunov spectrum",
        "Rates per step at which small changes of the state grow (above 0) or fade (below 0) along the longest "
        "example, from the largest to the smallest.",
        _flow, "share of the directions", "exponent per step",
    ),
}  # fmt: skip
