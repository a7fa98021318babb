import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from synthetic_run import write_member, write_run

from rnnjax.report.figures import style
from rnnjax.report.figures.gradients import gradient_by_lag, gradient_over_training
from rnnjax.report.figures.scores import accuracy_against_distance, learning_curves
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run

LAGS = np.arange(41)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def groups_of(run):
    return seed_groups(load_run(run))


def line(panel, number):
    return panel.get_lines()[number].get_ydata()


def test_line_and_band_are_the_median_over_seeds_at_each_lag(run):
    for seed, rate in enumerate([0.5, 0.8, 0.9]):
        write_member(run, "GRU", seed, curves={"h": [0.7**LAGS, rate**LAGS]})
    panel = gradient_by_lag(groups_of(run)).axes[0]
    np.testing.assert_allclose(line(panel, 0), np.log10(0.7) * LAGS, atol=1e-12)
    np.testing.assert_allclose(line(panel, 1), np.log10(0.8) * LAGS, atol=1e-12)
    corners = panel.collections[1].get_paths()[0].vertices[:, 1]
    assert corners.min() == pytest.approx(np.log10(0.5 * 0.8**40))
    assert corners.max() == pytest.approx(np.log10(2))
    assert "below 1% after 20 words" in [text.get_text() for text in panel.texts]


def test_lags_that_few_reviews_reach_are_drawn_nowhere(run):
    counts = [64] * 20 + [7] * 11 + [6] * 10
    for seed in range(2):
        write_member(run, "GRU", seed, curves={"h": [0.9**LAGS] * 2}, counts=counts)
    panel = gradient_by_lag(groups_of(run)).axes[0]
    np.testing.assert_array_equal(np.isfinite(line(panel, 1)), LAGS <= 30)
    assert panel.collections[1].get_paths()[0].vertices[:, 0].max() == 30
    shown = np.asarray(gradient_over_training(groups_of(run)).axes[0].collections[0].get_array()).reshape(2, 41)
    np.testing.assert_array_equal(np.isfinite(shown), np.tile(LAGS <= 30, (2, 1)))
    assert not panel.texts  # 0.9^30 is 4%: it does not come below 1% as far as was measured


def test_a_gradient_that_is_gone_at_once_is_marked_in_words(run):
    write_member(run, "GRU", curves={"h": [0.001**LAGS] * 2})
    assert [text.get_text() for text in gradient_by_lag(groups_of(run)).axes[0].texts] == ["below 1% one word back"]


def test_the_legend_calls_it_the_end_of_training_only_where_training_ended(run):
    def named():
        return [text.get_text() for text in gradient_by_lag(groups_of(run)).legends[0].get_texts()]

    write_member(run, "GRU", curves={"h": [0.9**LAGS] * 2})
    assert "end of training (in the cell's colour)" in named()
    write_member(run, "LSTM", curves={"h": [0.9**LAGS] * 2}, test=None)
    assert "last logged step (in the cell's colour)" in named()


def test_both_states_of_the_lstm_are_drawn(run):
    write_member(run, "LSTM", curves={"h": [0.5**LAGS] * 2, "c": [0.9**LAGS] * 2})
    panel = gradient_by_lag(groups_of(run)).axes[0]
    np.testing.assert_allclose(line(panel, 0), np.log10(0.9) * LAGS, atol=1e-12)
    assert [drawn.get_linestyle() for drawn in panel.get_lines()[:4]] == ["--", "-", "--", "-"]


def test_vanished_gradients_lie_on_the_floor_and_broken_ones_are_gaps(run):
    norms = np.ones(5) * [1, 0, 1e-42, np.inf, np.nan]
    np.testing.assert_array_equal(style.log10(norms), [0, -12, -12, np.nan, np.nan])
    write_member(run, "SimpleRNN", curves={"h": [norms, 0 * norms[:3]]})
    assert gradient_by_lag(groups_of(run)).axes[0].get_ylim()[0] < -12
    assert style.png(gradient_by_lag(groups_of(run))).startswith(b"\x89PNG")


def test_a_diverged_step_with_empty_lists_is_a_gap(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS, LAGS[:0]]})
    write_member(run, "LSTM", curves={"h": [LAGS[:0]] * 2, "c": [LAGS[:0]] * 2})
    assert style.png(gradient_by_lag(groups_of(run))).startswith(b"\x89PNG")
    shown = np.asarray(gradient_over_training(groups_of(run)).axes[0].collections[0].get_array()).reshape(2, 41)
    np.testing.assert_array_equal(np.isfinite(shown).sum(axis=1), [41, 0])


