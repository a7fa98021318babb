"""Figures of a sweep over a number: the test score against it, a line for each cell with its other settings."""

from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from rnnjax.formatting import join_list, loss, percent
from rnnjax.report.figures import style
from rnnjax.report.figures.scores import MARKERS
from rnnjax.report.sections.figure_section import FigureSection
from rnnjax.report.summary.diagnosis import MIN_SEEDS, over_seeds
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups, mean, results
from rnnjax.report.summary.task import by_loss, error_name
from rnnjax.report.tables.export import is_number
from rnnjax.report.text.headline import Caption
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.typing import Floats

READING = (  # {score}: accuracy or loss
    "Test {score} against the setting that the sweep varies. Each dot is a seed; the line is the mean, "
    f"and the band, where there are at least {MIN_SEEDS} seeds, is the 95% interval of the mean (Student's t)."
)
TENFOLD = 10.0  # ratio of the largest to the smallest value from which an axis is logarithmic
MAX_TICKS = 9


class Sweep(NamedTuple):
    """One swept number.

    Attributes:
        name: of the setting.
        series: the groups to draw: members with the same other settings.
        total: the number of all such groups, of which ``series`` is the beginning.
    """

    name: str
    series: SeedGroups
    total: int

    @property
    def figure(self) -> FigureSection:
        """Its section of the page, to be drawn with ``series``."""
        file = "sweep_" + "".join(letter if letter.isalnum() else "_" for letter in self.name)
        draw, captions = partial(_draw, self.name), partial(_captions, self.name)
        limit = (
            f" Shown are the first {len(self.series)} of {self.total} lines." if self.total > len(self.series) else ""
        )
        source = "members/*/member.json and result.json"
        reading = READING.format(score=error_name(self.series) if by_loss(self.series) else "accuracy")
        return FigureSection(file, f"What {self.name} does", reading + limit, draw, captions, source)


class Points(NamedTuple):
    """Test scores by the value of the swept setting.

    Attributes:
        values: (V,) in rising order.
        seeds: for each value the accuracies of the finished seeds, or the losses where these are the main score.
        upper: the largest possible score.
    """

    values: Floats
    seeds: tuple[Floats, ...]
    upper: float = 1.0

    @property
    def means(self) -> Floats:
        """Mean over the seeds (V,)."""
        return np.array([float(mean(scores)) for scores in self.seeds])

    @property
    def band(self) -> tuple[Floats, Floats]:
        """Lower and upper end of the interval of the mean, each (V,); NaN where the seeds are too few."""
        intervals = [over_seeds(scores, most=self.upper) for scores in self.seeds]
        return np.array([interval.low for interval in intervals]), np.array([interval.high for interval in intervals])


def sweeps(run: Run) -> tuple[Sweep, ...]:
    """The settings that are swept over at least two numbers, in the order of the members."""
    names = dict.fromkeys(name for member in run.members for name in member.varied)
    by_name = {name: _series(run, name) for name in names if _over_numbers(run, name)}
    return tuple(Sweep(name, series[: style.MAX_LABELS], len(series)) for name, series in by_name.items())


def _over_numbers(run: Run, name: str) -> bool:
    values = {member.varied[name] for member in run.members if name in member.varied}
    return len(values) > 1 and all(is_number(value) for value in values)


def _series(run: Run, name: str) -> SeedGroups:
    """The members that sweep the setting, grouped by their label without ``name=value``."""
    by_label: dict[str, list[RunRecord]] = {}
    for member in run.members:
        if name in member.varied:
            by_label.setdefault(_without(member.label, name), []).append(member)
    return tuple(SeedGroup(label, tuple(members)) for label, members in by_label.items())


def _without(label: str, name: str) -> str:
    """The label without the setting, which for ``cell.chrono`` is there as ``chrono=200``."""
    option = name.removeprefix("cell.")
    return " ".join(word for word in label.split(" ") if not word.startswith(f"{option}="))


def group_points(group: SeedGroup, name: str) -> Points:
    """The finite test scores of the group's finished seeds, by the value of the swept setting."""
    values = np.array([member.varied[name] for member in group.finished], np.float64)
    lower = by_loss((group,))
    scores = results(group, lambda result: result.test_loss if lower else result.test_accuracy)
    if lower:  # the swept setting may be one on which the unit of the labels depends
        tasks = [member.task for member in group.finished]
        scores = np.array([task.main_error(score) for task, score in zip(tasks, scores, strict=True)], np.float64)
    finite = np.isfinite(scores)
    tested = np.unique(values[finite])
    return Points(tested, tuple(scores[finite & (values == value)] for value in tested), np.inf if lower else 1.0)


