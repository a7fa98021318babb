import numpy as np
import pytest
from synthetic_diagnosis import LAGS, layer_record, swap_record, update_records, write_diagnosis
from synthetic_run import write_member, write_run, write_symbols_task

from rnnjax.report.figures import style
from rnnjax.report.figures.dynamics import lyapunov, swaps, updates
from rnnjax.report.figures.gates import gates, gates_of_the_detour, into_gates
from rnnjax.report.figures.gradient_paths import belt_and_detour, belt_share, loss_decay
from rnnjax.report.figures.panels import gate_colours, heading
from rnnjax.report.sections.diagnosis_figures import FIGURES
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run

BOTH = (style.WIDE, style.NARROW)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def groups_of(run):
    return seed_groups(load_run(run))


def diagnose(run, label="LSTM", seed=0, **moments):
    """A member with a layer record for each moment."""
    folder = write_member(run, label, seed)
    for when, record in moments.items():
        write_diagnosis(folder, when, record)
    return folder


def lines_of(panel, colour, dash):
    return [
        line.get_ydata() for line in panel.get_lines() if (line.get_color(), line.get_linestyle()) == (colour, dash)
    ]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_belt_and_detour_are_drawn_at_both_moments(run):
    start, end = (layer_record("LSTM", belt**LAGS, other**LAGS, keep=0.5) for belt, other in ((0.6, 0.8), (0.9, 0.7)))
    diagnose(run, start=start, end=end)
    figure = belt_and_detour(groups_of(run))
    (panel,) = figure.axes
    blue = style.CELL_COLOURS["LSTM"]
    for colour, dash, rate in ((style.FAINT, "-", 0.6), (style.FAINT, "--", 0.8), (blue, "-", 0.9), (blue, "--", 0.7)):
        (values,) = lines_of(panel, colour, dash)
        np.testing.assert_allclose(values[1:], np.log10(rate) * LAGS[1:], atol=1e-12)
        assert np.isnan(values[0])
    (whole,) = lines_of(panel, blue, ":")
    np.testing.assert_allclose(whole, np.log10(0.9**LAGS + 0.7**LAGS), atol=1e-12)
    assert "band: 8 of 10 reviews (one seed)" in legend_of(figure)


def test_the_decay_of_one_loss_is_drawn_where_the_loss_reads_every_step(run, tmp_path):
    diagnose(run, start=layer_record("LSTM", decay=0.5**LAGS))
    assert loss_decay(groups_of(run)) is None  # the whole gradient shows it
    (panel,) = loss_decay(groups_of(write_symbols_task(tmp_path / "characters"))).axes
    (start,) = lines_of(panel, style.FAINT, "-")
    (end,) = lines_of(panel, style.CELL_COLOURS["GRU"], "-")
    np.testing.assert_allclose(start, np.log10(0.8) * LAGS, atol=1e-5)
    np.testing.assert_allclose(end, np.log10(0.9) * LAGS, atol=1e-5)


def test_a_cell_without_a_belt_has_no_line_for_it(run):
    diagnose(run, "SimpleRNN", end=layer_record("SimpleRNN", 0.0, 0.7**LAGS))
    (panel,) = belt_and_detour(groups_of(run)).axes
    assert lines_of(panel, style.CELL_COLOURS["SimpleRNN"], "-") == []
    assert [text.get_text() for text in panel.texts] == ["no belt: all is detour"]


def test_the_legend_says_what_the_bands_are(run):
    for seed in range(3):
        diagnose(run, "LSTM", seed, end=layer_record("LSTM", (0.9 - 0.1 * seed) ** LAGS, keep=0.5))
    for seed in range(2):
        diagnose(run, "GRU", seed, end=layer_record("GRU", (0.9 - 0.1 * seed) ** LAGS, keep=0.5))
    for draw in (belt_and_detour, belt_share, into_gates):
        labels = legend_of(draw(groups_of(run)))
        assert [text for text in labels if text.startswith("band")] == [
            "band: between the two seeds",
            "band: 95% interval of the mean over the seeds",
        ]


def test_the_share_of_every_cell_is_in_one_panel_the_start_dashed(run):
    diagnose(run, start=layer_record("LSTM", 1.0, 3.0 + 0 * LAGS), end=layer_record("LSTM", 3.0, 1.0 + 0 * LAGS))
    diagnose(run, "GRU", start=layer_record("GRU", 1.0, 1.0 + 0 * LAGS))
    (panel,) = belt_share(groups_of(run)).axes
    (start,), (end,) = (lines_of(panel, style.CELL_COLOURS["LSTM"], dash) for dash in ("--", "-"))
    np.testing.assert_array_equal(start[1:], 0.25)
    np.testing.assert_array_equal(end[1:], 0.75)
    (other,) = lines_of(panel, style.CELL_COLOURS["GRU"], "--")
    np.testing.assert_array_equal(other[1:], 0.5)
    assert np.isnan(other[0])


def test_the_band_of_a_share_stays_within_0_and_100_percent(run):
    for seed, share in enumerate([0.1, 0.9, 0.99]):
        values = {"f": share}
        diagnose(run, "LSTM", seed, end=layer_record("LSTM", share, 1 - share + 0 * LAGS, keep=0.5, values=values))
    for draw in (belt_share, gates):
        (band,) = draw(groups_of(run)).axes[0].collections
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == (0, 1)


