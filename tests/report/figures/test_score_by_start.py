"""The figure of what is learnt against half-life and belt share at the start, and its rank correlations."""

import numpy as np
import pytest
from synthetic_diagnosis import layer_record, write_diagnosis
from synthetic_run import write_member, write_run

from rnnjax.report.figures.score_by_start import score_by_start
from rnnjax.report.run_report import write_report
from rnnjax.report.summary.score_by_start import rank_correlation, starts_and_scores
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.text.headline import score_by_start_captions
from rnnjax.runs.reader import load_run

LAGS = np.arange(41)
CELLS = {f"Cell {k}": (0.5 + 0.09 * k, 0.55 + 0.08 * k) for k in range(5)}  # decay a step, and test accuracy


def write_cells(path, cells=CELLS):
    run = write_run(path)
    for label, (decay, accuracy) in cells.items():
        for seed in range(2):
            norms = decay**LAGS
            folder = write_member(run, label, seed, curves={"h": [norms] * 2}, test=accuracy, varied={})
            write_diagnosis(folder, "start", layer_record("GRU", norms * (1 - accuracy), norms * accuracy, keep=decay))
    return run


def test_what_is_learnt_is_beside_what_was_there_at_the_start(tmp_path):
    points = starts_and_scores(seed_groups(load_run(write_cells(tmp_path / "run"))))
    assert [point.label for point in points] == list(CELLS)
    for point, (decay, accuracy) in zip(points, CELLS.values(), strict=True):
        assert point.half_life == pytest.approx(np.log(2) / -np.log(decay), rel=1e-3)
        assert point.score == pytest.approx(accuracy)
    assert rank_correlation(points, "half_life", losses=False) == pytest.approx(1)
    assert rank_correlation(points, "half_life", losses=True) == pytest.approx(-1)
    shares = [point.belt_share for point in points]
    expected = np.sign(np.diff(shares)).mean()  # the accuracies rise from cell to cell
    assert abs(expected) == 1
    assert rank_correlation(points, "belt_share", losses=False) == pytest.approx(expected)


def test_the_figure_has_a_point_for_each_cell(tmp_path):
    groups = seed_groups(load_run(write_cells(tmp_path / "run")))
    half_lives, shares = score_by_start(groups).axes
    for panel in (half_lives, shares):
        assert [line.get_label() for line in panel.get_lines()] == list(CELLS)
        assert [line.get_ydata()[0] for line in panel.get_lines()] == pytest.approx([s for _, s in CELLS.values()])
    assert half_lives.get_xscale() == "log"
    assert half_lives.get_xlabel() == "half-life at the start, words"
    assert not half_lives.texts
    (caption,) = score_by_start_captions(groups)
    assert caption.label == "5 cells"
    assert caption.text.startswith("Spearman's rank correlation of what is learnt: +1.00 with the half-life")


def test_a_run_of_few_cells_has_no_such_figure(tmp_path):
    few = dict(list(CELLS.items())[:4])
    run = write_cells(tmp_path / "run", few)
    assert score_by_start(seed_groups(load_run(run))) is None
    assert score_by_start_captions(seed_groups(load_run(run))) == []


@pytest.mark.slow
def test_the_page_shows_it(tmp_path):
    run = write_cells(tmp_path / "run")
    page = write_report(run).read_text()
    assert "What the start says about the end" in page
    assert (run / "figures" / "score_by_start.png").exists()


def test_a_half_life_without_end_is_beyond_all_others(tmp_path):
    groups = seed_groups(load_run(write_cells(tmp_path / "run", CELLS | {"Cell 5": (1.0, 0.7)})))
    half_lives = score_by_start(groups).axes[0]
    (mark,) = half_lives.texts
    assert mark.get_text() == "∞"
    drawn = {line.get_label(): line.get_xdata()[0] for line in half_lives.get_lines()}
    assert drawn["Cell 5"] > max(x for label, x in drawn.items() if label in CELLS)
