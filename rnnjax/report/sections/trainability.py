"""The trainability study on the page and in the terminal: the map, and how well step 0 predicted what training did."""

from html import escape

import numpy as np
from matplotlib.figure import Figure
from rich import box, console
from rich.table import Table
from rich.text import Text

from rnnjax.formatting import join_list, percent
from rnnjax.report import document
from rnnjax.report.figures.trainability import Map, maps, trainability
from rnnjax.report.sections.figure_section import FigureSection, SeedGroups
from rnnjax.report.sections.rendering import Section, drawn_sections
from rnnjax.report.summary.seed_groups import SeedGroup
from rnnjax.report.summary.trainability import (
    AXES,
    HELD_OUT,
    SINGLE,
    SUCCESS,
    Before,
    predictions,
    record,
    runs_before,
    single_scores,
)
from rnnjax.report.text.headline import Said
from rnnjax.runs.json_io import write_json
from rnnjax.runs.run_record import Run

FILE = "trainability.json"
TITLE = "How well step 0 predicts what training reaches"
HEAD = ("predicted from", "AUC")
READING = (
    "Each field is one setting: the colour is the accuracy that training reached, the mean over its seeds. The line is "
    "where a logistic regression gives even odds of success from four numbers that were measured before the first "
    "step: how much of the gradient its half-life leaves over the distance, the largest Lyapunov exponent times the "
    "distance, that without its sign, and the belt share. Of each distance it was fitted to all others alone. White: "
    "training diverged or has not ended."
)
NOTE = (
    "AUC: the chance that of a run that succeeded and one that did not, the first had the higher score; 0.5 is "
    "guessing. Above, one regression for all cells, judged on what it was not fitted to; below, single numbers ranked "
    "without any fit."
)


def sections(run: Run) -> list[Section]:
    """The map and the table; ``figures/trainability.png`` and ``trainability.json`` are written beside the page.

    Nothing is there, and nothing is written, where ``run`` is of another experiment or no run has ended.
    """
    known = runs_before(run)
    if not known:
        return []
    write_json(run.path / FILE, record(known))
    labels = tuple(
        SeedGroup(cell, tuple(one.member for one in known if one.cell == cell))
        for cell in dict.fromkeys(one.cell for one in known)
    )
    return [*drawn_sections((picture(known),), labels, {}, run.path / "figures"), _table_section(known)]


def picture(known: tuple[Before, ...]) -> FigureSection:
    """The map as a section of a page."""
    found = predictions(known)
    log_odds = found["distance"].log_odds if "distance" in found else np.full(len(known), np.nan)
    drawn = maps(known, log_odds)

    def draw(_: SeedGroups, columns: int) -> Figure | None:
        return trainability(drawn, columns)

    def says(_: SeedGroups) -> list[Said]:
        return [Said(one.cell, _said(one)) for one in drawn]

    title = "What can be trained, and what step 0 said of it"
    return FigureSection("trainability", title, READING, draw, says, FILE)


def _said(one: Map) -> str:
    """How far it was trained at best, and how often the boundary was right."""
    tried, success = one.runs > 0, one.accuracy >= SUCCESS
    told = f"Learns in {success.sum()} of {tried.sum()} settings"
    if success.any():
        far = np.flatnonzero(success.any(axis=0))[-1]
        values = [f"{value:g}" for value in one.values[success[:, far]]]
        told += f", over {one.distances[far]:g} words at most ({AXES[one.axis]} {join_list(values)})"
    if np.isnan(one.log_odds[tried]).any():
        return f"{told}."
    right = (success == (one.log_odds > 0))[tried]
    return f"{told}. The boundary of step 0 is right about {percent(float(right.mean()))} of them."


def verdict(known: tuple[Before, ...]) -> str:
    """One sentence: how well step 0 predicted."""
    found = predictions(known)
    told = [f"an AUC of {auc(one.auc)} ({HELD_OUT[name]})" for name, one in found.items() if np.isfinite(one.auc)]
    if not told:
        return f"Too few settings, or all came out alike: nothing to predict in {len(known)} runs."
    by = found.get("distance") or found["cell"]
    return (
        f"What is measured before the first step predicts which of {len(known)} runs succeed with {join_list(told)}; "
        f"the distance alone has {auc(single_scores(known)['distance'][0])}. The line of even odds is on the right "
        f"side of {percent(by.right)} of the runs."
    )


def auc(value: float) -> str:
    """Two digits, which is what so few runs can tell."""
    return "–" if np.isnan(value) else f"{value:.2f}"


def rows(known: tuple[Before, ...]) -> list[list[str]]:
    """One row a way to predict: its name, the AUC over all runs, and that over each cell's."""
    fitted = [(f"step 0, {HELD_OUT[name]}", one.auc, one.by_cell) for name, one in predictions(known).items()]
    alone = [(SINGLE[name], *told) for name, told in single_scores(known).items()]
    return [[name, auc(whole), *map(auc, by_cell.values())] for name, whole, by_cell in (*fitted, *alone)]


def _head(known: tuple[Before, ...]) -> list[str]:
    return [*HEAD, *dict.fromkeys(one.cell for one in known)]


def _table_section(known: tuple[Before, ...]) -> Section:
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in _head(known))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{value}</td>" for value in values)}</tr>'
        for name, *values in rows(known)
    )
    html = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    shown = document.table(html, NOTE, FILE)
    name = "trainability_auc"
    reading = f'<p class="reading">{escape(verdict(known))}</p>'
    return Section(name, TITLE, f'<section id="{name}"><h2>{TITLE}</h2>{reading}{shown}</section>')


def rich_trainability(run: Run) -> console.Group | None:
    """The table and its sentence for ``rich.print``; None where ``run`` is of another experiment."""
    known = runs_before(run)
    if not known:
        return None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=TITLE, title_justify="left")
    for title in _head(known):
        table.add_column(Text(title), justify="left" if title == HEAD[0] else "right", overflow="fold")
    for row in rows(known):
        table.add_row(*map(Text, row))
    return console.Group(table, Text(verdict(known)))
