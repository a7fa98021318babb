"""The table of ``launch.py reach``: its fields for several seeds, at chance and by loss, the CSV, and the figure."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from rnnjax.analysis.input_reach import InputReach
from rnnjax.data.dataset import Objective
from rnnjax.diagnostics import ScoreLeft
from rnnjax.report.figures import style
from rnnjax.report.figures.input_reach import input_reach as draw
from rnnjax.report.summary.input_reach import NetworkReach, cells_of
from rnnjax.report.tables.input_reach import TITLES, curves_csv, reach_csv, rich_reach, row
from rnnjax.runs.schema import TaskInfo

KEPT = np.array([0, 1, 2, 10, 20])
CLASSES = TaskInfo(step="step", example="sequence", objective=Objective.CLASSES, classes=tuple("abcd"))
NUMBER = TaskInfo(step="step", example="sequence", objective=Objective.NUMBER)


def network(share, *, label="LSTM", seed=0, task=CLASSES, furthest=3, error=0.0, at_chance=False):
    """One whose score goes from 25% to 85%, or whose loss from 0.6 to 0.1, as ``share`` does."""
    share = np.array(share)
    constant, best = (0.6, 0.1) if task.by_loss else (0.25, 0.85)
    moves = np.where(np.arange(20) <= furthest, 0.5, 0.001)
    moves[17:] = np.nan
    left = ScoreLeft(share * (np.nan if at_chance else 1), np.full(5, error), at_chance)
    measured = InputReach(
        examples=100, kept=KEPT, score=constant + share * (best - constant), constant=constant, left=left, moves=moves,
        swapped=50,
    )  # fmt: skip
    return NetworkReach(Path("runs/toy"), "toy", label, seed, 20, task, measured)


def fields(*networks):
    (cell,) = cells_of(networks)
    values = row(cell)
    assert len(values) == len(TITLES)
    return [(field.value, field.spread) for field in values]


def test_one_seed_has_its_reach_with_two_standard_errors():
    assert fields(network([0, 0.1, 0.5, 0.97, 1], error=0.02)) == [
        ("toy", "toy"), ("LSTM", "1 seed"), ("20", ""), ("85.0", ""), ("55.0", ""), ("83.2", ""),
        ("10", "[10–20]"), ("3", ""),
    ]  # fmt: skip


def test_several_seeds_have_their_median_and_range_without_those_at_chance():
    networks = [
        network([0, 0.1, 0.5, 0.97, 1]),
        network([0, 0.1, 1, 1, 1], seed=1, furthest=5),
        network([0, 0, 0, 0.0, 0.01], seed=2, at_chance=True, furthest=16),
    ]
    *_, half, reach, furthest = fields(*networks)
    assert half == ("64.4", "25.0–85.0")
    assert reach == ("2", "2–10, 1 at chance")
    assert furthest == ("3", "3–5")


def test_at_chance_there_is_no_reach():
    *_, reach, furthest = fields(network([0, 0, 0, 0, 0.01], at_chance=True))
    assert (reach, furthest) == (("at chance", ""), ("–", ""))


def test_where_labels_are_numbers_the_score_is_the_loss():
    _, _, _, score, tenth, half, reach, _ = fields(network([-1, -0.5, 0, 0.99, 1], task=NUMBER))
    assert [value for value, _ in (score, tenth, half, reach)] == ["0.100", "0.600", "0.105", "10"]


def test_a_row_for_each_run_and_cell_is_printed():
    networks = [network([0, 0, 1, 1, 1]), network([0, 0, 1, 1, 1], label="GRU")]
    output = Console(width=120, file=io.StringIO())
    output.print(rich_reach(networks))
    assert output.file.getvalue().count("toy") == 4  # the task and the folder of each
    assert "GRU" in output.file.getvalue()


def test_the_csv_has_a_row_for_each_network_and_empty_fields_at_chance():
    networks = [network([0, 0.1, 0.5, 0.97, 1]), network([0, 0, 0, 0, 0.01], seed=1, at_chance=True)]
    first, second = csv.DictReader(io.StringIO(reach_csv(networks)))
    assert first == {
        "task": "toy", "label": "LSTM", "seed": "0", "length": "20", "examples": "100", "score": "accuracy",
        "constant_answer": "0.25", "intact": "0.85", "last_tenth": "0.55", "last_half": first["last_half"],
        "at_chance": "0", "reach_95": "10", "reach_95_low": "10", "reach_95_high": "10",
        "furthest_single_input": "3", "examples_single_input": "50",
    }  # fmt: skip
    assert float(first["last_half"]) == pytest.approx(0.25 + 0.97 * 0.6)
    assert (second["at_chance"], second["reach_95"], second["reach_95_low"]) == ("1", "", "")


def test_the_csv_of_the_curves_has_what_was_measured_at_each_distance():
    rows = list(csv.DictReader(io.StringIO(curves_csv([network([0, 0.1, 0.5, 0.97, 1])]))))
    assert [row["steps"] for row in rows] == [str(k) for k in range(21)]
    assert [row["score_left"] for row in rows if row["score"]] == ["0", "0.1", "0.5", "0.97", "1"]
    assert [row["move"] for row in rows] == ["0.5"] * 4 + ["0.001"] * 13 + [""] * 4


@pytest.mark.parametrize("task", [CLASSES, NUMBER])
def test_the_figure_has_a_line_for_each_network_and_points_where_it_reaches(task):
    networks = [
        network([0, 0.1, 0.5, 0.97, 1], task=task),
        network([0, 0, 0, 0, 0.01], seed=1, at_chance=True, task=task),
        network([-3, 0, 0.2, 0.3, 1], label="GRU", task=task),
    ]
    figure = draw(networks)
    left, right = figure.axes
    lines, points = (
        [[line for line in panel.lines if (len(line.get_xdata()) > 2) is long] for panel in (left, right)]
        for long in (True, False)
    )
    assert [len(part) for part in lines] == [3, 3]
    reached = [[float(line.get_xdata()[0]) for line in part if line.get_marker() == "o"] for part in points]
    assert reached == [[10, 20], [3, 3]]
    assert style.png(figure).startswith(b"\x89PNG")