def test_a_diverged_step_whose_reviews_are_counted_is_a_gap(run):
    broken = np.where(LAGS == 5, np.inf, np.where(LAGS > 5, np.nan, 1.0))
    write_member(run, "GRU", curves={"h": [0.5**LAGS, broken]}, test=None)
    figure = gradient_by_lag(groups_of(run))
    np.testing.assert_array_equal(np.isfinite(line(figure.axes[0], 1)), LAGS < 5)
    assert style.png(figure).startswith(b"\x89PNG")
    shown = np.asarray(gradient_over_training(groups_of(run)).axes[0].collections[0].get_array()).reshape(2, 41)
    np.testing.assert_array_equal(np.isfinite(shown).sum(axis=1), [41, 5])


def test_the_heat_map_holds_step_by_lag_on_one_scale(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS, 0.9**LAGS, 0.8**LAGS]}, gradient_steps=[0, 10, 40])
    write_member(run, "LSTM", curves={"h": [0.1**LAGS], "c": [0.99**LAGS]})
    figure = gradient_over_training(groups_of(run))
    mesh, other = (panel.collections[0] for panel in figure.axes[:2])
    shown = np.asarray(mesh.get_array()).reshape(3, 41)
    np.testing.assert_allclose(shown, np.maximum(np.log10([[0.5], [0.9], [0.8]]) * LAGS, -12), atol=1e-12)
    assert mesh.norm is other.norm
    assert np.asarray(other.get_array()).min() == pytest.approx(np.log10(0.99) * 40)  # the memory c, not h


def test_accuracy_is_the_mean_over_seeds_beside_guessing(run):
    write_member(run, "GRU", 0, by_distance={10: 1.0, 20: 0.8})
    write_member(run, "GRU", 1, by_distance={10: 0.5, 20: 0.6})
    lines = {drawn.get_label(): drawn for drawn in accuracy_against_distance(groups_of(run)).axes[0].get_lines()}
    np.testing.assert_allclose(lines["GRU"].get_ydata(), [0.75, 0.7])
    assert set(lines["guessing"].get_ydata()) == {0.5}


def test_learning_curves_show_accuracy_and_loss(run):
    write_member(run, "GRU", validation=[(100, 0.6, 0.7), (200, float("inf"), 0.9)])
    right, loss = learning_curves(groups_of(run)).axes
    np.testing.assert_array_equal(right.get_lines()[0].get_xydata(), [[100, 0.7], [200, 0.9]])
    np.testing.assert_array_equal(loss.get_lines()[0].get_xydata(), [[100, 0.6]])


def test_what_was_not_measured_is_not_drawn(run):
    write_member(run, "GRU", validation=[], test=None)
    figures = (gradient_by_lag, gradient_over_training, accuracy_against_distance, learning_curves)
    assert [draw(groups_of(run)) for draw in figures] == [None] * 4


def test_a_label_keeps_its_colour_and_labels_differ():
    many = ["LSTM", "GRU", "SimpleRNN", *(f"GRU chrono={number}" for number in range(9))]
    assert len(set(style.colours(many).values())) == len(many)
    assert style.colours(["LSTM"])["LSTM"] == style.colours(many)["LSTM"]


def test_side_by_side_a_cell_keeps_its_hue_in_another_shade():
    colours = style.colours(["a: LSTM", "a: GRU", "b: LSTM", "b: GRU", "c: LSTM"])
    assert (colours["a: LSTM"], colours["a: GRU"]) == (style.CELL_COLOURS["LSTM"], style.CELL_COLOURS["GRU"])
    assert len(set(colours.values())) == 5
    for label in ("b: LSTM", "c: LSTM"):
        red, green, blue = to_rgb(colours[label])
        assert blue > green > red  # as in the LSTM's blue
    assert style.colours(["LSTM", "LSTM"]) == {"LSTM": style.CELL_COLOURS["LSTM"]}


def test_few_colours_on_file_keep_every_hue_apart(run):
    for label in ("LSTM", "GRU", "SimpleRNN", "GRU chrono=1"):
        write_member(run, label, curves={"h": [0.9**LAGS] * 2, "c": [0.95**LAGS] * 2})
    drawn = Image.open(io.BytesIO(style.png(gradient_by_lag(groups_of(run)))))
    assert drawn.mode == "P"
    shown = np.unique(np.asarray(drawn.convert("RGB")).reshape(-1, 3), axis=0) / 255
    for colour in (*style.colours(["LSTM", "GRU", "SimpleRNN", "GRU chrono=1"]).values(), "white"):
        assert np.abs(shown - to_rgb(colour)).max(axis=1).min() < 0.05
