"""Pictures of what was learnt: accuracy against distance, and the learning curves."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rnnjax.report import style
from rnnjax.report.run import Floats
from rnnjax.report.summary import Group, accuracy_by_distance, mean

MARKERS = "osD^vPX*"
CHANCE_LOSS = float(np.log(2))  # cross-entropy of answering "one half" to every yes-or-no question
HIGHEST_LOSS = 2.0  # a loss far above guessing is cut off here, so that the others stay readable


def accuracy_against_distance(labels: tuple[Group, ...], columns: int = style.WIDE) -> Figure | None:
    """Accuracy by the number of words between clue and answer, mean and single seeds; None where not measured."""
    measured = [(group, found) for group in labels if (found := accuracy_by_distance(group)) is not None]
    if not measured:
        return None
    colour = style.colours([group.label for group in labels])
    figure, (panel,) = style.panels(1, columns, height=2.8)
    for place, (group, (distances, accuracies)) in enumerate(measured):
        _seeds_and_mean(panel, distances, accuracies, colour[group.label], group.label, place, len(measured))
    panel.axhline(0.5, color=style.INK, linewidth=1, linestyle=":", label="guessing")
    panel.set_xlabel("words between the opinion and the end of the review", fontsize=10.5)
    _accuracy_axis(panel, "right answers (test)")
    _legend(figure, panel, columns)
    return figure


def learning_curves(labels: tuple[Group, ...], columns: int = style.WIDE) -> Figure | None:
    """Validation accuracy and loss against the training step; None where nothing was validated."""
    validated = [(group, by_step(group)) for group in labels if any(len(m.validation.steps) for m in group.members)]
    if not validated:
        return None
    colour = style.colours([group.label for group in labels])
    figure, (right, loss) = style.panels(2, columns, height=2.6, share_y=False)
    for place, (group, (steps, accuracies, losses)) in enumerate(validated):
        for panel, values in ((right, accuracies), (loss, losses)):
            _seeds_and_mean(panel, steps, values, colour[group.label], group.label, place, len(validated))
    right.axhline(0.5, color=style.INK, linewidth=1, linestyle=":", label="guessing")
    loss.axhline(CHANCE_LOSS, color=style.INK, linewidth=1, linestyle=":")
    _accuracy_axis(right, "right answers (validation)")
    loss.set_ylabel("loss (validation)", fontsize=10.5)
    known = np.concatenate([losses[np.isfinite(losses)] for _, (_, _, losses) in validated])
    loss.set_ylim(0, min(HIGHEST_LOSS, 1.05 * max(CHANCE_LOSS, known.max(initial=0))))
    figure.supxlabel("training step", fontsize=10.5)
    _legend(figure, right, columns)
    return figure


def by_step(group: Group) -> tuple[Floats, Floats, Floats]:
    """Steps (S,), accuracies and losses (members, S), NaN where a member has no record."""
    scores = [member.validation for member in group.members if len(member.validation.steps)]
    steps = np.array(sorted({int(step) for score in scores for step in score.steps}), np.float64)
    accuracies, losses = np.full((2, len(scores), len(steps)), np.nan)
    for row, score in enumerate(scores):
        at = np.searchsorted(steps, score.steps)
        accuracies[row, at], losses[row, at] = score.accuracy, score.loss
    return steps, accuracies, np.where(np.isfinite(losses), losses, np.nan)


def _seeds_and_mean(panel: Axes, x: Floats, values: Floats, tint: str, label: str, place: int, of: int) -> None:
    """Thin lines: single seeds; thick line: their mean where every seed has a value."""
    if len(values) > 1:
        for seed in values:
            known = ~np.isnan(seed)
            panel.plot(x[known], seed[known], color=tint, linewidth=0.8, alpha=0.5)
    width = 1.8 + min(0.8, 4 / of) * (of - 1 - place)  # thinner on top, so that curves at the same height are all seen
    every = ~np.isnan(values).any(axis=0)
    panel.plot(
        x[every],
        mean(values)[every],
        color=tint,
        linewidth=width,
        marker=MARKERS[place % len(MARKERS)],
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        label=style.literal(label),
    )


def _accuracy_axis(panel: Axes, title: str) -> None:
    panel.set_ylabel(title, fontsize=10.5)
    low = min(0.4, panel.get_ylim()[0])
    panel.set_ylim(low, 1.02)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))


def _legend(figure: Figure, panel: Axes, columns: int) -> None:
    handles, _ = panel.get_legend_handles_labels()
    style.legend(figure, handles, columns, 6 if columns == style.WIDE else 2, points=9.5)
