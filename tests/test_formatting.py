"""One way to write a number: every form, at its borders."""

import math

import numpy as np
import pytest

from rnnjax import formatting
from rnnjax.formatting import Nouns

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        ("number", 0, "0"),
        ("number", 1e-9, "0"),
        ("number", 1e-6, "1e-6"),
        ("number", 0.00034, "0.0003"),
        ("number", 0.049, "0.05"),
        ("number", 0.05, "0.1"),
        ("number", 0.25, "0.2"),
        ("number", 1, "1"),
        ("number", 0.9999999, "1"),
        ("number", 1.34, "1.3"),
        ("number", 9.94, "9.9"),
        ("number", 9.95, "10"),
        ("number", 42.4, "42"),
        ("number", 9_999, "9,999"),
        ("number", 12_000.4, "12,000"),
        ("number", 999_999, "999,999"),
        ("number", 1_000_000, "over a million"),
        ("number", 1e300, "over a million"),
        ("number", INF, "∞"),
        ("number", NAN, "–"),
        ("number", np.float32(6.5), "6.5"),
        ("number", np.int64(200), "200"),
        ("percent", 0.0, "0.0%"),
        ("percent", 0.0004, "under 0.1%"),
        ("percent", 0.0005, "0.1%"),
        ("percent", 0.5, "50.0%"),
        ("percent", 0.974, "97.4%"),
        ("percent", 0.9987, "99.9%"),
        ("percent", 0.99999, "99.9%"),
        ("percent", 1.0, "100%"),
        ("percent", 1.00001, "100.0%"),
        ("percent", 12.0, "1200.0%"),
        ("percent", NAN, "an unknown share"),
        ("short_percent", 0.0004, "0.0"),
        ("short_percent", 0.5, "50.0"),
        ("short_percent", 1.0, "100"),
        ("short_percent", NAN, "–"),
        ("at_least", 0.9239, "92.3%"),
        ("at_least", 0.924, "92.4%"),
        ("at_most", 0.9231, "92.4%"),
        ("at_most", 0.923, "92.3%"),
        ("loss", 0.001234, "0.00123"),
        ("loss", 0.0000612, "6.12e-5"),
        ("loss", 1 / 6, "0.167"),
        ("loss", 2.079, "2.08"),
        ("loss", 123.4, "123"),
        ("loss", INF, "∞"),
        ("loss", NAN, "–"),
        ("short_loss", 0.166, "0.17"),
        ("short_loss", 99.4, "99"),
        ("short_loss", 99.6, "99.6"),
        ("short_loss", 123.4, "123"),
        ("short_loss", 0.0, "0"),
        ("short_loss", float("nan"), "–"),
        ("short_loss", 0.00372, "0.0037"),
        ("short_loss", 0.000612, "6.1e-4"),
    ],
)
def test_a_number_is_written_in_one_way(form, value, text):
    assert getattr(formatting, form)(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.0, "word", "1 word"), (1.3, "word", "1.3 words"), (0, "row", "0 rows"), (2, "series", "2 series")],
)
def test_a_distance_has_the_plural_of_all_but_one(value, unit, text):
    assert formatting.distance(value, unit) == text
    assert Nouns(unit).far(value) == text


@pytest.mark.parametrize(
    ("values", "text"), [([0.501, 0.52], "50.1–52.0%"), ([0.5001, 0.5002, NAN], "50.0%"), ([0.999, 1.0], "99.9–100%")]
)
def test_several_shares_are_a_range_unless_they_read_the_same(values, text):
    assert formatting.percents(np.array(values)) == text


@pytest.mark.parametrize(("parts", "text"), [("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")])
def test_a_list_in_running_text(parts, text):
    assert formatting.join_list(list(parts)) == text


def test_a_long_list_ends_in_the_number_of_the_rest():
    assert formatting.listed_briefly(list("abcde")) == "a, b, c, d and e"
    assert formatting.listed_briefly(list("abcdef")) == "a, b, c, d and 2 others"


def test_runs_that_differ_are_spoken_of_in_general_nouns():
    rows, words = Nouns("row", "image"), Nouns()
    assert formatting.common([rows, rows]) == rows
    assert formatting.common([rows, words]) == Nouns("step", "example")
    assert formatting.common([]) == words
