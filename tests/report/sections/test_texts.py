import re
from html.parser import HTMLParser

import numpy as np
import pytest
from synthetic_diagnosis import layer_record, text_record, write_diagnosis
from synthetic_run import write_member, write_run, write_task

from rnnjax.report.figures import style
from rnnjax.report.sections import texts
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def page_of(run):
    loaded = load_run(run)
    return "".join(section.html for section in texts.sections(loaded, seed_groups(loaded)))


def write_text(run, label, seed=0, when="end", words=("so", "bad"), truth=0, logits=(0.5, -2.0), norms=(0.75, 3.0)):
    folder = write_member(run, label, seed)
    write_diagnosis(folder, when, layer_record(), texts=[text_record(list(words), truth, list(logits), list(norms))])


class Words(HTMLParser):
    """The shaded words of a page: (word, share, title)."""

    def __init__(self, page):
        super().__init__()
        self.words, self._at = [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._at = dict(attributes) if tag == "span" else None

    def handle_data(self, data):
        if self._at is not None:
            self.words.append((data, float(self._at["style"].removeprefix("--s:")), self._at["title"]))
            self._at = None


def test_every_word_is_shaded_by_its_share_of_the_largest(run):
    write_text(run, "LSTM")
    first, second = Words(page_of(run)).words
    assert first == ("so", 0.25, "word 1: connectivity 0.75, 25.0% of the largest; logit so far +0.50")
    assert second[:2] == ("bad", 1.0)


def test_the_answer_is_a_probability_beside_the_truth(run):
    write_text(run, "LSTM")
    write_text(run, "GRU", logits=(0.5, 2.0))
    page = page_of(run)
    assert "Review 1, 2 words, labelled negative" in page
    assert page.count("<h3>") == 1  # both cells on one review
    assert "negative (probability 88.1%), which is right" in page  # 1 / (1 + e^-2)
    assert "positive (probability 88.1%), which is wrong" in page
    for label in ("LSTM", "GRU"):
        assert f"--mark:{style.CELL_COLOURS[label]}" in page


def test_the_answers_have_the_names_that_the_task_gives_them(run):
    write_task(run, "binary", step="word", example="text", classes=["fresh", "<rotten>"])
    write_text(run, "LSTM", truth=1)
    page = page_of(run)
    assert "Text 1, 2 words, labelled &lt;rotten&gt;" in page
    assert "fresh (probability 88.1%), which is wrong" in page
    assert "Texts that were not trained on" in page
    assert "above the middle &lt;rotten&gt;, below it fresh" in page
    assert "eview" not in page


def test_the_line_of_the_logit_has_zero_at_half_height_and_one_scale(run):
    write_text(run, "LSTM", logits=(2.0, 0.0))
    write_text(run, "GRU", logits=(1.0, -1.0))
    paths = re.findall(r'<path d="([^"]*)"', page_of(run))
    heights = [[float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)] for path in paths]
    half = texts.HEIGHT / 2
    for drawn, logits in zip(heights, ([1.0, -1.0], [2.0, 0.0]), strict=True):
        np.testing.assert_allclose((half - np.array(drawn)) / half, 0.92 * np.array(logits) / 2, atol=0.01)


def test_a_logit_that_is_no_number_is_a_gap_and_no_answer(run):
    nan = float("nan")
    write_text(
        run, "LSTM", words=["a", "b", "c", "d"], logits=(1.0, nan, 1.0, nan), norms=(1.0, nan, float("inf"), 0.5)
    )
    page = page_of(run)
    assert "no answer: its logit is not a number" in page
    assert len(re.findall("M", re.search(r'<path d="([^"]*)"', page).group(1))) == 2
    assert [share for _, share, _ in Words(page).words] == [1.0, 0.0, 0.0, 0.5]
    assert "not finite" in Words(page).words[1][2]


@pytest.mark.parametrize("norms", [[0.0, 0.0], [np.nan, np.nan], []])
def test_without_a_largest_nothing_is_shaded(norms):
    np.testing.assert_array_equal(texts.shares(np.array(norms)), np.zeros(len(norms)))


def test_everything_is_escaped(run):
    write_text(run, "LSTM <i>", words=['<script>alert("1")</script>', "&amp;"])
    page = page_of(run)
    assert "<script" not in page
    assert "<i>" not in page
    assert [word for word, *_ in Words(page).words] == ['<script>alert("1")</script>', "&amp;"]


def test_the_reviews_are_those_of_the_seed_that_most_cells_have(run):
    write_text(run, "LSTM", 0, words=["first", "seed"])
    for label in ("LSTM", "GRU"):
        write_text(run, label, 1, words=["second", "seed"])
    assert [word for word, *_ in Words(page_of(run)).words] == ["second", "seed"] * 2


def test_before_training_has_ended_the_start_is_shown_and_says_so(run):
    write_text(run, "LSTM", when="start")
    assert "LSTM, before training" in page_of(run)


def test_without_reviews_there_is_no_section(run):
    write_diagnosis(write_member(run, "LSTM"), "end", layer_record())
    assert page_of(run) == ""


def test_one_word_has_a_dot_and_a_very_sure_answer_is_a_number(run):
    write_text(run, "LSTM", words=["good"], truth=1, logits=[1e6], norms=[1.0])
    page = page_of(run)
    assert re.search(r'<path d="M50\.0 [\d.]+h0"', page)
    assert "positive (probability 100%), which is right" in page
