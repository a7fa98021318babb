import base64
import os
import re

import numpy as np
import pytest
from page_reader import outside
from synthetic_diagnosis import layer_record, text_record, write_diagnosis
from synthetic_run import write_member, write_run

from rnnjax.errors import UserError
from rnnjax.report.run_report import write_report

LAGS = np.arange(31)


def make_run(folder):
    run = write_run(folder / "run", flags={"note": "<script>alert(1)</script>", "hidden": 64})
    for seed in range(2):
        write_member(run, "SimpleRNN", seed, curves={"h": [0.5**LAGS] * 2}, by_distance={10: 0.5, 30: 0.5})
        curves = {"h": [0.5**LAGS, 0.9**LAGS], "c": [0.5**LAGS, 0.9**LAGS]}
        write_member(run, "LSTM", seed, curves=curves, by_distance={10: 1.0, 30: 1.0})
    return run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a run; not to be changed."""
    return write_report(make_run(tmp_path_factory.mktemp("page")))


def test_the_page_is_whole_and_needs_nothing_else(page):
    run = page.parent
    assert page == run / "report.html"
    text = page.read_text(encoding="utf-8")
    figures = sorted(path.name for path in (run / "figures").iterdir())
    names = ("accuracy_by_distance", "gradient_by_lag", "gradient_over_training", "learning_curves")
    assert figures == [f"{name}.png" for name in names]
    embed_figures = {base64.b64decode(code) for code in re.findall(r'src="data:image/png;base64,([^"]+)"', text)}
    assert embed_figures == {(run / "figures" / name).read_bytes() for name in figures}
    assert outside(text) == []
    assert "&lt;script&gt;alert(1)" in text
    assert (run / "table.csv").read_text().count("\n") == 1 + 4
    assert "Not complete" not in text
    assert not list(run.rglob("*.partial"))


def test_what_would_be_loaded_from_elsewhere_is_found():
    assert outside('<script src="https://x/y.js"></script><img src=http://x/p.png><a href="#here">') == [
        *("https://x/y.js", "http://x/p.png")
    ]
    assert outside("<style>@import 'x.css'; b { background: url(x.png) }</style><link rel=icon>") == [
        *("@import 'x.css'", "url(x.png)", "<link")
    ]
    assert outside('<script>a = "src=http://x"</script>') == []


def test_every_figure_is_shown_once_on_screen_and_once_on_paper(page):
    text = page.read_text(encoding="utf-8")
    for name in ("accuracy_by_distance", "gradient_by_lag", "gradient_over_training", "learning_curves"):
        section = text.partition(f'<section id="{name}">')[2].partition("</section>")[0]
        assert section.count('<div class="live"') == section.count('<div class="still">') == section.count("<img") == 1
    screen, _, paper = text.partition("@media print")
    assert ".still { display: none; }" in screen
    assert ".live, nav { display: none; }\n  .still { display: block; }" in paper
    assert "<noscript><style>.live { display: none; } .still { display: block; }</style></noscript>" in text


def test_every_section_can_be_reached_and_names_the_files_of_its_numbers(run):
    for folder in (run / "members").iterdir():
        cell = "LSTM" if "lstm" in folder.name else "SimpleRNN"
        texts = [text_record(["so", "<b>horrifying</b>"], 1, [0.1, 2.0], [0.5, 1.0])]
        write_diagnosis(folder, "end", layer_record(cell, 0.9**LAGS if cell == "LSTM" else 0.0, 0.5**LAGS), texts=texts)
    text = write_report(run).read_text(encoding="utf-8")
    sections = re.findall(r'<section id="(\w+)">(.*?)</section>', text, re.DOTALL)
    assert [name for name, _ in sections] == re.findall(r'<a href="#(\w+)">', text)
    assert {"gradient_by_lag", "texts", "belt_share", "learning_curves"} <= {name for name, _ in sections}
    for name, section in sections:
        assert re.search(r'<p class="source">Numbers: <code>members/\*/', section), name
    assert "&lt;b&gt;horrifying" in text


def test_headline_table_and_gradient_come_first_then_the_alarms(run):
    folder = write_member(run, "GRU", 0, curves={"h": [0.5**LAGS] * 2}, validation=[(100, 0.7, 0.5)], test=None)
    write_diagnosis(folder, "start", layer_record("GRU", 0.5**LAGS, 0.5**LAGS, keep=0.01))
    text = write_report(run).read_text(encoding="utf-8")
    parts = (
        *("<h1>", "Not complete", "<table>", '<section id="gradient_by_lag">', '<aside class="alarms">'),
        *("<nav", '<section id="accuracy_by_distance">', '<section id="learning_curves">'),
    )
    positions = [text.index(part) for part in parts]
    assert positions == sorted(positions)
    entries = re.findall(r"<li><details>(.*?)</details></li>", text, re.DOTALL)
    (alarm,) = [entry for entry in entries if "forget bias" in entry]
    assert alarm.index("<b>GRU: forget bias.</b>") < alarm.index("</summary>") < alarm.index("<p>")


def test_it_says_what_the_numbers_say_and_changes_with_them(page, run):
    text = page.read_text(encoding="utf-8")
    assert "Recalling a word 30 words back: the LSTM (100% right) succeeds" in text
    assert "halves every 6.6 words and still has 4.2% of its strength 30 words back" in text
    write_member(run, "LSTM", 2, curves={"h": [0.8**LAGS] * 2}, by_distance={10: 0.5, 30: 0.5})
    again = write_report(run).read_text(encoding="utf-8")
    assert "the LSTM (50.0–100% right) succeeds only partly" in again


def test_it_says_what_is_measured(page):
    text = page.read_text(encoding="utf-8")
    assert "Each curve is measured on one training batch, that of its logged step." in text
    assert "dark is weak (see the scale)" in text
    assert "at least 5 reviews and 10% of the training batch" in text
    assert "accuracies, in percent, are of the parameters that were best in validation" in text


def test_a_killed_run_is_reported_as_far_as_it_got(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "figures").mkdir()
    (run / "figures" / "gradient_by_lag.png").write_bytes(b"of an earlier report")
    assert "No cell has finished" in write_report(run).read_text(encoding="utf-8")
    assert not list((run / "figures").iterdir())
    folder = write_member(run, "GRU", curves={"h": [np.zeros(31)]}, test=None, validation=[])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "validation", "st')
    text = write_report(run).read_text(encoding="utf-8")
    assert "GRU, seed 0, has not finished: its last record is of step 10 of 200." in text
    assert "is exactly zero at the last word" in text
    assert "Accuracy and loss" not in text


def test_reviews_without_distances(tmp_path):
    run = write_run(tmp_path / "imdb", "imdb")
    counts = [40, *range(30, 0, -1)]
    write_member(run, "LSTM $x$", curves={"h": [0.9**LAGS] * 2}, counts=counts, test=0.87)
    text = write_report(run).read_text(encoding="utf-8")
    assert "The LSTM $x$ judges 87.0% of the test reviews right." in text
    assert not (run / "figures" / "accuracy_by_distance.png").exists()


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(run):
    run.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        write_report(run)
    run.chmod(0o700)


def test_a_file_in_the_way_of_the_figures(run):
    (run / "figures").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(run)


def test_no_run_no_report(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())
