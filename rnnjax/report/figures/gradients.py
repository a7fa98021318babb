"""Pictures of the gradient on its way back through time: by lag, and by lag over the course of training."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rnnjax.formatting import Nouns
from rnnjax.report.figures import style
from rnnjax.report.summary.seed_groups import Band, SeedGroup, band, fades, history, memory, middle, open_from
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

DASHES: dict[str, Literal["-", "--"]] = {"h": "-", "c": "--"}


def titles(labels: tuple[SeedGroup, ...]) -> list[tuple[SeedGroup, int, str]]:
    """One panel for each label and layer that has a gradient log."""
    return [
        (group, layer, group.label if len(group.layers) == 1 else f"{group.label}, layer {layer + 1}")
        for group in labels
        for layer in group.layers
    ]


def gradient_by_lag(labels: tuple[SeedGroup, ...], columns: int = style.WIDE) -> Figure | None:
    """Gradient norm against lag at the start and the end of training, a panel for each cell; None without a log.

    Line: median over examples; band: between the 10% and 90% quantiles; of several seeds the median at each lag.
    """
    shown = titles(labels)
    if not shown:
        return None
    colour, nouns = style.colours([group.label for group in labels]), nouns_of(labels)
    figure, axes = style.panels(len(shown), columns, height=2.7)
    bands = [_bands(group, layer) for group, layer, _ in shown]
    drawn = [style.log10(level) for some in bands for _, _, b in some for level in (b.q10, b.q50, b.q90)]
    low, high = style.decades(drawn)
    for panel, (group, layer, title), some in zip(axes, shown, bands, strict=True):
        panel.set_title(style.literal(title), loc="left", fontsize=11, fontweight="bold", color=colour[group.label])
        style.decade_axis(panel, low, high)
        for state, when, of in some:
            tint = style.FAINT if when == "start" else colour[group.label]
            lag = np.arange(len(of.q50))
            panel.fill_between(lag, style.log10(of.q10), style.log10(of.q90), color=tint, alpha=0.2, linewidth=0)
            panel.plot(lag, style.log10(of.q50), color=tint, linewidth=1.8, linestyle=DASHES[state])
        if layer == 0:
            _mark_reach(panel, group, colour[group.label], nouns)
    figure.supxlabel(nouns.back, fontsize=10.5)
    figure.supylabel(f"how much the loss feels this {nouns.step}:\n‖∂L/∂h‖", fontsize=10.5)
    two_states = any(state == "c" for some in bands for state, _, _ in some)
    columns_of_legend = 3 if columns == style.WIDE else 1
    figure.legend(
        handles=_legend(two_states, all(group.finished for group, _, _ in shown), nouns),
        loc="outside upper left",
        ncols=columns_of_legend,
        frameon=False,
        fontsize=9,
    )
    return figure


def _bands(group: SeedGroup, layer: int) -> list[tuple[str, Stage, Band]]:
    return [
        (state, when, found)
        for when in STAGES
        for at, state in group.keys
        if at == layer and (found := band(group, (layer, state), when)) is not None
    ]


def _mark_reach(panel: Axes, group: SeedGroup, colour: str, nouns: Nouns) -> None:
    """A dot where the norm has fallen to 1% of its start, on what the cell remembers at the end of training."""
    sound = [found for found in fades(group, "end") if not found.trouble]
    memories = [memory(member) for member in group.counted if memory(member) in member.gradients]
    found = band(group, memories[0], "end") if memories else None
    if not sound or found is None:
        return
    reach = int(middle([one.reach for one in sound]))
    height = float(style.log10(found.q50)[reach])
    if reach >= open_from(sound) or not np.isfinite(height):
        return
    panel.plot([reach], [height], "o", color=colour, markeredgecolor="white", markersize=7, zorder=5)
    text = f"below 1% after {nouns.far(reach)}" if reach else f"below 1% one {nouns.step} back"
    panel.annotate(text, (reach, height), (9, 4), textcoords="offset points", fontsize=9, color=style.INK, va="bottom")


def _legend(two_states: bool, finished: bool, nouns: Nouns) -> list[Line2D | Patch]:
    last = "end of training" if finished else "last logged step"
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=style.FAINT, linewidth=1.8, label="start of training"),
        Line2D([], [], color=style.INK, linewidth=1.8, label=f"{last} (in the cell's colour)"),
        Patch(color=style.FAINT, alpha=0.35, linewidth=0, label=f"8 of 10 {nouns.examples} lie in the band"),
    ]
    if two_states:
        handles += [
            Line2D([], [], color=style.INK, linestyle=DASHES["h"], label="h: what the cell shows"),
            Line2D([], [], color=style.INK, linestyle=DASHES["c"], label="c: what the LSTM remembers (‖∂L/∂c‖)"),
        ]
    return handles


def gradient_over_training(labels: tuple[SeedGroup, ...], columns: int = style.WIDE) -> Figure | None:
    """Heat map of the median norm, lag × training step, of what each cell remembers; None without a log.

    Dark is weak: the scale spans what was measured, down to 10^-12. Grey: no number, for too few examples were so
    long or training had diverged.
    """
    shown = titles(labels)
    if not shown:
        return None
    figure, axes = style.panels(len(shown), columns, height=2.5)
    nouns = nouns_of(labels)
    maps = [history(group, remembered(group, layer)) for group, layer, _ in shown]
    low, high = style.decades([style.log10(norms) for _, norms in maps])
    scale = Normalize(low, high)
    for panel, (_, _, title), (steps, norms) in zip(axes, shown, maps, strict=True):
        panel.set_title(style.literal(title), loc="left", fontsize=11, fontweight="bold", color=style.INK)
        panel.set_facecolor(style.UNKNOWN)
        panel.grid(False)
        lags = np.arange(norms.shape[1] + 1) - 0.5
        panel.pcolormesh(lags, edges(steps), style.log10(norms), cmap="magma", norm=scale, rasterized=True)
    first, last = min(steps[0] for steps, _ in maps), max(steps[-1] for steps, _ in maps)
    if first < last:
        axes[0].set_ylim(first, last)
    figure.supxlabel(nouns.back, fontsize=10.5)
    figure.supylabel("training step", fontsize=10.5)
    locator, formatter = style.decade_ticks(low, high)
    where = "right" if columns == style.WIDE else "bottom"
    bar = figure.colorbar(
        ScalarMappable(scale, "magma"), ax=axes, location=where, ticks=locator, format=formatter, aspect=30
    )
    bar.set_label(f"how much the loss feels this {nouns.step}", fontsize=10)
    bar.ax.tick_params(labelsize=9)
    return figure


def remembered(group: SeedGroup, layer: int) -> tuple[int, str]:
    """The (layer, state) pair that carries what this layer remembers in most counted members."""
    keys = [memory(member, layer) for member in group.counted]
    return max(keys, key=lambda key: sum(key in member.gradients for member in group.counted))


def edges(steps: np.ndarray) -> Floats:
    """Borders half way between logged steps (S+1,), so that each record fills the time around it."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    between = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - between[0]], between, [2 * steps[-1] - between[-1]]])
