"""Fixed points of made-up networks: the figure, its captions, and the table on the page and in the terminal."""

import io
import json

import numpy as np
import pytest
from rich.console import Console
from synthetic_diagnosis import layer_record, points_record, write_diagnosis
from synthetic_run import write_member, write_run, write_task

from rnnjax.report.figures import style
from rnnjax.report.figures.fixed_points import fixed_points
from rnnjax.report.sections.fixed_points import rich_fixed_points, sections, table_rows
from rnnjax.report.summary.fixed_points import PointCounts
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.text.fixed_points import counts_text, fixed_point_captions
from rnnjax.runs.reader import load_run


@pytest.fixture
def run(tmp_path):
    """A GRU of two seeds with points, an LSTM without."""
    run = write_run(tmp_path / "run", "flipflop")
    write_task(run, "signals", "step", "sequence", loss="mean squared error")
    for seed, points in ((1, {0: 7, 1: 3}), (0, {0: 8, 1: 12, 2: 1, 5: 2, "slow": 1})):
        folder = write_member(run, "GRU", seed, test=1.0)
        write_diagnosis(folder, "end", layer_record("GRU"), fixed_points=points_record(points, far=3 * seed))
    write_diagnosis(write_member(run, "LSTM", test=1.0), "end", layer_record("LSTM"))
    return run


def test_the_points_are_counted_by_unstable_directions(run):
    header, first, second = table_rows(seed_groups(load_run(run)))
    directions = ["1 unstable direction", "2 unstable directions", "3 unstable directions"]
    assert header[:5] == ["cell, seed", "stable", *directions]
    assert header[5:] == ["over 3", "slow", "candidates", "left out"]
    assert first == ["GRU, seed 0", "8", "12", "1", "0", "2", "1", "120", "0"]
    assert second == ["GRU, seed 1", "7", "3", "0", "0", "0", "0", "53", "3"]


def test_a_caption_is_of_the_lowest_seed_and_of_all(run):
    (caption,) = fixed_point_captions(seed_groups(load_run(run)))
    assert caption.label == "GRU"
    assert caption.text == (
        "Seed 0 has 8 stable points, 12 saddles with 1 unstable direction, 1 with 2, 2 with 5 and 1 slow point. The "
        "three axes hold 87.5% of the variance of the states. The 2 seeds have 7 to 8 stable points."
    )


def test_points_are_listed_in_a_sentence():
    assert counts_text(PointCounts(1, {}, 0)) == "1 stable point, no saddles and no slow points"
    assert counts_text(PointCounts(0, {2: 1, 3: 4, 4: 1, 6: 2, 7: 1}, 3)) == (
        "no stable points, 1 saddle with 2 unstable directions, 4 with 3, 1 with 4, 3 with more and 3 slow points"
    )


@pytest.mark.parametrize("columns", [style.WIDE, style.NARROW])
def test_paths_and_points_are_drawn_in_two_planes(run, columns):
    figure = fixed_points(seed_groups(load_run(run)), columns)
    first, second = figure.axes
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["GRU, seed 0"] * 2
    assert (first.get_xlabel(), first.get_ylabel()) == (
        "axis 1 (50.0% of the variance)",
        "axis 2 (25.0% of the variance)",
    )
    assert second.get_ylabel() == "axis 3 (12.5% of the variance)"
    path, slow, several, two, saddles, stable = first.get_lines()
    np.testing.assert_array_equal(path.get_ydata(), [0.0, 0.5, 1.0])
    assert [len(points.get_xdata()) for points in (slow, several, two, saddles, stable)] == [1, 2, 1, 12, 8]
    np.testing.assert_array_equal(saddles.get_ydata(), np.ones(12))
    np.testing.assert_array_equal(stable.get_xdata(), np.arange(8))
    assert stable.get_color() == style.CELL_COLOURS["GRU"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "states along held-out sequences", "stable point (in the cell's colour)", "saddle with 1 unstable direction",
        "2 unstable directions", "3 or more unstable directions", "slow point",
    ]  # fmt: skip


def test_the_page_and_the_terminal_show_the_points_where_they_were_searched_for(run, tmp_path):
    figure, table = sections(seed_groups(load_run(run)), tmp_path)
    assert (figure.name, table.name) == ("fixed_points", "fixed_points_table")
    assert "members/*/diagnosis-end.json" in figure.html
    assert "The lines are the states along held-out sequences" in figure.html
    assert "<td>120</td>" in table.html
    assert (tmp_path / "fixed_points.png").is_file()
    console = Console(file=io.StringIO(), width=120)
    console.print(rich_fixed_points(load_run(run)))
    assert "GRU, seed 1" in console.file.getvalue()
    for file in run.glob("members/*/diagnosis-end.json"):
        record = json.loads(file.read_text())
        record.pop("fixed_points", None)
        file.write_text(json.dumps(record))
    assert sections(seed_groups(load_run(run)), tmp_path) == []
    assert not (tmp_path / "fixed_points.png").exists()
    assert rich_fixed_points(load_run(run)) is None


def test_a_search_without_points_is_a_row_of_zeros(tmp_path):
    run = write_run(tmp_path / "none", "flipflop")
    write_diagnosis(write_member(run, "GRU"), "end", layer_record("GRU"), fixed_points=points_record({}, far=4))
    groups = seed_groups(load_run(run))
    assert table_rows(groups)[1] == ["GRU, seed 0", "0", "0", "0", "4", "4"]
    assert len(fixed_points(groups).axes[0].get_lines()) == 1
    assert fixed_point_captions(groups)[0].text.startswith("Has no stable points, no saddles and no slow points.")
