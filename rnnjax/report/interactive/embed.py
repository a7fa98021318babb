"""The interactive figures of a page, embedded with all of Bokeh's script, so that nothing is loaded from elsewhere."""

from dataclasses import dataclass

from bokeh.embed import components
from bokeh.models import UIElement
from bokeh.resources import Resources
from markupsafe import Markup

from rnnjax.report.figures.sweep import Sweep
from rnnjax.report.interactive import gradients, scores
from rnnjax.report.interactive.sweep import accuracy_against_setting
from rnnjax.report.summary.gradient_history import gradient_histories
from rnnjax.report.summary.seed_groups import SeedGroups
from rnnjax.report.summary.task import nouns_of

LEGEND_HINT = "Point at a line for its numbers; click a name to hide or show it."


@dataclass(frozen=True)
class EmbeddedFigure:
    """One interactive figure: the HTML of its parts, which stand side by side, and a hint on how to use it."""

    parts: tuple[Markup, ...]
    hint: str


def embed_figures(groups: SeedGroups, sweeps: tuple[Sweep, ...] = ()) -> tuple[Markup, dict[str, EmbeddedFigure]]:
    """The page's scripts (the library and the data), and the figures by the name of their section.

    The scripts are empty where there is nothing to draw. The data are those of the logs in single precision, at the
    steps that ``rnnjax.report.summary.gradient_history`` keeps. What Bokeh returns is the only HTML of a page that is
    marked safe without having been made from a template; Bokeh escapes the texts in it.
    """
    sweep_figures = {sweep.figure.name: accuracy_against_setting(sweep) for sweep in sweeps}
    figures = {name: parts for name, parts in (sweep_figures | _figures(groups)).items() if parts}
    if not figures:
        return Markup(), {}
    roots = [part for parts in figures.values() for part in parts]
    script, divs = components(roots)
    divs_left = iter(divs)
    embedded = {
        name: EmbeddedFigure(tuple(Markup(next(divs_left)) for _ in parts), HINTS.get(name, LEGEND_HINT))
        for name, parts in figures.items()
    }
    library = Resources(mode="inline", minified=True, components=["bokeh", "bokeh-widgets"]).render_js()
    return Markup(library + script), embedded


HINTS = {
    "gradient_by_lag": f"The slider selects the training step. {LEGEND_HINT}",
    "gradient_over_training": "Point at a spot for its step, its distance and its norm.",
}


def _figures(groups: SeedGroups) -> dict[str, tuple[UIElement, ...]]:
    histories, nouns = gradient_histories(groups), nouns_of(groups)
    logs = gradients.log_sources(histories)
    return {
        "accuracy_by_distance": scores.accuracy_against_distance(groups),
        "gradient_by_lag": gradients.curves(histories, logs, nouns) if histories else (),
        "gradient_over_training": gradients.maps(histories, logs, nouns) if histories else (),
        "learning_curves": scores.learning_curves(groups),
    }
