"""Figures of one diagnosis, a panel for each layer: ``rnnjax.diagnose`` and ``rnnjax.gradient_flow``."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rnnjax.analysis.diagnosis import QUANTILE_NAMES, Diagnosis, LayerDiagnosis
from rnnjax.report.figures import style
from rnnjax.report.figures.panels import gate_colours, heading, lag_axis, percent_axis, sample
from rnnjax.report.summary.diagnosis import by_lag, has_belt


@dataclass(frozen=True)
class LayerFigure:
    """One figure with a panel for each layer that has something to show in it.

    Attributes:
        title: of the figure.
        reading: how it is read.
        draw: into a panel, what was measured of a layer.
        x_label: of all panels.
        y_label: of all panels.
        decades: whether the vertical axis is log10.
        shows: whether a layer has something to show.
        of_scan: whether it shows what was measured of a scan, which is the same for all states of its carry.
    """

    title: str
    reading: str
    draw: Callable[[Axes, LayerDiagnosis], None]
    x_label: str
    y_label: str
    decades: bool = False
    shows: Callable[[LayerDiagnosis], bool] = lambda layer: True
    of_scan: bool = False

    def panels(self, diagnosis: Diagnosis) -> dict[str, LayerDiagnosis]:
        """The layers that are shown, by their titles."""
        shown: dict[str, LayerDiagnosis] = {}
        for layer in filter(self.shows, diagnosis.layers):
            state = self.of_scan and not layer.gates
            name = title(layer).split(" carry[")[0] if state else title(layer)
            if name not in shown or not state:  # a layer that is called twice has two panels
                shown[name if name not in shown else f"{name} #{len(shown) + 1}"] = layer
        return shown


def title(layer: LayerDiagnosis) -> str:
    """A layer's cell and name: "LSTM encoder/rnn (backwards)"; the name alone of a scan that is no layer of rnnjax."""
    cell = f"{layer.cell} " if layer.gates else ""
    return f"{cell}{layer.name}{' (backwards)' if layer.reverse else ''}"


def draw(spec: LayerFigure, diagnosis: Diagnosis, columns: int) -> Figure:
    """A figure with a panel for each layer, in so many columns."""
    shown = spec.panels(diagnosis)
    figure, axes = style.panels(len(shown), columns, height=2.7)
    for panel, (name, layer) in zip(axes, shown.items(), strict=True):
        heading(panel, name)
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


def _draw_whole(panel: Axes, layer: LayerDiagnosis) -> None:
    low, median, high = (style.log10(by_lag(layer, "m", level)) for level in QUANTILE_NAMES)
    panel.fill_between(np.arange(len(median)), low, high, color=style.INK, alpha=0.2, linewidth=0)
    for bound in (low, high):  # not drawn; the axis has room for them as for lines
        panel.plot(bound, linewidth=0, label="_bound")
    panel.plot(median, color=style.INK, label="the whole gradient")
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
    panel.plot(by_lag(layer, "keep"), ":", color=style.INK, label="kept of the memory")
    lag_axis(panel)


def _draw_spectrum(panel: Axes, layer: LayerDiagnosis) -> None:
    if layer.lyapunov is not None:
        exponents = layer.lyapunov.exponents
        panel.plot(np.linspace(0, 1, len(exponents)), exponents, color=style.INK, label="λ")
    panel.axhline(0, color=style.FAINT, linewidth=1, linestyle=":", label="_zero")


LAG_LABEL = "steps back from the last one"
FIGURES = {
    "decay": LayerFigure(
        "Decay of one step's loss",
        "The gradient of what the loss reads at one step with respect to the memory so many steps earlier, relative to "
        "that at the step itself; the median over examples and steps. It decays over the lag also where the whole "
        "gradient does not, because it adds up over the losses of many steps.",
        _draw_decay, "steps back from the one whose loss it is", "gradient, relative", decades=True,
    ),
    "paths": LayerFigure(
        "Belt and detour",
        "The gradient of each example's loss with respect to the memory of the layer, and its two parts: along the "
        "conveyor belt alone, and through the recurrent weights at least once. The median over examples.",
        _draw_paths, LAG_LABEL, "norm of the gradient", decades=True,
    ),
    "whole": LayerFigure(
        "The whole gradient",
        "The norm of the gradient of each example's loss with respect to the state, through all later steps; the "
        "median over examples, and the band from the 10% to the 90% quantile.",
        _draw_whole, LAG_LABEL, "norm of the gradient", decades=True,
    ),
    "shares": LayerFigure(
        "Shares of the paths",
        "The belt's share of the gradient that comes from later steps; of cells whose gates are known, also the share "
        "of each gate through which the detour enters.",
        _draw_shares, LAG_LABEL, "share", shows=lambda layer: has_belt(layer) or bool(layer.gates),
    ),
    "gates": LayerFigure(
        "The gates", "Mean value of each gate over units, and the share of the memory that a step keeps.",
        _draw_gates, LAG_LABEL, "mean over units", shows=lambda layer: bool(layer.gates),
    ),
    "flow": LayerFigure(
        "Lyapunov spectrum",
        "Rates per step at which small changes of the state grow (above 0) or fade (below 0) along the longest "
        "example, from the largest to the smallest.",
        _draw_spectrum, "share of the directions", "exponent per step",
        shows=lambda layer: layer.lyapunov is not None, of_scan=True,
    ),
}  # fmt: skip
