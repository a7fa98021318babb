import re

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from page_reader import columns, of_kind
from scipy import stats
from synthetic_run import write_member, write_run, write_sweep

from rnnjax.report.figures import style
from rnnjax.report.figures.sweep import group_points, sweeps
from rnnjax.report.interactive.sweep import accuracy_against_setting
from rnnjax.report.run_report import write_report
from rnnjax.runs.reader import load_run

SEEDS = {0.001: [0.5, 0.6, 0.7], 0.003: [0.9, 0.95, 1.0], 0.1: [np.nan, 0.5, 0.6]}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


@pytest.fixture
def swept(run):
    """A learning rate swept over three values from three seeds, of which one of the LSTM's diverged at 0.1."""
    accuracies = {("LSTM", value): seeds for value, seeds in SEEDS.items()}
    return write_sweep(run, "learning_rate", accuracies | {("GRU", 0.001): [0.8], ("GRU", 0.003): [0.7]})


def drawn(run):
    (sweep,) = sweeps(load_run(run))
    return sweep, sweep.figure.draw(sweep.series, style.WIDE)


def test_the_points_are_the_seeds_that_have_finished(swept):
    (sweep,) = sweeps(load_run(swept))
    series = {group.label: group_points(group, "learning_rate") for group in sweep.series}
    assert set(series) == {"LSTM", "GRU"}
    np.testing.assert_array_equal(series["LSTM"].values, [0.001, 0.003, 0.1])
    for scores, expected in zip(series["LSTM"].seeds, ([0.5, 0.6, 0.7], [0.9, 0.95, 1.0], [0.5, 0.6]), strict=True):
        np.testing.assert_array_equal(scores, expected)
    np.testing.assert_allclose(series["LSTM"].means, [0.6, 0.95, 0.55])
    np.testing.assert_array_equal(series["GRU"].means, [0.8, 0.7])


def test_the_band_is_the_interval_of_the_mean_from_three_seeds_on(swept):
    (sweep,) = sweeps(load_run(swept))
    low, high = group_points(next(group for group in sweep.series if group.label == "LSTM"), "learning_rate").band
    expected = stats.t.interval(0.95, 2, loc=0.6, scale=stats.sem(SEEDS[0.001]))
    np.testing.assert_allclose((low[0], high[0]), expected)
    assert high[1] == 1.0  # no accuracy is above 1
    assert np.isnan([low[2], high[2]]).all()


def test_the_figure_has_a_dot_a_seed_and_a_line_a_cell_over_a_logarithm(swept):
    _, figure = drawn(swept)
    (panel,) = figure.axes
    lines = {line.get_label(): line for line in panel.get_lines() if not line.get_label().startswith("_")}
    np.testing.assert_allclose(lines["LSTM"].get_xydata(), [[0.001, 0.6], [0.003, 0.95], [0.1, 0.55]])
    dots = [line.get_ydata() for line in panel.get_lines() if line.get_label().startswith("_")]
    assert sorted(np.concatenate(dots)) == [0.5, 0.5, 0.6, 0.6, 0.7, 0.7, 0.8, 0.9, 0.95, 1.0]
    assert panel.get_xscale() == "log"
    assert [text.get_text() for text in panel.get_xticklabels()] == ["0.001", "0.003", "0.1"]
    assert sum(isinstance(source, PolyCollection) for source in panel.collections) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["GRU", "LSTM"]


def test_values_within_one_power_of_ten_or_at_zero_lie_on_a_plain_axis(run, tmp_path):
    write_sweep(run, "clip", {("LSTM", 1): [0.5], ("LSTM", 9): [0.6]})
    assert drawn(run)[1].axes[0].get_xscale() == "linear"
    other = write_sweep(write_run(tmp_path / "other"), "clip", {("LSTM", 0): [0.5], ("LSTM", 100): [0.6]})
    assert drawn(other)[1].axes[0].get_xscale() == "linear"


