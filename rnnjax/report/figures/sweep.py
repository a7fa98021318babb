"""Pictures of a sweep over a number: the test score against it, a line for each cell with its other settings."""

from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from rnnjax.formatting import join_list, loss, percent
from rnnjax.report.figures import style
from rnnjax.report.figures.scores import MARKERS
from rnnjax.report.sections.figure_section import FigureSection
from rnnjax.report.summary.diagnosis import ENOUGH_SEEDS, over_seeds
from rnnjax.report.summary.seed_groups import SeedGroup, mean, results
from rnnjax.report.summary.task import by_loss
from rnnjax.report.tables.export import is_number
from rnnjax.report.text.headline import Said
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.typing import Floats

READING = (  # {score}: accuracy or loss
    "Test {score} against the setting that the sweep varies. Every dot is one seed; the line runs through the mean, "
    f"and the band, where there are at least {ENOUGH_SEEDS} seeds, is the 95% interval of the mean (Student's t)."
)
TENFOLD = 10.0  # from this ratio of the largest to the smallest value on, equal factors are drawn as equal distances
MOST_TICKS = 9


class Sweep(NamedTuple):
    """One number that is swept, and the first of ``of`` groups that differ in nothing else but the seed."""

    name: str
    series: tuple[SeedGroup, ...]
    of: int

    @property
    def picture(self) -> FigureSection:
        """Its section of a page, to be drawn of ``series``."""
        file = "sweep_" + "".join(letter if letter.isalnum() else "_" for letter in self.name)
        draw, says = partial(_drawn, self.name), partial(_said, self.name)
        shown = f" Shown are the first {len(self.series)} of {self.of} lines." if self.of > len(self.series) else ""
        source = "members/*/member.json and result.json"
        reading = READING.format(score="loss" if by_loss(self.series) else "accuracy")
        return FigureSection(file, f"What {self.name} does", reading + shown, draw, says, source)


class Points(NamedTuple):
    """Test accuracy, or loss where it is the main score: values (V,) in rising order, scores of finished seeds."""

    values: Floats
    seeds: tuple[Floats, ...]
    most: float = 1.0

    @property
    def means(self) -> Floats:
        """Mean over the seeds (V,)."""
        return np.array([float(mean(scores)) for scores in self.seeds])

    @property
    def band(self) -> tuple[Floats, Floats]:
        """Lower and upper end of the interval of the mean, each (V,); NaN where the seeds are too few."""
        found = [over_seeds(scores, most=self.most) for scores in self.seeds]
        enough = [one.seeds >= ENOUGH_SEEDS for one in found]
        low, high = (np.array([getattr(one, end) for one in found]) for end in ("low", "high"))
        return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def sweeps(run: Run) -> tuple[Sweep, ...]:
    """What is swept over at least two numbers, in the order of the members."""
    names = dict.fromkeys(name for member in run.members for name in member.varied)
    found = {name: _series(run, name) for name in names if _over_numbers(run, name)}
    return tuple(Sweep(name, series[: style.MOST], len(series)) for name, series in found.items())


def _over_numbers(run: Run, name: str) -> bool:
    values = {member.varied[name] for member in run.members if name in member.varied}
    return len(values) > 1 and all(is_number(value) for value in values)


def _series(run: Run, name: str) -> tuple[SeedGroup, ...]:
    """The members by what is left of their label without ``name=value``."""
    found: dict[str, list[RunRecord]] = {}
    for member in run.members:
        if name in member.varied:
            found.setdefault(_without(member.label, name), []).append(member)
    return tuple(SeedGroup(label, tuple(members)) for label, members in found.items())


def _without(label: str, name: str) -> str:
    """A label names a cell's option as a cell does: ``cell.chrono`` as ``chrono=200``."""
    option = name.removeprefix("cell.")
    return " ".join(word for word in label.split(" ") if not word.startswith(f"{option}="))


def points(group: SeedGroup, name: str) -> Points:
    """The test score against what is swept, at those values at which a seed has finished with a number."""
    values = np.array([member.varied[name] for member in group.finished], np.float64)
    lower = by_loss((group,))
    scores = results(group, lambda result: result.test_loss if lower else result.test_accuracy)
    known = np.isfinite(scores)
    at = np.unique(values[known])
    return Points(at, tuple(scores[known & (values == value)] for value in at), np.inf if lower else 1.0)