def test_the_areas_of_the_gates_are_stacked_to_the_whole(run):
    weights = {"r": 1.0, "u": 2.0, "n": 1.0}
    diagnose(run, "GRU", start=layer_record("GRU", 0.9**LAGS, 0.8**LAGS, weights=weights))
    diagnose(run, "SimpleRNN", start=layer_record("SimpleRNN"))
    start, end = gates_of_the_detour(groups_of(run)).axes
    borders = [sorted(set(area.get_paths()[0].vertices[:, 1].round(9))) for area in start.collections]
    assert borders == [[0.0, 0.25], [0.25, 0.75], [0.75, 1.0]]
    assert not end.collections
    assert [text.get_text() for text in end.texts] == ["not measured"]


def test_gates_that_open_are_drawn_with_their_horizon_and_contents_are_not(run):
    values = {"i": 0.3, "f": 0.9, "g": -0.1, "o": 0.5}
    diagnose(run, start=layer_record("LSTM", keep=0.5, values=values), end=layer_record(keep=0.9, values=values))
    diagnose(run, "SimpleRNN", end=layer_record("SimpleRNN", values={"h": 0.0}))
    (panel,) = gates(groups_of(run)).axes
    colours = gate_colours("ifgo")
    for gate in "ifo":
        (drawn,) = lines_of(panel, colours[gate], "-")
        np.testing.assert_allclose(drawn, values[gate])
    assert lines_of(panel, colours["g"], "-") == []
    assert [text.get_text() for text in panel.texts] == ["horizon 2 → 10 words"]


def test_the_gradient_at_each_gate(run):
    diagnose(run, end=layer_record("LSTM", 0.9**LAGS, 0.5**LAGS, weights={"i": 1, "f": 2, "g": 4, "o": 8}))
    (panel,) = into_gates(groups_of(run)).axes
    (values,) = lines_of(panel, gate_colours("ifgo")["g"], "-")
    np.testing.assert_allclose(values, np.log10(4 * 0.5**LAGS), atol=1e-12)


def test_spectrum_settling_and_products(run):
    singular = {"lag": [1, 10], "largest": [0.1, -2.0], "smallest": [-1.0, float("-inf")]}
    diagnose(run, end=layer_record(exponents=[0.2, -0.1, float("-inf")], singular=singular))
    for columns in BOTH:
        spectrum, settling, products = lyapunov(groups_of(run), columns).axes
        values = spectrum.get_lines()[0]
        np.testing.assert_array_equal(values.get_xdata(), [0, 0.5, 1])
        np.testing.assert_array_equal(values.get_ydata(), [0.2, -0.1, np.nan])
        np.testing.assert_array_equal(settling.get_lines()[0].get_ydata(), [0.5, -0.2, 0.2])
        np.testing.assert_array_equal(products.get_lines()[1].get_ydata(), [-1, style.FLOOR])
        assert 0.0 in [line.get_ydata()[0] for line in spectrum.get_lines()[1:]]


def test_update_ratios_are_the_median_seed_above_a_guide(run):
    for seed, ratio in enumerate([1e-3, 1e-2, 1e-4]):
        update_records(write_member(run, "GRU", seed), {"Dense_0/bias": [float("nan"), ratio]}, [0, 10])
    (panel,) = updates(groups_of(run)).axes
    guide, values = panel.get_lines()
    assert set(guide.get_ydata()) == {-3.0}
    np.testing.assert_array_equal(values.get_xdata(), [0, 10])
    np.testing.assert_allclose(values.get_ydata(), [np.nan, -3.0])


def test_exchanges_of_all_seeds_measured_beside_predicted(run):
    for seed in range(2):
        record = swap_record([10 + seed], [-10.0], [0.1])
        write_diagnosis(write_member(run, "LSTM", seed), "end", layer_record(), swaps=record)
    (panel,) = swaps(groups_of(run)).axes
    predicted, measured = panel.get_lines()
    np.testing.assert_array_equal(measured.get_xdata(), [10, 11])
    np.testing.assert_allclose(measured.get_ydata(), [1, 1])
    np.testing.assert_allclose(predicted.get_ydata(), [-1, -1])


def test_what_was_not_measured_is_not_drawn(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS] * 2})
    assert [section.draw(groups_of(run), columns) for section in FIGURES for columns in BOTH] == [None] * 18
    assert [section.captions(groups_of(run)) for section in FIGURES] == [[]] * 9


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_any_numbers_can_be_drawn_and_told(run, value):
    """What no number is becomes a gap, and sentences are found for it."""
    curve = np.full(41, value)
    broken = layer_record("LSTM", curve, curve, keep=value, values={"f": value}, exponents=[value], horizon=value)
    record = swap_record([10, 20], [value, 1.0], [value, value])
    for seed in range(3):
        folder = diagnose(run, "LSTM", seed, start=broken)
        write_diagnosis(folder, "end", broken, swaps=record)
        update_records(folder, {"Dense_0/bias": [value, 1.0, value]}, [0, 10, 20])
    groups = groups_of(run)
    for section in FIGURES:
        if figure := section.draw(groups, style.WIDE):
            figure.set_dpi(30)
            assert style.png(figure).startswith(b"\x89PNG")
        assert all(caption.label == "LSTM" and caption.text.endswith(".") for caption in section.captions(groups))


def test_a_gate_of_another_cell_has_a_colour_of_its_own():
    colours = gate_colours(["f", "a", "b"])
    assert len(set(colours.values())) == 3


def test_the_title_of_a_panel_is_divided_between_the_names_of_modules():
    _, (panel, *_) = style.panels(3, style.WIDE, 2.0)
    title = "OptimizedLSTMCell Classifier/encoder_of_the_first_sentence/Bidirectional_0/RNN_0 (backwards)"
    heading(panel, title)
    lines = panel.get_title(loc="left").split("\n")
    assert len(lines) > 2
    assert "".join(line if line.endswith("/") else f"{line} " for line in lines).strip() == title
