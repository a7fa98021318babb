"""All interactive figures of a page, and how they get into it: one script, nothing loaded from elsewhere."""

from dataclasses import dataclass

from bokeh.embed import components
from bokeh.models import UIElement
from bokeh.resources import Resources

from rnnjax.report.figures.sweep import Sweep
from rnnjax.report.interactive import gradients as interactive_gradients
from rnnjax.report.interactive import scores as interactive_scores
from rnnjax.report.interactive import sweep as interactive_sweep
from rnnjax.report.summary.gradient_history import histories
from rnnjax.report.summary.seed_groups import SeedGroup
from rnnjax.report.summary.task import nouns_of

LEGEND = "Point at it for its numbers; a click on a name hides and shows it."


@dataclass(frozen=True)
class Embedded:
    """One interactive figure as HTML, its parts side by side, and what a reader can do with it."""

    parts: tuple[str, ...]
    hint: str


def embedded(labels: tuple[SeedGroup, ...], sweeps: tuple[Sweep, ...] = ()) -> tuple[str, dict[str, Embedded]]:
    """The page's scripts (the library and the data), and the figures by the name of their section.

    The script is empty where there is nothing to draw. The data are those of the logs in single precision, at as
    many steps as ``rnnjax.report.summary.gradient_history`` keeps.
    """
    drawn = {sweep.picture.name: interactive_sweep.accuracy_against_setting(sweep) for sweep in sweeps}
    found = {name: parts for name, parts in (drawn | _figures(labels)).items() if parts}
    if not found:
        return "", {}
    roots = [part for parts in found.values() for part in parts]
    script, spots = components(roots)
    placed = iter(spots)
    shown = {
        name: Embedded(tuple(next(placed) for _ in parts), HINTS.get(name, LEGEND)) for name, parts in found.items()
    }
    library = Resources(mode="inline", minified=True, components=["bokeh", "bokeh-widgets"]).render_js()
    return library + script, shown


HINTS = {
    "gradient_by_lag": f"Move the slider through training: the curves move with it. {LEGEND}",
    "gradient_over_training": "Point at a spot for its step, its distance and its norm.",
}


def _figures(labels: tuple[SeedGroup, ...]) -> dict[str, tuple[UIElement, ...]]:
    past, nouns = histories(labels), nouns_of(labels)
    logs = interactive_gradients.logs_of(past)
    return {
        "accuracy_by_distance": interactive_scores.accuracy_against_distance(labels),
        "gradient_by_lag": interactive_gradients.curves(past, logs, nouns) if past else (),
        "gradient_over_training": interactive_gradients.maps(past, logs, nouns) if past else (),
        "learning_curves": interactive_scores.learning_curves(labels),
    }
