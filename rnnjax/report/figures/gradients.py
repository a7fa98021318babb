"""Figures of the gradient norm by lag, and by lag and training step."""

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
from rnnjax.report.summary.gradient_decay import gradient_decays, smallest_lower_bound
from rnnjax.report.summary.seed_groups import (
    GradientBand,
    SeedGroup,
    SeedGroups,
    gradient_band,
    gradient_history,
    lower_median,
    memory_key,
)
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

Dash = Literal["-", "--", ":", "-."]
DASHES: dict[str, Dash] = {"h": "-", "c": "--"}
OTHER_DASHES: tuple[Dash, ...] = ("-", "--", ":", "-.")  # of the arrays of a carry, in turn


def layer_titles(groups: SeedGroups) -> list[tuple[SeedGroup, int, str]]:
    """Each group and layer that has a gradient log, with the title of its panel."""
    return [(group, layer, _title(group, layer)) for group in groups for layer in group.layers]


def _title(group: SeedGroup, layer: int) -> str:
    if len(group.layers) == 1:
        return group.label
    return f"{group.label}, {group.scan_name(layer) or f'layer {layer + 1}'}"


def gradient_by_lag(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Gradient norm by lag at the start and the end of training, a panel for each cell; None without a log.

    Lines are the median over examples, bands reach from the 10% to the 90% quantile; of several seeds the lower
    median at each lag.
    """
    entries = layer_titles(groups)
    if not entries:
        return None
    colours, nouns = style.colours([group.label for group in groups]), nouns_of(groups)
    figure, axes = style.panels(len(entries), columns, height=2.7)
    bands = [_bands(group, layer) for group, layer, _ in entries]
    dashes = _dashes({state for layer_bands in bands for state, _, _ in layer_bands})
    levels = [
        style.log10(level)
        for layer_bands in bands
        for _, _, band in layer_bands
        for level in (band.q10, band.q50, band.q90)
    ]
    low, high = style.decades(levels)
    for panel, (group, layer, title), layer_bands in zip(axes, entries, bands, strict=True):
        panel.set_title(title, loc="left", fontsize=11, fontweight="bold", color=colours[group.label])
        style.decade_axis(panel, low, high)
        for state, when, norms in layer_bands:
            colour = style.FAINT if when == "start" else colours[group.label]
            lag = np.arange(len(norms.q50))
            low_edge, high_edge = style.log10(norms.q10), style.log10(norms.q90)
            panel.fill_between(lag, low_edge, high_edge, color=colour, alpha=0.2, linewidth=0)
            panel.plot(lag, style.log10(norms.q50), color=colour, linewidth=1.8, linestyle=dashes[state])
        if layer == 0:
            _mark_reach(panel, group, colours[group.label], nouns)
    figure.supxlabel(nouns.back, fontsize=10.5)
    symbol = "∂L/∂h" if dashes.keys() <= DASHES.keys() else "∂L/∂state"
    symbol = "∂L/∂carry" if any(state.startswith("carry") for state in dashes) else symbol
    figure.supylabel(f"gradient norm at this {nouns.step}\n‖{symbol}‖", fontsize=10.5)
    columns_of_legend = 3 if columns == style.WIDE else 1
    figure.legend(
        handles=_legend(dashes, all(group.finished for group, _, _ in entries), nouns),
        loc="outside upper left",
        ncols=columns_of_legend,
        frameon=False,
        fontsize=9,
    )
    return figure


def _bands(group: SeedGroup, layer: int) -> list[tuple[str, Stage, GradientBand]]:
    return [
        (state, when, band)
        for when in STAGES
        for key_layer, state in group.keys
        if key_layer == layer and (band := gradient_band(group, (layer, state), when)) is not None
    ]


def _mark_reach(panel: Axes, group: SeedGroup, colour: str, nouns: Nouns) -> None:
    """A dot where the gradient at the memory, at the end of training, has fallen below 1% of its norm at lag 0."""
    if not group.last_step_only:
        return
    usable = [decay for decay in gradient_decays(group, "end") if not decay.problem]
    memories = [memory_key(member) for member in group.reported if memory_key(member) in member.gradients]
    band = gradient_band(group, memories[0], "end") if memories else None
    if not usable or band is None:
        return
    reach = int(lower_median([decay.reach for decay in usable]))
    height = float(style.log10(band.q50)[reach])
    if reach >= smallest_lower_bound(usable) or not np.isfinite(height):
        return
    panel.plot([reach], [height], "o", color=colour, markeredgecolor="white", markersize=7, zorder=5)
    text = f"below 1% after {nouns.far(reach)}" if reach else f"below 1% one {nouns.step} back"
    panel.annotate(text, (reach, height), (9, 4), textcoords="offset points", fontsize=9, color=style.INK, va="bottom")


def _dashes(states: set[str]) -> dict[str, Dash]:
    """The dash of each state: h and c have their own, arrays of a carry and other states take theirs in turn."""
    dashes: dict[str, Dash] = {}
    for state in sorted(states, key=lambda state: (state not in DASHES, state)):
        index = "".join(filter(str.isdecimal, state)) if state.startswith("carry") else len(dashes)
        dashes[state] = DASHES.get(state, OTHER_DASHES[int(index or 0) % len(OTHER_DASHES)])
    return dashes


def _legend(dashes: dict[str, Dash], finished: bool, nouns: Nouns) -> list[Line2D | Patch]:
    last = "end of training" if finished else "last logged step"
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=style.FAINT, linewidth=1.8, label="start of training"),
        Line2D([], [], color=style.INK, linewidth=1.8, label=f"{last} (in the cell's colour)"),
        Patch(color=style.FAINT, alpha=0.35, linewidth=0, label=f"band: 8 of 10 {nouns.examples}"),
    ]
    meaning = {"h": "h: output of the cell", "c": "c: memory of the cell (‖∂L/∂c‖)"}
    named = [state for state in sorted(dashes, key=lambda state: (state != "h", state)) if state != "carry"]
    if len(named) > 1:
        handles += [
            Line2D([], [], color=style.INK, linestyle=dashes[state], label=meaning.get(state, state)) for state in named
        ]
    return handles


def gradient_over_training(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Heat map, lag × training step, of the median gradient norm at the memory of each cell; None without a log.

    The scale spans the measured values down to 10^-12, dark is weak. Grey: too few examples were so long, or
    training had diverged.
    """
    entries = layer_titles(groups)
    if not entries:
        return None
    figure, axes = style.panels(len(entries), columns, height=2.5)
    nouns = nouns_of(groups)
    maps = [gradient_history(group, group_memory_key(group, layer)) for group, layer, _ in entries]
    low, high = style.decades([style.log10(norms) for _, norms in maps])
    scale = Normalize(low, high)
    for panel, (_, _, title), (steps, norms) in zip(axes, entries, maps, strict=True):
        panel.set_title(title, loc="left", fontsize=11, fontweight="bold", color=style.INK)
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
    bar.set_label(f"gradient norm at this {nouns.step}", fontsize=10)
    bar.ax.tick_params(labelsize=9)
    return figure


def group_memory_key(group: SeedGroup, layer: int) -> tuple[int, str]:
    """The key of this layer's memory in most of the reported members."""
    keys = [memory_key(member, layer) for member in group.reported]
    return max(keys, key=lambda key: sum(key in member.gradients for member in group.reported))


def edges(steps: np.ndarray) -> Floats:
    """Borders half-way between the logged steps (S+1,), the edges of the cells of a heat map."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    between = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - between[0]], between, [2 * steps[-1] - between[-1]]])
