"""The explanation of a text in the terminal: shades or numbers, the logit along it, the answer, decisive words."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from rnnjax.analysis.word_attribution import Explanation
from rnnjax.report.terminal import TextView, decisive_words, legend, shares

WORDS = ("horrifying", "[bold]", "foo", "the", "film", "ended", "well")
KNOWN = np.array([True, True, False, True, True, True, True])
LATCHED = Explanation(
    connectivity=np.array([1e-9, 0.2, 0.3, 0.004, 0.05, 0.1, 0.4]),
    logits=np.array([-1.0, -3.0, -2.0, 1.0, 2.0, -4.0, -6.0]),
    measured=np.array([13.0, 0.1, 0.0, 0.5, -0.2, 0.03, -0.04]),
    predicted=np.array([1e-9, 0.1, 0.0, 0.01, -0.1, 0.02, -0.05]),
)
SIDES = ("negative", "positive")


def shown(what=None, width=80, **console):
    """The output for ``what``, by default the view of LATCHED."""
    console = Console(file=io.StringIO(), width=width, **console)
    console.print(what or view(LATCHED))
    return console.file.getvalue()


def view(explanation, words=WORDS, known=KNOWN):
    return TextView("LSTM, seed 0", words, known, explanation, SIDES)


def changed(**changes):
    return shown(view(LATCHED._replace(**changes)))


COLOUR = {"force_terminal": True, "color_system": "truecolor"}


def test_a_share_is_of_the_largest():
    np.testing.assert_allclose(shares(LATCHED), LATCHED.connectivity / 0.4)
    for none in (np.zeros(7), np.full(7, np.nan), np.full(7, np.inf)):
        assert np.array_equal(shares(LATCHED._replace(connectivity=none)), np.zeros(7))


def test_decisive_are_the_strongest_by_gradient_and_in_fact_but_no_unknown_word():
    # by connectivity 6, 1, 5 (2 is unknown), by the change 0, 3, 4
    assert decisive_words(LATCHED, KNOWN) == [0, 3, 4, 1, 6, 5]
    assert decisive_words(LATCHED, np.arange(7) == 4) == [4]


def test_in_colour_a_stronger_word_has_a_stronger_background():
    text = shown(**COLOUR)
    red, green, blue = {}, {}, {}
    for codes, word in re.findall(r"\x1b\[([\d;]*)m([a-z\[\]?]+)\x1b", text):
        if colours := re.search(r"48;2;(\d+);(\d+);(\d+)", codes):
            red[word], green[word], blue[word] = map(int, colours.groups())
    order = ["horrifying", "the", "film", "ended", "[bold]", "foo?", "well"]
    assert [red[word] for word in order] == sorted(red.values())
    assert (red["horrifying"], green["horrifying"], blue["horrifying"]) == (28, 28, 28)
    assert (red["well"], green["well"], blue["well"]) == (255, 140, 0)
    assert (red["[bold]"], green["[bold]"], blue["[bold]"]) == (142, 84, 14)  # half of the largest
    assert re.search(r"\x1b\[2;[\d;]*mfoo\?", text)  # dimmed
    assert "well[" not in text


@pytest.mark.parametrize("console", [{}, {**COLOUR, "no_color": True}], ids=["no terminal", "NO_COLOR"])
def test_without_colour_there_are_numbers(console):
    text = re.sub(r"\x1b\[[\d;]*m", "", shown(**console))
    assert " horrifying [bold][50] foo?[75] the film[12] ended[25] well[100]\n" in re.sub(" +\n", "\n", text)
    assert "48;2" not in shown(**console)


def test_the_table_holds_measured_and_predicted_logits():
    rows = [line.split() for line in shown().splitlines() if re.match(r"[a-z\[\]]+ +\d", line)]
    assert rows[:3] == [
        ["horrifying", "1", "1e-09", "under", "0.1%", "+7.00", "-6.00"],
        ["the", "4", "0.004", "1.0%", "-5.50", "-5.99"],
        ["film", "5", "0.05", "12.5%", "-6.20", "-6.10"],
    ]
    assert [row[0] for row in rows] == ["horrifying", "the", "film", "[bold]", "well", "ended"]


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([-1, -3, -2, 1, 2, -4, -6], "crosses zero 2 times, last at word 6 (ended)"),
        ([-1, -3, -2, -1, -2, -4, 6], "crosses zero at word 7 (well)"),
        ([1, 2, 3, 4, 5, 6, 7], "never crosses zero: positive from the first word on"),
        ([-1, -2, -3, -4, -5, -6, -7], "never crosses zero: negative from the first word on"),
    ],
)
def test_where_the_logit_crosses_zero(logits, expected):
    assert expected in changed(logits=np.array(logits, np.float64)).splitlines()


@pytest.mark.parametrize(
    ("last", "measured", "expected"),
    [
        (-1.0, 0.9, "negative (probability of positive: 26.9%)"),
        (-1.0, 1.1, 'negative (probability of positive: 26.9%); without "horrifying" (word 1) it would be positive'),
        (2.0, -2.1, 'positive (probability of positive: 88.1%); without "horrifying" (word 1) it would be negative'),
        (2.0, 5.0, "positive (probability of positive: 88.1%)"),
        (-900.0, 1.0, "negative (probability of positive: under 0.1%)"),
        (900.0, 1.0, "positive (probability of positive: 100%)"),
        (np.nan, 1.0, "no answer: the logit is nan"),
    ],
)
def test_the_answer(last, measured, expected):
    text = shown(view(LATCHED._replace(logits=np.full(7, last), measured=np.array([measured] + [0.0] * 6))), width=100)
    assert expected in text.splitlines()


def test_of_several_classes_the_probability_is_given():
    one = TextView("LSTM", WORDS, KNOWN, LATCHED._replace(logits=np.full(7, 0.5)), ("another class", "red"), 0.4)
    assert 'red (probability of red: 40.0%); without "horrifying" (word 1) it would be another class' not in shown(one)
    assert "red (probability of red: 40.0%)" in shown(one, width=100).splitlines()


@pytest.mark.parametrize(
    ("sides", "expected", "absent"),
    [
        (SIDES, ["never crosses zero: negative from the first step on", "logit -1.00 ▄▁▁▃▃▁▁ -6.00"], "number"),
        (None, ["-6", "number -1.00 ▄▁▁▃▃▁▁ -6.00"], "logit"),
    ],
)
def test_steps_have_bars_in_place_of_words(sides, expected, absent):
    logits = np.array([-1.0, -6.0, -5.0, -3.0, -3.0, -6.0, -6.0])
    lines = shown(TextView("LSTM", WORDS, np.full(7, True), LATCHED._replace(logits=logits), sides, None, "step"))
    assert "share of largest connectivity +0.00 ▁▅▆▁▂▃█ +1.00" in lines.splitlines()
    assert set(expected) <= set(lines.splitlines())
    assert absent not in lines


def test_the_bars_have_zero_at_half_height():
    text = changed(logits=np.array([-6.0, -3.0, -0.1, 0.1, 3.0, 6.0, 2.0]))
    assert "logit -6.00 ▁▃▄▅▇█▆ +2.00" in text.splitlines()
    assert "logit +nan ▅▅▅▅▅▅▅ +nan" in changed(logits=np.full(7, np.nan)).splitlines()
    assert "logit +0.00 ▅▅▅▅▅▅▅ +0.00" in changed(logits=np.zeros(7)).splitlines()


def test_a_long_text_fits_a_narrow_terminal_and_ends_with_its_own_bar():
    words = 300
    logits = np.full(words, -2.0)
    logits[-1] = 2.0
    explanation = Explanation(np.full(words, 0.1), logits, np.zeros(words), np.zeros(words))
    text = shown(view(explanation, ("word",) * words, np.full(words, True)), width=60)
    assert max(map(len, text.splitlines())) <= 60
    (bars,) = re.findall(r"^logit -2\.00 (.*) \+2\.00$", text, re.MULTILINE)
    assert set(bars[:-1]) == {"▁"}
    assert bars[-1] == "█"
    assert len(bars) > 30


def test_a_terminal_without_block_characters_gets_others():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")  # writing anything else raises
    console = Console(file=file, width=80)
    console.print(legend(console, SIDES))
    console.print(view(LATCHED))
    file.flush()
    assert "logit -1.00 -,,=+._ -6.00" in file.buffer.getvalue().decode().splitlines()


def test_the_legend_explains_what_is_shown():
    plain, coloured = Console(file=io.StringIO()), Console(file=io.StringIO(), **COLOUR)
    assert legend(plain, SIDES).plain.startswith("In brackets behind a word: its connectivity")
    assert legend(coloured, SIDES).plain.startswith(" 0%  25%  50%  75%  100%  connectivity of a word")
    assert "in percent of the largest" in legend(plain, SIDES).plain
    assert "<unk> takes their place" in legend(plain, SIDES).plain
    characters, steps = legend(plain, SIDES, "character", several=True).plain, legend(plain, None, "step").plain
    assert (
        "A character with ? is not in the vocabulary. The logit is that of the answer minus the largest" in characters
    )
    assert steps.startswith("The connectivity of a step is the size of the number's gradient there. The bars are the n")
    assert "most when zeros take their place" in steps
