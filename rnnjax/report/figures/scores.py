"""Figures of accuracy against distance, and of the learning curves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rnnjax.report.figures import style
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups, accuracy_by_distance, mean
from rnnjax.report.summary.task import (
    baselines,
    by_loss,
    chance,
    chance_loss,
    curve_scores,
    curve_split,
    error_name,
    nouns_of,
)
from rnnjax.runs.run_record import RunRecord, ScoreHistory
from rnnjax.typing import Floats

MARKERS = "osD^vPX*"
MOST_MARKERS = 60  # of a line, roughly
Steps = tuple[Floats, Floats, Floats]
MAX_OF_GUESSING = 3.0  # times the loss of guessing: higher losses are cut off, so that the others stay readable
TENFOLD = 10.0  # ratio of the largest to the smallest loss from which the axis is logarithmic


def accuracy_against_distance(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Accuracy by the number of steps between clue and answer, mean and single seeds; None where not measured."""
    measured = [(group, scores) for group in groups if (scores := accuracy_by_distance(group)) is not None]
    if not measured:
        return None
    colours = style.colours([group.label for group in groups])
    figure, (panel,) = style.panels(1, columns, height=2.8)
    for index, (group, (distances, accuracies)) in enumerate(measured):
        _seeds_and_mean(panel, distances, accuracies, colours[group.label], group.label, index, len(measured))
    _guessing(panel, chance(groups))
    nouns = nouns_of(groups)
    panel.set_xlabel(f"{nouns.steps} between the {nouns.clue} and the end of the {nouns.example}", fontsize=10.5)
    _accuracy_axis(panel, "right answers (test)")
    _legend(figure, panel, columns)
    return figure


def learning_curves(groups: SeedGroups, columns: int = style.WIDE) -> Figure | None:
    """Validation accuracy and loss against the training step; None where nothing was validated.

    The loss alone, beside the baseline, where it is the main score; see ``task.curve_split``.
    """
    validated = curves(groups)
    if not validated:
        return None
    if by_loss(groups):
        return _losses(validated, groups, columns)
    colours = style.colours([group.label for group in groups])
    figure, (right, loss) = style.panels(2, columns, height=2.6, share_y=False)
    for index, (group, (steps, accuracies, losses)) in enumerate(validated):
        for panel, values in ((right, accuracies), (loss, losses)):
            _seeds_and_mean(panel, steps, values, colours[group.label], group.label, index, len(validated))
    _guessing(right, chance(groups))
    for level in chance_losses(groups):
        loss.axhline(level, color=style.INK, linewidth=1, linestyle=":")
    _accuracy_axis(right, "right answers (validation)")
    loss.set_ylabel("loss (validation)", fontsize=10.5)
    loss.set_ylim(0, highest_loss(groups, [losses for _, (_, _, losses) in validated]))
    figure.supxlabel("training step", fontsize=10.5)
    _legend(figure, right, columns)
    return figure


def _losses(validated: list[tuple[SeedGroup, Steps]], groups: SeedGroups, columns: int) -> Figure:
    """The loss, mean and single seeds, and the baseline as a dashed line."""
    colours, losses_of_baselines = style.colours([group.label for group in groups]), baselines(groups)
    figure, (panel,) = style.panels(1, columns, height=2.8)
    for index, (group, (steps, _, losses)) in enumerate(validated):
        _seeds_and_mean(panel, steps, losses, colours[group.label], group.label, index, len(validated))
    for index, (text, level) in enumerate(losses_of_baselines.items()):
        single = len(losses_of_baselines) == 1
        label = f"remembers nothing: {text}" if single else "remembers nothing" if index == 0 else None
        panel.axhline(level, color=style.INK, linewidth=1, linestyle="--", zorder=4, label=label)
    if logarithmic([losses for _, (_, _, losses) in validated], losses_of_baselines):
        panel.set_yscale("log")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
    panel.set_xlabel("training step", fontsize=10.5)
    panel.set_ylabel(f"{error_name(groups)} ({curve_split(groups)})", fontsize=10.5)
    _legend(figure, panel, columns)
    return figure


