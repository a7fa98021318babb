import numpy as np
import pytest
from synthetic_run import write_member, write_run, write_symbols_task

from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.text.gradients import by_lag_captions, loss_decay_captions, over_training_captions
from rnnjax.runs.reader import load_run

LAGS = np.arange(51)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def caption_text(run, what):
    (caption,) = what(seed_groups(load_run(run)))
    return caption.text


# 0.8^l: ln 2 / -ln 0.8 = 3.106; 0.8^20 = 0.0115, 0.8^21 = 0.0092.
def test_half_life_and_reach_of_known_curves(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS, 3 * 0.8**LAGS]})
    assert caption_text(run, by_lag_captions) == (
        "At the end of training the gradient at its memory halves every 3.1 words and falls below 1% of its "
        "strength after 20 words. At the start it halves every 1 word and falls below 1% of its strength after "
        "6 words."
    )


def test_the_lstm_is_judged_by_what_it_remembers(run):
    write_member(run, "LSTM", curves={"h": [0.5**LAGS] * 2, "c": [0.99**LAGS] * 2})
    assert "halves every 69 words and still has 60.5% of its strength 50 words back" in caption_text(
        run, by_lag_captions
    )


@pytest.mark.parametrize(
    ("norms", "text"),
    [
        (np.ones(51), "does not fade with distance and still has 100% of its strength 50 words back"),
        (1.2**LAGS, "does not fade with distance and has grown to 9,100 times its strength 50 words back"),
        (4.0**LAGS, "does not fade with distance and has grown to over a million times its strength 50 words back"),
        (np.full(51, np.nan), "is not a finite number"),
        (np.where(LAGS == 30, np.inf, 1.0), "is not a finite number"),
        (np.zeros(51), "is exactly zero at the last word"),
        (np.where(LAGS == 0, 0.3, 0.0), "is gone one word back"),
        (np.full(51, 1e-42), "is too weak to have a half-life and still has 100% of its strength 50 words back"),
        (np.ones(1), "was measured at the last word only"),
        (0.99999**LAGS, "hardly fades with distance and still has 99.9% of its strength 50 words back"),
        (0.001**LAGS * (LAGS < 3), "halves every 0.1 words and is below 1% of its strength one word back"),
        (np.maximum(0.1**LAGS, 0) * (LAGS < 40), "halves every 0.3 words and falls below 1% of its strength after 2 w"),
    ],
)
def test_it_is_true_of_any_numbers(run, norms, text):
    write_member(run, "GRU", curves={"h": [norms, norms]})
    assert f"At the end of training the gradient at its memory {text}" in caption_text(run, by_lag_captions)


def test_seeds_without_usable_numbers_are_left_out_and_counted(run):
    for seed, norms in enumerate([0.5**LAGS, 0.8**LAGS, 0.9**LAGS, np.full(51, np.nan)]):
        write_member(run, "GRU", seed, curves={"h": [norms] * 2})
    text = caption_text(run, by_lag_captions)
    assert "halves every 3.1 words and falls below 1% of its strength after 20 words (1 of 4 seeds left out" in text


def test_an_unfinished_cell_has_no_end_of_training(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS] * 2}, test=None)
    assert caption_text(run, by_lag_captions).startswith(
        "At the last logged step the gradient at its memory halves every 1 word"
    )


def test_only_the_start_is_logged(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS]}, test=None)
    text = caption_text(run, by_lag_captions)
    assert text.startswith("At the start of training the gradient at its memory halves every 1 word and")
    assert text.endswith("nothing later is logged yet.")


@pytest.mark.parametrize(
    ("rates", "text"),
    [
        (
            [0.5, 0.99, 0.99],
            "first has 1% of its strength 50 words back at step 100, and has it at every logged step from there on.",
        ),
        (
            [0.5, 0.99, 0.5],
            "first has 1% of its strength 50 words back at step 100, and has it at 1 of the 2 logged steps from",
        ),
        ([0.99, 0.99, 0.99], "has at least 1% of its strength 50 words back at every logged step."),
        (
            [0.5, 0.6, 0.5],
            "never has 1% of its strength 50 words back at any logged step: it reaches 9 words at most, at step 100",
        ),
        (
            [np.nan, 0, 0.99],
            "has at least 1% of its strength 50 words back at every logged step (1 of the 3 has a usable number so",
        ),
        ([np.nan] * 3, "holds no usable number"),
        ([0.001] * 3, "never has 1% of its strength 50 words back at any logged step, nor even one word back"),
    ],
)
def test_when_the_gradient_reached_back(run, rates, text):
    curves = [np.zeros(51) if rate == 0 else rate ** (LAGS + 1.0) for rate in rates]
    write_member(run, "GRU", curves={"h": curves})
    assert f"The gradient {text}" in caption_text(run, over_training_captions)


