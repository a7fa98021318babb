"""A study of 24 labels × 3 seeds: what its page shows, and that nothing in its figures runs out of them."""

import itertools
import re

import numpy as np
import pytest
from synthetic_diagnosis import layer_record, write_diagnosis
from synthetic_run import write_member, write_run

from rnnjax.report.figures import style
from rnnjax.report.figures.gradient_paths import belt_share
from rnnjax.report.figures.scores import accuracy_against_distance, learning_curves
from rnnjax.report.run_report import write_report
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run

LAGS = np.arange(41)
INITS = ("chrono=201", "recurrent_init=orthogonal")


@pytest.fixture
def study(tmp_path):
    run = write_run(tmp_path / "run")
    for cell, init, value in itertools.product(("SimpleRNN", "LSTM", "GRU"), INITS, (1e-4, 1e-3, 3e-3, 1e-2)):
        for seed in range(3):
            folder = write_member(
                run, f"{cell} {init} learning_rate={value}", seed, curves={"h": [0.9**LAGS] * 2},
                by_distance={10: 0.9, 30: 0.6 + 0.1 * seed}, varied={"learning_rate": value, "cell.init": init},
            )  # fmt: skip
            write_diagnosis(folder, "end", layer_record(cell, 0.9**LAGS, 0.5**LAGS))
    return run


@pytest.mark.slow
def test_the_page_shows_figures_of_the_first_and_numbers_of_all(study):
    page = write_report(study)
    text = page.read_text(encoding="utf-8")
    assert "The first 12 of the 24 rows of the table have figures and texts below" in text
    section = re.search(r'<section id="gradient_by_lag">(.*?)</section>', text, re.DOTALL)[1]
    assert section.count("<li style=") == 12
    section = re.search(r'<section id="sweep_learning_rate">(.*?)</section>', text, re.DOTALL)[1]
    assert section.count("<li style=") == 6
    table, every = re.findall(r"<tbody>(.*?)</tbody>", text, re.DOTALL)[:2]
    assert (table.count("<tr>"), every.count("<tr>")) == (24, 72)
    assert len(re.search("<h1>(.*?)</h1>", text)[1]) < 500
    assert "and 20 others succeed only partly" in text
    assert page.stat().st_size < 5_000_000


@pytest.mark.parametrize("draw", [accuracy_against_distance, learning_curves, belt_share])
@pytest.mark.parametrize("columns", [style.WIDE, style.NARROW])
def test_the_legend_stays_within_the_figure_and_leaves_room_for_the_curves(study, draw, columns):
    figure = draw(seed_groups(load_run(study))[: style.MAX_LABELS], columns)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert len(legend.get_texts()) > style.MAX_LABELS
    assert legend.get_window_extent().x1 <= 1.02 * figure.bbox.width
    assert figure.axes[0].get_window_extent().height > 0.25 * figure.bbox.height
    assert max(line.get_linewidth() for line in figure.axes[0].get_lines()) < 6


def test_short_names_stand_side_by_side_as_many_as_fit():
    assert style.legend_columns(["LSTM", "GRU", "SimpleRNN", "guessing"], style.WIDE, 6, points=9.5) == 6
    assert style.legend_columns(["LSTM", "GRU", "SimpleRNN", "guessing"], style.NARROW, 2, points=9.5) == 2
    assert style.legend_columns(["a" * 50] * 12, style.WIDE, 6, points=9.5) == 2
    assert style.legend_columns(["a" * 200] * 2, style.WIDE, 6, points=9.5) == 1