def measured(labels: tuple[SeedGroup, ...], name: str) -> list[tuple[SeedGroup, Points]]:
    """The groups that have a point, with their points."""
    return [(group, found) for group in labels if len((found := points(group, name)).values)]


def score_name(labels: tuple[SeedGroup, ...]) -> str:
    """What the axis of scores says."""
    return "loss (test)" if by_loss(labels) else "right answers (test)"


def logarithmic(values: Floats) -> bool:
    """Whether equal factors are drawn as equal distances."""
    return bool(values.min() > 0 and values.max() / values.min() >= TENFOLD)


def ticks(values: Floats) -> list[float]:
    """The values themselves, some left out where there are many."""
    return [float(value) for value in values[:: -(-len(values) // MOST_TICKS)]]


def forgetful(labels: tuple[SeedGroup, ...], name: str) -> tuple[Floats, Floats]:
    """Values of what is swept, in rising order, and what the best answer that remembers nothing loses at each (V,)."""
    told = {
        float(member.varied[name]): member.baseline
        for group in labels
        for member in group.finished
        if member.baseline is not None and by_loss((group,))
    }
    values = sorted(told)
    return np.array(values), np.array([told[value] for value in values], np.float64)


def _drawn(name: str, labels: tuple[SeedGroup, ...], columns: int) -> Figure | None:
    known = measured(labels, name)
    if not known:
        return None
    colour = style.colours([group.label for group in labels])
    figure, (panel,) = style.panels(1, columns, height=2.8)
    for place, (group, found) in enumerate(known):
        tint, mark, (low, high) = colour[group.label], MARKERS[place % len(MARKERS)], found.band
        panel.fill_between(found.values, low, high, color=tint, alpha=0.15, linewidth=0)
        for value, scores in zip(found.values, found.seeds, strict=True):
            panel.plot(np.full(len(scores), value), scores, mark, color=tint, markersize=4, alpha=0.6)
        panel.plot(found.values, found.means, color=tint, linewidth=1.8, marker=mark, label=style.literal(group.label))
    values, baseline = forgetful(labels, name)
    if len(values):
        panel.plot(values, baseline, "--", color=style.INK, linewidth=1, zorder=4, label="remembers nothing")
    every = np.unique(np.concatenate([found.values for _, found in known]))
    if logarithmic(every):
        panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(ticks(every)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticks(ticks(every), [f"{value:g}" for value in ticks(every)])
    panel.set_xlabel(style.literal(name), fontsize=10.5)
    panel.set_ylabel(score_name(labels), fontsize=10.5)
    if not by_loss(labels):
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panel.set_ylim(top=1.02)
    elif logarithmic(np.concatenate([scores for _, found in known for scores in found.seeds])):
        panel.set_yscale("log")
    handles, _ = panel.get_legend_handles_labels()
    style.legend(figure, handles, columns, 6 if columns == style.WIDE else 2, points=9.5)
    return figure


def _said(name: str, labels: tuple[SeedGroup, ...]) -> list[Said]:
    """Of each group its best value, and what diverged."""
    return [Said(group.label, _best(group, name) + _lost(group, name)) for group in labels]


def _best(group: SeedGroup, name: str) -> str:
    found = points(group, name)
    if not len(found.values):
        return f"Has no test {'loss' if by_loss((group,)) else 'accuracy'}."
    best = int(np.argmin(found.means) if by_loss((group,)) else np.argmax(found.means))
    of = len(found.seeds[best])
    seeds = f" (mean of {of} seeds)" if of > 1 else ""
    score = float(found.means[best])
    told = f"a test loss of {loss(score)}" if by_loss((group,)) else f"{percent(score)} right"
    return f"Best at {name} {found.values[best]:g}: {told}{seeds}."


def _lost(group: SeedGroup, name: str) -> str:
    lost = sorted({float(member.varied[name]) for member in group.members if member.status == "diverged"})
    return f" Diverged at {join_list([f'{value:g}' for value in lost])}." if lost else ""
