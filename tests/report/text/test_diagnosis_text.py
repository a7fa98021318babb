import numpy as np
import pytest
from scipy import stats
from synthetic_diagnosis import LAGS, layer_record, swap_record, update_records, write_diagnosis
from synthetic_run import write_member, write_run

from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.text.diagnosis import (
    belt_and_detour_captions,
    belt_share_captions,
    detour_gate_captions,
    gate_captions,
    into_gates_captions,
)
from rnnjax.report.text.dynamics import lyapunov_captions, swap_captions, update_captions
from rnnjax.runs.reader import load_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def caption_text(run, what):
    (caption,) = what(seed_groups(load_run(run)))
    return caption.text


def diagnose(run, label="LSTM", seed=0, curves=None, **moments):
    folder = write_member(run, label, seed, curves=curves)
    for when, record in moments.items():
        write_diagnosis(folder, when, record)
    return folder


# Student's t of 39, 41 and 43%: 2 / √3 · 4.303 = 4.97.
def test_the_share_of_the_belt_with_its_interval_over_seeds(run):
    for seed, (share, half) in enumerate([(0.39, 6.0), (0.41, 6.5), (0.43, 7.0)]):
        curves = {"h": [LAGS * 0 + 1.0], "c": [0.5 ** (LAGS / half), 0.5 ** (LAGS / 10)]}
        layer = layer_record("LSTM", keep=0.7, share=share)
        diagnose(run, "LSTM", seed, curves, start=layer, end=layer_record("LSTM", keep=0.9, share=0.63))
    assert caption_text(run, belt_share_captions) == (
        "At the start 41.0% (36.0–46.0%, 3 seeds) of the gradient that arrives came down the conveyor belt, averaged "
        "over the words back that at least a quarter of the examples have; after training 63.0% (63.0%, 3 seeds). "
        "The gradient's half-life: 6.5 words (6–7, 3 seeds) at the start, 10 words (10, 3 seeds) at the end."
    )
    low, high = stats.t.interval(0.95, 2, loc=0.41, scale=stats.sem([0.39, 0.41, 0.43]))
    assert (f"{100 * low:.1f}", f"{100 * high:.1f}") == ("36.0", "46.0")


def test_one_seed_has_no_interval_and_one_moment_no_second_clause(run):
    diagnose(run, end=layer_record("LSTM", keep=0.7, share=0.5), curves={"h": [0.5**LAGS] * 2})
    assert caption_text(run, belt_share_captions) == (
        "After training 50.0% of the gradient that arrives came down the conveyor belt, averaged over the words back "
        "that at least a quarter of the examples have. "
        "The gradient's half-life: 1 word at the start, 1 word at the end."
    )


def test_an_infinite_half_life_is_the_highest_of_the_seeds(run):
    for seed, rate in enumerate([1.0, 0.5, 1.0]):
        layer = layer_record("LSTM", keep=0.7, share=0.5)
        diagnose(run, seed=seed, curves={"h": [rate**LAGS]}, start=layer)
    assert caption_text(run, belt_share_captions).endswith("half-life: ∞ words (1–∞, 3 seeds) at the start.")


def test_a_simple_cell_has_no_belt_at_all(run):
    diagnose(run, "SimpleRNN", start=layer_record("SimpleRNN"))
    assert caption_text(run, belt_share_captions).startswith("Has no belt")
    assert caption_text(run, belt_and_detour_captions).startswith("Has no belt")
    groups = seed_groups(load_run(run))
    assert gate_captions(groups) == detour_gate_captions(groups) == []


def test_a_share_that_is_no_number_is_called_none(run):
    diagnose(run, end=layer_record("LSTM", 0 * LAGS, 0 * LAGS, keep=0.7))
    assert caption_text(run, belt_share_captions).startswith("The belt's share is not a number")


@pytest.mark.parametrize(
    ("belt", "detour", "text"),
    [
        (0.9**LAGS, 0.5 * 0.9**LAGS, "the belt is the larger part at every distance measured, up to 40 words; 40 "
         "words back the belt is 2 times as large as the detour."),
        (0.5**LAGS, 3 * 0.5**LAGS, "the detour is the larger part at every distance measured, up to 40 words; 40 "
         "words back the detour is 3 times as large as the belt."),
        (0.5**LAGS, np.where(LAGS > 10, 1.0, 0.0), "the belt is the larger part at 10 of 40 distances; 40 words "
         "back the detour is over a million times as large as the belt."),
        (0 * LAGS, 0.5**LAGS, "the detour is the larger part at every distance measured, up to 40 words; 40 words "
         "back only the detour is left."),
        (0.5**LAGS, 0.5**LAGS, "the belt is the larger part at every distance measured, up to 40 words; 40 words "
         "back both are equal."),
        (0 * LAGS, 0 * LAGS, "no gradient arrives even one word back."),
        (np.nan * LAGS, 0.5**LAGS, "neither part has a usable number."),
    ],
)  # fmt: skip
def test_which_part_is_the_larger_one(run, belt, detour, text):
    diagnose(run, end=layer_record("LSTM", belt, detour, keep=0.7))
    assert caption_text(run, belt_and_detour_captions) == f"After training {text}"


def test_the_gates_of_the_detour_and_the_loudest(run):
    weights = {"r": 1.0, "u": 2.0, "n": 5.0}
    diagnose(run, "GRU", start=layer_record("GRU", 0.9**LAGS, 0.8**LAGS, weights=weights))
    text = "At the start 62.5% of the detour enters through n, 25.0% through u and 12.5% through r."
    assert caption_text(run, detour_gate_captions) == text
    strongest = "At the start n receives 5 times the gradient of r, summed over all words."
    assert caption_text(run, into_gates_captions) == strongest