def logarithmic(losses: list[Floats], baseline_losses: Mapping[str, float]) -> bool:
    """Whether losses of any shape, with the baselines, span more than a factor of ten."""
    flat = np.concatenate([np.ravel(values) for values in losses] + [np.array(list(baseline_losses.values()))])
    finite = flat[np.isfinite(flat)]
    return bool(finite.size and finite.min() > 0 and finite.max() > TENFOLD * finite.min())


def chance_losses(groups: SeedGroups) -> list[float]:
    """The losses of guessing, in rising order; more than one where tasks differ."""
    levels = (chance_loss(member) for group in groups for member in group.members)
    return sorted({level for level in levels if level is not None})


def highest_loss(groups: SeedGroups, losses: list[Floats]) -> float:
    """The upper end of an axis of losses that begins at 0; 1 where there are none."""
    levels = [*chance_losses(groups), *(float(values[np.isfinite(values)].max(initial=0)) for values in losses)]
    cut = MAX_OF_GUESSING * max(chance_losses(groups), default=np.inf)
    return min(cut, 1.05 * max(levels, default=0)) or 1.0


def curves(groups: SeedGroups) -> list[tuple[SeedGroup, Steps]]:
    """Each group that has scores to draw: steps (S,), accuracies and main losses (members, S), NaN without a record."""
    split = curve_split(groups)
    scores = [(group, [(m, curve_scores(m, split)) for m in group.members]) for group in groups]
    known = [(group, [(member, of) for member, of in pairs if len(of.steps)]) for group, pairs in scores]
    return [(group, _by_step(pairs)) for group, pairs in known if pairs]


def _by_step(pairs: list[tuple[RunRecord, ScoreHistory]]) -> Steps:
    steps = np.array(sorted({int(step) for _, scores in pairs for step in scores.steps}), np.float64)
    accuracies, losses = np.full((2, len(pairs), len(steps)), np.nan)
    for row, (member, scores) in enumerate(pairs):
        at = np.searchsorted(steps, scores.steps)
        accuracies[row, at], losses[row, at] = scores.accuracy, member.task.main_error(scores.loss)
    return steps, accuracies, np.where(np.isfinite(losses), losses, np.nan)


def _seeds_and_mean(panel: Axes, x: Floats, values: Floats, colour: str, label: str, index: int, count: int) -> None:
    """Draw single seeds as thin lines, and as a thick line their mean where every seed has a value."""
    if len(values) > 1:
        for seed in values:
            known = ~np.isnan(seed)
            panel.plot(x[known], seed[known], color=colour, linewidth=0.8, alpha=0.5)
    # later lines are thinner, so that lines at the same height are all visible
    width = 1.8 + min(0.8, 4 / count) * (count - 1 - index)
    finite = ~np.isnan(values).any(axis=0)
    panel.plot(
        x[finite],
        mean(values)[finite],
        color=colour,
        linewidth=width,
        marker=MARKERS[index % len(MARKERS)],
        markevery=max(1, int(finite.sum()) // MOST_MARKERS),
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=label,
    )


def _guessing(panel: Axes, level: float | None) -> None:
    if level is not None:
        panel.axhline(level, color=style.INK, linewidth=1, linestyle=":", label="guessing")


def _accuracy_axis(panel: Axes, title: str) -> None:
    panel.set_ylabel(title, fontsize=10.5)
    low = min(0.4, panel.get_ylim()[0])
    panel.set_ylim(low, 1.02)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))


def _legend(figure: Figure, panel: Axes, columns: int) -> None:
    handles, _ = panel.get_legend_handles_labels()
    style.legend(figure, handles, columns, 6 if columns == style.WIDE else 2, points=9.5)
