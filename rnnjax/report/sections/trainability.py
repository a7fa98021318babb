"""The trainability study on the page and in the terminal: its map, and how well step 0 predicts success."""

import numpy as np
from matplotlib.figure import Figure
from rich import box, console
from rich.table import Table
from rich.text import Text

from rnnjax.formatting import join_list, percent
from rnnjax.report import document
from rnnjax.report.figures.trainability import TrainabilityMap, maps, trainability
from rnnjax.report.sections.figure_section import FigureSection
from rnnjax.report.sections.rendering import Section, drawn_sections, section
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups
from rnnjax.report.summary.trainability import (
    AXES,
    HELD_OUT,
    SINGLE_FEATURES,
    SUCCESS,
    TrainabilityRun,
    json_record,
    predictions,
    single_feature_aucs,
    trainability_runs,
)
from rnnjax.report.text.headline import Caption
from rnnjax.runs.json_io import write_json
from rnnjax.runs.run_record import Run

FILE = "trainability.json"
MAP_TITLE = "What can be trained, and what step 0 predicts"
TITLE = "How well step 0 predicts the result of training"
HEADER = ("predicted from", "AUC")
READING = (
    "Each field is one setting; its colour is the test accuracy after training, the mean over its seeds. On the line a "
    "logistic regression gives even odds of success from four numbers measured before the first step: how much of the "
    "gradient its half-life leaves over the distance, the largest Lyapunov exponent times the distance, the absolute "
    "value of that, and the belt share. For each distance it was fitted to all other distances. White: training "
    "diverged or has not ended."
)
NOTE = (
    "AUC: the probability that, of a run that succeeded and one that failed, the first had the higher score; 0.5 is "
    "guessing. Above: one regression for all cells, evaluated on the runs that it was not fitted to; below: single "
    "numbers, ranked without a fit."
)


def sections(run: Run) -> list[Section]:
    """The map and the table; writes ``figures/trainability.png`` and ``trainability.json`` beside the page.

    Empty, and nothing is written, where ``run`` is of another experiment or none of its runs has ended.
    """
    runs = trainability_runs(run)
    if not runs:
        return []
    write_json(run.path / FILE, json_record(runs))
    groups = tuple(
        SeedGroup(cell, tuple(trained.member for trained in runs if trained.cell == cell))
        for cell in dict.fromkeys(trained.cell for trained in runs)
    )
    return [*drawn_sections((map_figure(runs),), groups, {}, run.path / "figures"), _table_section(runs)]


def map_figure(runs: tuple[TrainabilityRun, ...]) -> FigureSection:
    """The map as a section of the page."""
    results = predictions(runs)
    log_odds = results["distance"].log_odds if "distance" in results else np.full(len(runs), np.nan)
    maps_of_cells = maps(runs, log_odds)

    def draw(_: SeedGroups, columns: int) -> Figure | None:
        return trainability(maps_of_cells, columns)

    def captions(_: SeedGroups) -> list[Caption]:
        return [Caption(cell_map.cell, _map_caption(cell_map)) for cell_map in maps_of_cells]

    return FigureSection("trainability", MAP_TITLE, READING, draw, captions, FILE)


def _map_caption(cell_map: TrainabilityMap) -> str:
    """The number of settings learnt, the largest distance learnt, and how often the boundary was right."""
    tried, success = cell_map.runs > 0, cell_map.accuracy >= SUCCESS
    text = f"Learns in {success.sum()} of {tried.sum()} settings"
    if success.any():
        column = np.flatnonzero(success.any(axis=0))[-1]
        values = [f"{value:g}" for value in cell_map.values[success[:, column]]]
        distance = f"{cell_map.distances[column]:g}"
        text += f", over {distance} words at most ({AXES[cell_map.axis]} {join_list(values)})"
    if np.isnan(cell_map.log_odds[tried]).any():
        return f"{text}."
    right = (success == (cell_map.log_odds > 0))[tried]
    return f"{text}. The boundary of step 0 is right for {percent(float(right.mean()))} of them."


def summary(runs: tuple[TrainabilityRun, ...]) -> str:
    """How well step 0 predicts, in one or two sentences."""
    results = predictions(runs)
    aucs = [
        f"an AUC of {auc(result.auc)} ({HELD_OUT[name]})" for name, result in results.items() if np.isfinite(result.auc)
    ]
    if not aucs:
        return f"Too few settings, or all with the same outcome: nothing to predict in {len(runs)} runs."
    by_distance = results.get("distance") or results["cell"]
    return (
        f"What is measured before the first step predicts which of {len(runs)} runs succeed with {join_list(aucs)}; "
        f"the distance alone has {auc(single_feature_aucs(runs)['distance'][0])}. The line of even odds is on the "
        f"right side of {percent(by_distance.right)} of the runs."
    )


def auc(value: float) -> str:
    """Two digits, which is as precise as so few runs allow."""
    return "–" if np.isnan(value) else f"{value:.2f}"


def rows(runs: tuple[TrainabilityRun, ...]) -> list[list[str]]:
    """One row for each way to predict: its name, the AUC over all runs, and over those of each cell."""
    fitted = [(f"step 0, {HELD_OUT[name]}", result.auc, result.by_cell) for name, result in predictions(runs).items()]
    single = [(SINGLE_FEATURES[name], *aucs) for name, aucs in single_feature_aucs(runs).items()]
    return [[name, auc(total), *map(auc, by_cell.values())] for name, total, by_cell in (*fitted, *single)]


def _header(runs: tuple[TrainabilityRun, ...]) -> list[str]:
    return [*HEADER, *dict.fromkeys(trained.cell for trained in runs)]


def _table_section(runs: tuple[TrainabilityRun, ...]) -> Section:
    return section(
        "trainability_auc", TITLE, document.table(_header(runs), rows(runs), note=NOTE, source=FILE), summary(runs)
    )


def rich_trainability(run: Run) -> console.Group | None:
    """The table and its summary for ``rich.print``; None where ``run`` is of another experiment."""
    runs = trainability_runs(run)
    if not runs:
        return None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=TITLE, title_justify="left")
    for title in _header(runs):
        table.add_column(Text(title), justify="left" if title == HEADER[0] else "right", overflow="fold")
    for row in rows(runs):
        table.add_row(*map(Text, row))
    return console.Group(table, Text(summary(runs)))