def test_a_log_of_the_upper_layer_alone_is_read(run):
    folder = write_member(run, "GRU", curves={"h": [0.99 ** (LAGS + 1.0)] * 2})
    log = folder / "gradients.jsonl"
    log.write_text(log.read_text().replace('"layer": 0', '"layer": 1'))
    assert "at every logged step." in caption_text(run, over_training_captions)


def test_steps_whose_reviews_are_all_short_say_nothing_about_far_words(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS, 0.99**LAGS, 0.99 ** LAGS[:20]]})
    text = "step 100, and has it at every logged step from there on (2 of the 3 have a usable number so far back)."
    assert caption_text(run, over_training_captions).endswith(text)
    assert "still has 82.6% of its strength 19 words back" in caption_text(run, by_lag_captions)


def test_only_distances_that_enough_reviews_have_are_measured(run):
    """Of 64 reviews 7 are over the tenth and 6 are not; the few long ones do not fade."""
    counts = [64] * 21 + [7] * 10 + [6] * 20
    fading = np.where(LAGS <= 30, 0.9**LAGS, 5.0)
    write_member(run, "GRU", curves={"h": [fading, fading]}, counts=counts)
    assert "halves every 6.6 words and still has 4.2% of its strength 30 words back" in caption_text(
        run, by_lag_captions
    )
    text = "The gradient has at least 1% of its strength 30 words back at every logged step."
    assert caption_text(run, over_training_captions) == text


def test_a_step_of_shorter_reviews_gives_a_lower_bound(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS, 0.99 ** LAGS[:20]]})
    assert caption_text(run, over_training_captions) == (
        "The gradient never has 1% of its strength 50 words back at any logged step (1 of the 2 has a usable "
        "number so far back): it reaches at least 19 words, at step 100."
    )


def test_a_distance_that_one_step_in_many_measured_is_not_the_farthest(run):
    curves = [0.99 ** LAGS[:40] for _ in range(10)] + [0.99**LAGS]
    write_member(run, "GRU", curves={"h": curves})
    text = "The gradient has at least 1% of its strength 39 words back at every logged step."
    assert caption_text(run, over_training_captions) == text


def test_the_heat_map_of_the_last_word_only(run):
    write_member(run, "GRU", curves={"h": [np.ones(1)] * 2})
    assert caption_text(run, over_training_captions) == "The gradient was measured at the last word only."


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_norm_that_is_no_number_is_said_though_reviews_reach_it(run, broken):
    write_member(run, "GRU", curves={"h": [0.99**LAGS, np.where(LAGS >= 7, broken, 0.99**LAGS)]}, test=None)
    text = caption_text(run, by_lag_captions)
    assert text.startswith("At the last logged step the gradient at its memory is not a finite number.")
    text = (
        "at least 1% of its strength 50 words back at every logged step (1 of the 2 has a usable number so far back)."
    )
    assert caption_text(run, over_training_captions).endswith(text)


# 0.8^l as above; ln 2 / -ln 0.9 = 6.58, 0.9^40 = 1.48%.
def test_a_gradient_that_adds_up_over_many_losses_is_not_said_to_fade_or_to_stay(tmp_path):
    run = write_symbols_task(tmp_path / "characters")
    start = "halves every 3.1 characters and falls below 1% of its strength after 20 characters"
    end = "halves every 6.6 characters and still has 1.5% of its strength 40 characters back"
    assert caption_text(run, by_lag_captions) == (
        "The loss reads more than the last character, so the gradient adds up over many characters. At the start of "
        f"training the gradient of one character's own loss {start}; with the best parameters it {end}."
    )
    assert caption_text(run, loss_decay_captions) == f"At the start it {start}. After training it {end}."
    assert "added up over the characters that the loss reads," in caption_text(run, over_training_captions)


def test_without_a_measured_decay_none_is_claimed(tmp_path):
    run = write_symbols_task(tmp_path / "characters")
    for path in run.glob("members/*/diagnosis-*.json"):
        path.unlink()
    assert caption_text(run, by_lag_captions).endswith(
        "How the gradient of one character's own loss decays was not measured."
    )