def groups_with_points(groups: SeedGroups, name: str) -> list[tuple[SeedGroup, Points]]:
    """The groups that have any points, with them."""
    return [(group, points) for group in groups if len((points := group_points(group, name)).values)]


def score_name(groups: SeedGroups) -> str:
    """The label of the axis of scores."""
    return f"{error_name(groups)} (test)" if by_loss(groups) else "right answers (test)"


def logarithmic(values: Floats) -> bool:
    """Whether an axis with these values is logarithmic."""
    return bool(values.min() > 0 and values.max() / values.min() >= TENFOLD)


def ticks(values: Floats) -> list[float]:
    """The values, evenly thinned where there are many."""
    return [float(value) for value in values[:: -(-len(values) // MAX_TICKS)]]


def baseline_curve(groups: SeedGroups, name: str) -> tuple[Floats, Floats]:
    """The swept values in rising order and the loss of the best prediction without memory at each, both (V,)."""
    losses = {
        float(member.varied[name]): float(member.task.main_error(member.baseline))
        for group in groups
        for member in group.finished
        if member.baseline is not None and by_loss((group,))
    }
    values = sorted(losses)
    return np.array(values), np.array([losses[value] for value in values], np.float64)


def _draw(name: str, groups: SeedGroups, columns: int) -> Figure | None:
    with_points = groups_with_points(groups, name)
    if not with_points:
        return None
    colours = style.colours([group.label for group in groups])
    figure, (panel,) = style.panels(1, columns, height=2.8)
    for index, (group, points) in enumerate(with_points):
        colour, marker, (low, high) = colours[group.label], MARKERS[index % len(MARKERS)], points.band
        panel.fill_between(points.values, low, high, color=colour, alpha=0.15, linewidth=0)
        for value, scores in zip(points.values, points.seeds, strict=True):
            panel.plot(np.full(len(scores), value), scores, marker, color=colour, markersize=4, alpha=0.6)
        label = group.label
        panel.plot(points.values, points.means, color=colour, linewidth=1.8, marker=marker, label=label)
    values, baseline = baseline_curve(groups, name)
    if len(values):
        panel.plot(values, baseline, "--", color=style.INK, linewidth=1, zorder=4, label="remembers nothing")
    tested = np.unique(np.concatenate([points.values for _, points in with_points]))
    if logarithmic(tested):
        panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(ticks(tested)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticks(ticks(tested), [f"{value:g}" for value in ticks(tested)])
    panel.set_xlabel(name, fontsize=10.5)
    panel.set_ylabel(score_name(groups), fontsize=10.5)
    if not by_loss(groups):
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.set_ylim(top=1.02)
    elif logarithmic(np.concatenate([scores for _, points in with_points for scores in points.seeds])):
        panel.set_yscale("log")
    handles, _ = panel.get_legend_handles_labels()
    style.legend(figure, handles, columns, 6 if columns == style.WIDE else 2, points=9.5)
    return figure


def _captions(name: str, groups: SeedGroups) -> list[Caption]:
    """The best value of each group, and the values at which a member diverged."""
    return [Caption(group.label, _best_caption(group, name) + _diverged(group, name)) for group in groups]


def _best_caption(group: SeedGroup, name: str) -> str:
    points, lower = group_points(group, name), by_loss((group,))
    if not len(points.values):
        return f"Has no test {error_name((group,)) if lower else 'accuracy'}."
    best = int(np.argmin(points.means) if lower else np.argmax(points.means))
    count = len(points.seeds[best])
    seeds = f" (mean of {count} seeds)" if count > 1 else ""
    score = float(points.means[best])
    text = f"a test {error_name((group,))} of {loss(score)}" if lower else f"{percent(score)} right"
    return f"Best at {name} {points.values[best]:g}: {text}{seeds}."


def _diverged(group: SeedGroup, name: str) -> str:
    values = sorted({float(member.varied[name]) for member in group.members if member.status == "diverged"})
    return f" Diverged at {join_list([f'{value:g}' for value in values])}." if values else ""
