import html
import re

import numpy as np
import pytest
from synthetic_diagnosis import layer_record, write_diagnosis
from synthetic_run import write_member, write_run

from rnnjax.report.run_report import write_report
from rnnjax.report.sections import per_run
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run

LAGS = np.arange(31)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def rows_of(run):
    """Header and rows of the table, as text."""
    loaded = load_run(run)
    text = per_run.html(loaded, seed_groups(loaded))
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]


def test_every_seed_has_its_row_with_its_own_numbers(run):
    curves = {"h": [0.5**LAGS, 0.5 ** (LAGS / 8)]}
    write_diagnosis(
        write_member(run, "GRU", 0, curves=curves, test=0.8125), "end", layer_record("GRU", keep=0.5, share=0.25)
    )
    write_member(run, "GRU", 1, failure="The loss became nan.")
    write_member(run, "GRU", 2, test=None)
    head, *rows = rows_of(run)
    assert head == [
        *("cell", "seed", "test accuracy", "validation accuracy", "best step"),
        *("half-life at end, words", "belt share at end", "status"),
    ]
    assert rows == [
        ["GRU", "0", "81.2", "81.2", "200", "8", "25.0", "finished"],
        ["GRU", "1", "–", "–", "–", "–", "–", "diverged"],
        ["GRU", "2", "–", "–", "–", "–", "–", "unfinished"],
    ]


def test_what_is_swept_stands_between_cell_and_seed_and_is_escaped(run):
    write_member(run, "GRU a", varied={"learning_rate": 0.003, "cell.init": "<chrono>"})
    write_member(run, "GRU b", 4, varied={"learning_rate": 1e-05})
    head, *rows = rows_of(run)
    assert head[:5] == ["cell", "learning_rate", "cell.init", "seed", "test accuracy"]
    assert [row[:4] for row in rows] == [
        ["GRU a", "0.003", html.escape("<chrono>"), "0"],
        ["GRU b", "1e-05", "–", "4"],
    ]


def test_one_run_of_each_cell_needs_no_second_table(run):
    write_member(run, "GRU")
    write_member(run, "LSTM")
    assert rows_of(run) == []
    assert 'id="every_run"' not in write_report(run).read_text(encoding="utf-8")
    write_member(run, "LSTM", 1)
    assert len(rows_of(run)) == 1 + 3


def test_on_the_page_it_is_folded_below_the_table(run):
    for seed in range(2):
        write_member(run, "GRU", seed)
    text = write_report(run).read_text(encoding="utf-8")
    places = [
        text.index(mark) for mark in ("<table>", '<details id="every_run"><summary>Every run (2)', "<section id=")
    ]
    assert places == sorted(places)


def test_a_member_that_gave_up_is_named_with_its_reason_and_not_as_unfinished(run):
    write_member(run, "GRU", 1, failure="GRU (seed 1): the loss became nan at step 7; try a smaller --learning-rate.")
    text = html.unescape(write_report(run).read_text(encoding="utf-8"))
    assert "GRU (seed 1): the loss became nan at step 7; try a smaller --learning-rate." in text
    assert "has not finished" not in text