def test_on_the_screen_it_holds_the_same_numbers(swept):
    text = write_report(swept).read_text(encoding="utf-8")
    sources = [columns(source) for source in of_kind(text, "ColumnDataSource")]
    means = [source for source in sources if "setting" in source]
    np.testing.assert_allclose(means[1]["y"], [0.6, 0.95, 0.55])
    assert list(means[1]["setting"]) == ["0.001", "0.003", "0.1"]
    bands = [source for source in sources if set(source) == {"x", "low", "high"}]
    expected = stats.t.interval(0.95, 2, loc=0.6, scale=stats.sem(SEEDS[0.001]))
    (band,) = bands  # of the GRU there is none, for it has one seed
    np.testing.assert_array_equal(band["x"], [0.001, 0.003])  # at 0.1 two seeds are left
    np.testing.assert_allclose((band["low"][0], band["high"][0]), expected)
    assert len(of_kind(text, "LogAxis")) == 1


def test_the_section_comes_first_with_its_picture_and_says_where_it_is_best_and_what_diverged(swept):
    text = write_report(swept).read_text(encoding="utf-8")
    name, section = re.findall(r'<section id="(\w+)">(.*?)</section>', text, re.DOTALL)[0]
    assert name == "sweep_learning_rate"
    assert "<b>LSTM</b> Best at learning_rate 0.003: 95.0% right (mean of 3 seeds). Diverged at 0.1." in section
    assert "<b>GRU</b> Best at learning_rate 0.001: 80.0% right." in section
    assert section.count('<div class="live"') == section.count("<img") == 1
    assert (swept / "figures" / "sweep_learning_rate.png").exists()


def test_other_settings_and_options_of_a_cell_make_lines_of_their_own(run):
    for chrono in (100, 200):
        for clip, init in ((1, "identity"), (10, "orthogonal")):
            label = f"GRU recurrent_init={init} chrono={chrono} clip={clip}"
            write_member(run, label, varied={"cell.init": init, "cell.chrono": chrono, "clip": clip})
    scores = {sweep.name: [group.label for group in sweep.series] for sweep in sweeps(load_run(run))}
    inits = [f"GRU recurrent_init={init} clip={clip}" for clip, init in ((1, "identity"), (10, "orthogonal"))]
    assert scores["cell.chrono"] == inits
    assert scores["clip"] == [
        *("GRU recurrent_init=identity chrono=100", "GRU recurrent_init=identity chrono=200"),
        *("GRU recurrent_init=orthogonal chrono=100", "GRU recurrent_init=orthogonal chrono=200"),
    ]
    assert set(scores) == {"cell.chrono", "clip"}  # not cell.init, which is a word
    write_report(run)
    assert (run / "figures" / "sweep_cell_chrono.png").exists()


def test_one_value_words_or_none_have_no_figure(run):
    write_member(run, "LSTM")
    write_member(run, "GRU a", varied={"clip": 1, "cell.init": "chrono"})
    write_member(run, "GRU b", varied={"clip": 1, "cell.init": "identity"})
    assert sweeps(load_run(run)) == ()


def test_a_sweep_of_which_nothing_has_finished_is_left_out(run):
    write_sweep(run, "clip", {("LSTM", 1): [np.nan], ("LSTM", 9): [np.nan]})
    sweep, figure = drawn(run)
    assert figure is None
    assert accuracy_against_setting(sweep) == ()
    assert 'id="sweep_clip"' not in write_report(run).read_text(encoding="utf-8")


def test_of_many_lines_the_first_are_shown_and_it_says_so(run):
    cells = [f"GRU chrono={n}" for n in range(10, 23)]
    write_sweep(run, "clip", {(cell, value): [0.5] for cell in cells for value in (1, 2)})
    sweep, figure = drawn(run)
    assert (len(sweep.series), sweep.total) == (12, 13)
    assert len(figure.legends[0].get_texts()) == 12
    assert "Shown are the first 12 of 13 lines." in sweep.figure.reading
