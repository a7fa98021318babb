"""Figures, files and published numbers of tasks whose main score is the loss."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet
import pytest
from page_reader import of_kind
from rich.console import Console
from shards import shard_of
from synthetic_run import write_member, write_number_task, write_run, write_symbols_task, write_task

from rnnjax.report.figures.scores import learning_curves
from rnnjax.report.figures.sweep import sweeps
from rnnjax.report.interactive.embed import embed_figures
from rnnjax.report.run_report import write_report
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.tables.export import csv_text, parquet_bytes
from rnnjax.report.tables.published import rich_published, rows
from rnnjax.runs.merge import merge_runs
from rnnjax.runs.reader import load_run

BAI = {"setting": "T=600", "source": "Bai, Kolter & <Koltun> 2018"}
PUBLISHED = [
    {"model": "LSTM", "cell": "lstm", "score": "test loss", "value": 0.164, **BAI},
    {"model": "RNN", "cell": "simplernn", "score": "validation loss", "value": 0.1774, **BAI},
    {"model": "TCN", "cell": None, "score": "test accuracy", "value": 0.872, **BAI},
]


@pytest.fixture
def run(tmp_path):
    return write_number_task(tmp_path / "adding", published=PUBLISHED)


def groups_of(run):
    return seed_groups(load_run(run))


def test_the_loss_is_drawn_alone_on_a_logarithmic_scale_beside_the_baseline(run):
    (panel,) = learning_curves(groups_of(run)).axes
    assert panel.get_yscale() == "log"
    lines = {drawn.get_label(): drawn for drawn in panel.get_lines()}
    np.testing.assert_allclose(lines["LSTM"].get_ydata(), [0.166, 0.02, 0.00115])
    baseline = lines["remembers nothing: 0.167"]
    assert (baseline.get_linestyle(), set(baseline.get_ydata())) == ("--", {1 / 6})


def test_losses_within_a_factor_of_ten_keep_equal_distances_and_no_baseline_is_drawn_where_none_is_known(tmp_path):
    (panel,) = learning_curves(groups_of(write_symbols_task(tmp_path / "characters"))).axes
    assert panel.get_yscale() == "linear"
    assert [drawn.get_label() for drawn in panel.get_lines()] == ["GRU"]


def test_on_screen_the_baseline_is_dashed_and_named_too(run):
    script, figures = embed_figures(groups_of(run))
    assert len(figures["learning_curves"].parts) == 1
    (span,) = of_kind(script, "Span")
    assert (span["location"], span["line_dash"]) == (1 / 6, [6])
    assert [label["text"] for label in of_kind(script, "Label")] == ["remembers nothing: 0.167"]
    assert len(of_kind(script, "LogAxis")) == 1


def test_a_class_is_guessed_as_often_as_there_are_classes(tmp_path):
    run = write_run(tmp_path / "pixels")
    write_task(run, "classes", "pixel", "image", classes=list("0123456789"))
    write_member(run, "GRU")
    right, loss = learning_curves(groups_of(run)).axes
    assert loss.get_ylim() == (0, pytest.approx(0.63))  # 1.05 of the highest: nothing is known of guessing
    assert embed_figures(groups_of(run))[1]
    assert {drawn.get_label(): drawn for drawn in right.get_lines()}["guessing"].get_ydata()[0] == 0.1


def test_a_sweep_of_a_number_task_is_over_the_test_loss(tmp_path):
    run = write_run(tmp_path / "sweep")
    write_task(run, "number", "step", "sequence")
    for rate, value in {0.1: 0.15, 0.01: 0.0012}.items():
        label = f"LSTM learning_rate={rate}"
        write_member(run, label, losses=(value, value), varied={"learning_rate": rate})
    (sweep,) = sweeps(load_run(run))
    panel = sweep.figure.draw(sweep.series, 3).axes[0]
    assert (panel.get_ylabel(), panel.get_yscale()) == ("loss (test)", "log")
    assert sweep.figure.captions(sweep.series)[0].text == "Best at learning_rate 0.01: a test loss of 0.00120."
    assert "Test loss against" in sweep.figure.reading
    assert embed_figures((), (sweep,))[1]


def test_a_sweep_shows_what_remembering_nothing_gets_at_each_value(tmp_path):
    run = write_run(tmp_path / "copying")
    write_task(run, "symbols", "step", "sequence")
    for delay, baseline in ((50, 0.3), (100, 0.17)):
        record = {"losses": (0.1, 0.1), "test": 0.5, "baseline": baseline, "varied": {"delay": delay}}
        write_member(run, f"GRU delay={delay}", curves={"h": [np.exp(-0.1 * np.arange(9))]}, **record)
    (sweep,) = sweeps(load_run(run))
    lines = {line.get_label(): line for line in sweep.figure.draw(sweep.series, 3).axes[0].get_lines()}
    baseline_line = lines["remembers nothing"]
    assert baseline_line.get_xydata().tolist() == [[50, 0.3], [100, 0.17]]
    groups = [line.get_label() for line in learning_curves(seed_groups(load_run(run))).axes[0].get_lines()]
    assert groups.count("remembers nothing") == 1


def test_published_figures_stand_beside_those_of_the_same_cell(run):
    record = rows(load_run(run))
    assert [[value for value, _ in row] for row in record] == [
        ["LSTM", "T=600", "test loss", "0.164", "0.00130", "Bai, Kolter & <Koltun> 2018"],
        ["RNN", "T=600", "validation loss", "0.177", "0.167", "Bai, Kolter & <Koltun> 2018"],
        ["TCN", "T=600", "test accuracy", "87.2", "–", "Bai, Kolter & <Koltun> 2018"],
    ]
    assert record[0][4][1] == "0.00120–0.00140"
    text = write_report(run).read_text(encoding="utf-8")
    assert "<h2>Published figures</h2>" in text
    assert "&lt;Koltun&gt;" in text
    console = Console(width=120, file=io.StringIO())
    console.print(rich_published(load_run(run)))
    assert "0.00130 (0.00120–0.00140)" in console.file.getvalue()


def test_several_labels_of_a_published_cell_have_a_line_each(run):
    write_member(run, "LSTM chrono=200", losses=(0.002, 0.002))
    here = [row[4][0] for row in rows(load_run(run)) if row[0][0] == "LSTM"]
    assert sorted(here) == ["LSTM chrono=200: 0.00200", "LSTM: 0.00130"]


def test_without_published_figures_there_is_no_such_section(tmp_path):
    run = write_number_task(tmp_path / "adding")
    assert rich_published(load_run(run)) is None
    assert "Published figures" not in write_report(run).read_text(encoding="utf-8")


def test_the_files_hold_losses_and_steps_to_beat_the_baseline(run):
    records = list(csv.DictReader(io.StringIO(csv_text(load_run(run)))))
    first = next(record for record in records if record["label"] == "LSTM" and record["seed"] == "0")
    known = {name: first[name] for name in ("test_loss", "validation_loss", "steps_to_beat_baseline")}
    assert known == {"test_loss": "0.0012", "validation_loss": "0.0011", "steps_to_beat_baseline": "200"}
    assert float(first["baseline"]) == 1 / 6
    (never,) = [record["steps_to_beat_baseline"] for record in records if record["label"] == "SimpleRNN"]
    assert never == ""
    table = pyarrow.parquet.read_table(io.BytesIO(parquet_bytes(load_run(run)))).to_pydict()
    assert sorted(table["steps_to_beat_baseline"], key=str) == [200, 200, None]


def test_a_merge_of_shards_keeps_the_task(tmp_path):
    shards = [shard_of(tmp_path / f"study-{i}", f"{i}/2", label) for i, label in ((1, "LSTM"), (2, "GRU"))]
    write_task(shards[1], "number", "step", "series")
    merged = merge_runs(shards, tmp_path / "merged").folder
    assert (
        load_run(merged).task.objective.value == json.loads((merged / "task.json").read_text())["objective"] == "number"
    )
