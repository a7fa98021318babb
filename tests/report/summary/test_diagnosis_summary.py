import numpy as np
import pytest
from scipy import stats
from synthetic_diagnosis import LAGS, layer_record, write_diagnosis
from synthetic_run import write_member, write_run

from rnnjax.report.figures import style
from rnnjax.report.summary.diagnosis import (
    curve,
    diagnosed,
    gate_shares,
    group_layers,
    has_belt,
    layer_values,
    over_seeds,
)
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def seeds(run, records, when="end", label="LSTM"):
    """The group of one label, a seed for each layer record."""
    for seed, record in enumerate(records):
        write_diagnosis(write_member(run, label, seed), when, record)
    return next(group for group in seed_groups(load_run(run)) if group.label == label)


def students_interval(values):
    values = np.asarray(values)
    return stats.t.interval(0.95, len(values) - 1, loc=values.mean(axis=0), scale=stats.sem(values, axis=0))


def test_the_band_of_three_seeds_is_students_interval_of_what_is_shown(run):
    rates = [0.8, 0.9, 0.7]
    group = seeds(run, [layer_record("LSTM", rate**LAGS) for rate in rates])
    result = curve(group, 0, "end", "belt", style.log10)
    assert result.band == "interval"
    np.testing.assert_allclose(result.median[1:], (np.log10(0.8) * LAGS)[1:])
    low, high = students_interval([np.log10(rate) * LAGS[1:] for rate in rates])
    np.testing.assert_allclose(result.low[1:], low)
    np.testing.assert_allclose(result.high[1:], high)
    assert np.isnan(result.median[0])  # nothing has travelled yet


def test_the_band_of_two_seeds_is_between_them_and_of_one_over_its_examples(run):
    group = seeds(run, [layer_record("LSTM", rate**LAGS) for rate in (0.9, 0.5)])
    result = curve(group, 0, "end", "belt")
    assert result.band == "range"
    np.testing.assert_array_equal(result.low[1:], 0.5 ** LAGS[1:])
    np.testing.assert_array_equal(result.high[1:], 0.9 ** LAGS[1:])
    single = curve(seeds(run, [layer_record("GRU", 0.9**LAGS)], label="GRU"), 0, "end", "belt")
    assert single.band == "examples"
    np.testing.assert_allclose(single.high[1:] / single.low[1:], 4)


def test_a_seed_without_a_number_has_no_part_in_the_band(run):
    group = seeds(run, [layer_record("LSTM", belt) for belt in (0.9**LAGS, np.full(41, np.nan), 0.5**LAGS)])
    assert curve(group, 0, "end", "belt").band == "range"
    infinite = seeds(run, [layer_record("GRU", np.full(41, np.inf))], label="GRU")
    assert curve(infinite, 0, "end", "belt") is None
    assert curve(group, 0, "start", "belt") is None


def test_a_lag_that_few_examples_reach_is_not_measured(run):
    group = seeds(run, [layer_record("LSTM", 0.9**LAGS, count=[32] * 20 + [5] * 10 + [4] * 11)])
    np.testing.assert_array_equal(np.isfinite(curve(group, 0, "end", "belt").median), (LAGS > 0) & (LAGS < 30))


def test_seeds_of_unequal_length_are_told_as_far_as_all_reach(run):
    group = seeds(run, [layer_record("LSTM", 0.9 ** np.arange(lags), 0.5 ** np.arange(lags)) for lags in (5, 9, 7)])
    result = curve(group, 0, "end", "belt")
    for values in (result.median, result.low, gate_shares(group, 0, "end")[0]):
        np.testing.assert_array_equal(np.isfinite(values), (np.arange(9) > 0) & (np.arange(9) < 5))


def test_a_band_ends_where_the_scale_ends(run):
    group = seeds(run, [layer_record("LSTM", 10.0 ** -(power * LAGS)) for power in (0.1, 1.0, 1.0)])
    result = curve(group, 0, "end", "belt", style.log10)
    assert np.nanmin(result.low) == style.FLOOR


def test_shares_of_the_gates_sum_to_one_and_are_the_mean_over_seeds(run):
    single, other = dict.fromkeys("ifgo", 1), {"i": 0, "f": 0, "g": 3, "o": 1}
    group = seeds(run, [layer_record("LSTM", 0.9**LAGS, 0.5**LAGS, weights=each) for each in (single, other)])
    result = gate_shares(group, 0, "end")
    np.testing.assert_allclose(result[:, 1:], np.tile([[0.125], [0.125], [0.5], [0.25]], 40))
    assert np.isnan(result[:, 0]).all()
    assert gate_shares(group, 0, "start") is None


def test_shares_of_nothing_are_no_numbers(run):
    assert gate_shares(seeds(run, [layer_record("LSTM", 0.9**LAGS, 0 * LAGS)]), 0, "end") is None


def test_the_interval_is_students_and_stays_within_what_is_possible():
    values = np.array([0.41, 0.39, 0.44, 0.40])
    result = over_seeds(values, most=1.0)
    low, high = students_interval(values)
    assert (result.low, result.high, result.seeds) == (pytest.approx(low), pytest.approx(high), 4)
    assert result.mean == pytest.approx(0.41)
    wide = over_seeds(np.array([0.02, 0.5, 0.99]), most=1.0)
    assert (wide.low, wide.high) == (0.0, 1.0)


@pytest.mark.parametrize("values", [[], [0.5], [0.4, 0.5], [0.5, 0.5, np.inf]])
def test_without_three_finite_numbers_there_is_no_interval(values):
    result = over_seeds(np.array(values, float))
    assert np.isnan(result.low)
    assert np.isnan(result.high)


def test_only_finished_seeds_count_once_there_is_one(run):
    for seed, test in enumerate([0.9, None]):
        write_diagnosis(
            write_member(run, "GRU", seed, test=test), "end", layer_record("GRU", 1.0 + 0 * LAGS, share=0.5)
        )
    (group,) = seed_groups(load_run(run))
    np.testing.assert_array_equal(layer_values(group, "end", "belt_share"), [0.5])


def test_a_belt_is_what_keeps_anything(run):
    group = seeds(run, [layer_record("LSTM", keep=0.5), layer_record("LSTM"), layer_record("LSTM", keep_at_bias=0.5)])
    assert [has_belt(layer) for layer in group_layers(group, "end")] == [True, False, True]


def test_layers_are_named_where_there_are_several(run):
    folder = write_member(run, "GRU")
    write_diagnosis(folder, "start", layer_record("GRU", name="up"), layer_record("GRU", name="up", reverse=True))
    write_diagnosis(write_member(run, "LSTM"), "start", layer_record("LSTM"))
    titles = [title for _, _, title in diagnosed(seed_groups(load_run(run)))]
    assert titles == ["GRU, up", "GRU, up (backwards)", "LSTM"]
