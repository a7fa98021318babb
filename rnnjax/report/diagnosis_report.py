"""What ``rnnjax.diagnose`` and ``rnnjax.gradient_flow`` measured, as a table, as figures, and as a page."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

from rnnjax.analysis.diagnosis import Diagnosis, LayerDiagnosis
from rnnjax.argument_checks import describe
from rnnjax.diagnostics.alarms.evidence import Alarm
from rnnjax.diagnostics.gradients import half_life, reach
from rnnjax.diagnostics.truncation import truncation_length
from rnnjax.formatting import number, short_percent
from rnnjax.report import document
from rnnjax.report.figures import style
from rnnjax.report.figures.diagnosed_layers import FIGURES, draw, title
from rnnjax.report.sections.alarms import AlarmText, alarm_box
from rnnjax.report.sections.rendering import Section, figure_html, section
from rnnjax.report.summary.diagnosis import by_lag, has_belt
from rnnjax.report.tables.fields import Field
from rnnjax.runs.json_io import write_bytes
from rnnjax.typing import Floats

Figures = dict[str, Figure]
UNKNOWN = "–"


@dataclass(frozen=True, eq=False)
class Summary:
    """A diagnosis as it is shown: columns with their units, a row for each layer, sentences, and names of figures."""

    diagnosis: Diagnosis
    columns: dict[str, str]
    rows: list[list[str]]
    figures: tuple[str, ...]
    alarms: tuple[Alarm, ...] = ()
    notes: tuple[str, ...] = ()


def diagnosis_summary(diagnosis: Diagnosis, alarms: tuple[Alarm, ...], notes: tuple[str, ...] = ()) -> Summary:
    """The summary of ``rnnjax.diagnose``, without the columns and figures for which nothing was measured."""
    columns = {
        "layer": "", "half-life": "steps", "reach": "steps", "belt share": "%", "keeps": "%", "horizon": "steps",
        "largest λ": "per step", "Ω": "",
    }  # fmt: skip
    rows = [_row(layer) for layer in diagnosis.layers]
    kept = [i for i in range(len(columns)) if i < 3 or any(row[i] != UNKNOWN for row in rows)]
    names = tuple(name for name in ("decay", "paths", "shares", "gates", "flow") if FIGURES[name].panels(diagnosis))
    return Summary(
        diagnosis,
        {name: unit for i, (name, unit) in enumerate(columns.items()) if i in kept},
        [[row[i] for i in kept] for row in rows],
        names,
        alarms,
        notes,
    )


def _row(layer: LayerDiagnosis) -> list[str]:
    curve = by_lag(layer, "decay")
    exponent = np.nan if layer.lyapunov is None else layer.lyapunov.exponents[0]
    return [
        title(layer),
        number(half_life(curve)),
        number(reach(curve)),
        short_percent(layer.belt_share) if has_belt(layer) else "none",
        short_percent(_finite_mean(by_lag(layer, "keep"))),
        number(layer.horizon),
        UNKNOWN if np.isnan(exponent) else f"{exponent:.3f}",
        UNKNOWN if np.isnan(layer.omega) else f"{layer.omega:.3g}",
    ]


def flow_summary(
    diagnosis: Diagnosis, bias: float, crossings: dict[str, float], notes: tuple[str, ...] = ()
) -> Summary:
    """The summary of ``rnnjax.gradient_flow``.

    Args:
        diagnosis: its layers have "decay" and "m" by lag.
        bias: that of truncated backpropagation, for the number of steps back that it needs.
        crossings: by layer, the gradient that crosses a reset, as a share of the largest; empty if none was given.
        notes: sentences on what was left out.
    """
    columns = {
        "scan": "", "length": "steps", "half-life": "steps", "reach": "steps",
        f"bias ≤ {100 * bias:g}%": "steps back",
    }  # fmt: skip
    if crossings:
        columns["crosses resets"] = "of the largest"
    rows = []
    for layer in diagnosis.layers:
        curve = by_lag(layer, "decay")
        row = [
            title(layer), number(len(layer.count)), number(half_life(curve)), number(reach(curve)),
            number(truncation_length(curve, bias)),
        ]  # fmt: skip
        if crossings:
            share = crossings.get(layer.name, np.nan)
            row.append("0" if share == 0 else UNKNOWN if np.isnan(share) else f"{share:.2g}")
        rows.append(row)
    return Summary(diagnosis, columns, rows, ("decay", "whole"), notes=notes)


def rich_summary(summary: Summary) -> Table:
    """The summary as a table for a terminal or a notebook, alarms and notes below it."""
    lines = [f"[bold red]{alarm.name}[/]: {escape(f'{alarm.sentence} {alarm.remedy}')}" for alarm in summary.alarms]
    notes = [f"[dim]{escape(note)}[/]" for note in summary.notes]
    judged = "paths" in summary.figures
    diagnosis = summary.diagnosis
    table = Table(title=f"{diagnosis.examples} examples, mean loss {diagnosis.loss:.4g}", title_justify="left")
    table.caption = "\n".join([*(lines or ["No alarm."] * judged), *notes])
    table.caption_justify = "left"
    for i, (name, unit) in enumerate(summary.columns.items()):
        table.add_column(
            f"{name}\n[dim]{unit}[/]", justify="right" if i else "left", overflow="ellipsis" if i else "fold"
        )
    for row in summary.rows:
        table.add_row(*map(escape, row))
    return table


def figures(summary: Summary) -> Figures:
    """The figures by name, a panel for each layer."""
    return {name: draw(FIGURES[name], summary.diagnosis, style.WIDE) for name in summary.figures}


def write_page(path: str | Path, summary: Summary) -> Path:
    """Write table, alarms and figures as one HTML file, which needs no other; an existing file is overwritten.

    Raises:
        ValueError: there cannot be a file of that name, or it cannot be written.
    """
    if not isinstance(path, str | Path) or not str(path).strip():
        raise ValueError(f"path must be the name of the page to write, as 'diagnosis.html', got {describe(path)}")
    path = Path(path)
    try:
        if path.is_dir():
            raise ValueError(f"path must be a file, but '{path}' is a folder; write to '{path / 'diagnosis.html'}'")
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder '{path.parent}' to write '{path.name}' to; make it first")
        write_bytes(path, _page(summary).encode())
    except OSError as error:
        raise ValueError(f"'{path}' cannot be written ({error.strerror}); choose another place") from error
    return path


def _page(summary: Summary) -> str:
    diagnosis = summary.diagnosis
    first, *others = (_section(name, diagnosis) for name in summary.figures)
    return document.document(
        kind="diagnosis",
        title="rnnjax: diagnosis",
        headline=f"How the gradient travels through {_counted(diagnosis)}, measured on {diagnosis.examples} examples",
        top=document.table([Field(name, unit) for name, unit in summary.columns.items()], summary.rows)
        + document.notes("Not measured", summary.notes),
        lead=[first],
        alarms=alarm_box([AlarmText(alarm.name, alarm.sentence, alarm.remedy) for alarm in summary.alarms]),
        sections=others,
    )


def _counted(diagnosis: Diagnosis) -> str:
    """As "2 recurrent layers", or "1 recurrent layer and 2 states of other scans"."""
    layers = sum(bool(layer.gates) for layer in diagnosis.layers)
    states = len(diagnosis.layers) - layers
    counts = [f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in ((layers, "recurrent layer"), (states, "state")) if n]
    return f"{' and '.join(counts)} of other scans" if layers and states else f"{counts[0]}{' of scans' * (not layers)}"


def _section(name: str, diagnosis: Diagnosis) -> Section:
    figure = FIGURES[name]
    wide, narrow = (style.png(draw(figure, diagnosis, columns)) for columns in (style.WIDE, style.NARROW))
    return section(name, figure.title, figure_html(figure.title, wide, narrow), figure.reading)


def _finite_mean(values: Floats) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