def test_a_gate_that_receives_nothing(run):
    diagnose(run, end=layer_record("GRU", weights={"r": 0.0, "u": 2.0, "n": 1.0}))
    text = "After training u receives the strongest gradient, summed over all words, and r none."
    assert caption_text(run, into_gates_captions) == text


def test_what_is_kept_for_how_long_and_what_is_stuck(run):
    saturation = {"i": 0.0, "f": 0.04, "g": float("nan"), "o": 0.5}
    diagnose(run, start=layer_record("LSTM", keep=0.5), end=layer_record("LSTM", keep=0.9, saturation=saturation))
    assert caption_text(run, gate_captions) == (
        "At the start it keeps 50.0% of its memory in a step, a horizon of 2 words. "
        "After training it keeps 90.0% of its memory in a step, a horizon of 10 words; saturated values: f 4.0% "
        "and o 50.0%."
    )


def test_several_layers_are_told_apart(run):
    up, down = layer_record("GRU", 2.0, keep=0.5, name="up"), layer_record("GRU", 0.0, keep=0.5, name="down")
    write_diagnosis(write_member(run, "GRU"), "start", up, down)
    caption = belt_and_detour_captions(seed_groups(load_run(run)))
    assert [caption_of_layer.label for caption_of_layer in caption] == ["GRU", "GRU"]
    assert caption[0].text.startswith("(up) At the start the belt")
    assert caption[1].text.startswith("(down) At the start the detour")


@pytest.mark.parametrize(
    ("exponents", "text"),
    [
        ([-0.11], "is −0.110 per step: a small change of the state halves every 6.3 steps."),
        ([np.log(2)], "is 0.693 per step: a small change of the state doubles every 1 step."),
        ([-0.0001], "is 0.000 per step: a small change of the state neither grows nor fades."),
        ([-np.inf], "is −∞ per step: a small change of the state is gone at the next step."),
        ([np.inf], "is ∞ per step: a small change of the state grows without bound."),
        (
            [-0.1, -0.2, -0.3],
            "is −0.200 per step (−0.448 to 0.048, 3 seeds): a small change of the state halves every 3.5",
        ),
        ([0.1, -0.2, -0.3], "is −0.133 per step (−0.650 to 0.384, 3 seeds): the seeds do not agree on whether a"),
        ([0.1, -0.3], "is −0.100 per step (−0.300 and 0.100, 2 seeds): the seeds do not agree on whether a"),
        ([-0.001, 0.0005, 0.0005], "is 0.000 per step (−0.002 to 0.002, 3 seeds): a small change of the state neither"),
        ([-0.1, -0.11, -np.nan], "is −0.105 per step (−0.110 and −0.100, 2 seeds): a small change of the state halves"),
        ([-0.1, -0.3, -np.inf], "is −0.300 per step: a small change of the state halves every 2.3 steps."),
    ],
)
def test_the_largest_exponent_of_all_seeds_and_its_meaning(run, exponents, text):
    for seed, exponent in enumerate(exponents):
        diagnose(run, seed=seed, end=layer_record(exponents=[exponent, -9.0]))
    assert caption_text(run, lyapunov_captions).startswith(f"After training the largest Lyapunov exponent {text}")


def test_updates_are_judged_in_the_second_half(run):
    ratios = {"w": [0.5, 0.5, 1 / 400, 1 / 500, np.inf], "b": [np.nan, 1e-9, 1e-5, 1e-5, 1e-5], "gone": [np.nan] * 5}
    update_records(write_member(run, "GRU"), ratios, [0, 10, 20, 30, 40])
    assert caption_text(run, update_captions) == (
        "In the second half of training a step changes w by one part in 500, the most, and b by one part in 100,000, "
        "the least."
    )


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "nothing."), (1e-7, "less than one part in a million."), (0.01, "one part in 100."),
        (0.8, "0.8 times its size."), (3e7, "over a million times its size."),
    ],
)  # fmt: skip
def test_an_update_of_any_size(run, ratio, text):
    update_records(write_member(run, "GRU"), {"w": [ratio]}, [0])
    assert caption_text(run, update_captions) == f"In the second half of training a step changes w by {text}"


def test_an_exchange_far_back_beside_its_prediction(run):
    record = swap_record([10, 160, 200, 190], [1.0, -14.25, 14.25, 3.0], [0.5, -0.03, -0.03, float("nan")])
    write_diagnosis(write_member(run, "LSTM"), "end", layer_record(), swaps=record)
    assert caption_text(run, swap_captions) == (
        "Exchanging the opinion word for one of the other polarity 160 to 200 words back changes the logit by 14 "
        "(median of 2 exchanges); the gradient predicts 0.03. Its prediction has the right sign in 2 of 3."
    )


def test_an_exchange_that_changes_nothing(run):
    write_diagnosis(write_member(run, "LSTM"), "end", layer_record(), swaps=swap_record([5], [0.0], [0.00001]))
    assert caption_text(run, swap_captions).endswith(
        "5 words back changes the logit by nothing (median of 1 exchange); the gradient predicts under 0.001."
    )


def test_before_training_has_ended_the_exchanges_are_of_the_start(run):
    write_diagnosis(write_member(run, "LSTM"), "start", layer_record(), swaps=swap_record([5], [2.0], [1.0]))
    assert caption_text(run, swap_captions).startswith("Before training, exchanging the opinion word")
