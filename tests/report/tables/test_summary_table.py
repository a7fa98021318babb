import csv
import io

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from synthetic_diagnosis import layer_record, write_diagnosis
from synthetic_run import write_member, write_run

from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.tables.export import csv_text
from rnnjax.report.tables.summary_table import header, html_table, rich_table, rows
from rnnjax.runs.reader import load_run

LAGS = np.arange(201)


@pytest.fixture
def run(tmp_path):
    """Three LSTM seeds, one SimpleRNN that has not finished, one GRU that diverged at once."""
    run = write_run(tmp_path / "run")
    for seed, rate in enumerate([0.9, 0.95, 1.01]):
        curves = {"h": [0.5**LAGS] * 2, "c": [0.8**LAGS, rate**LAGS]}
        accuracy = {100: 1.0, 200: 0.99 + 0.001 * seed}
        write_member(run, "LSTM", seed, curves=curves, by_distance=accuracy, test=0.9 + 0.01 * seed, parameters=33345)
    write_member(run, "SimpleRNN", curves={"h": [0.5**LAGS]}, test=None, parameters=10369)
    write_member(run, "GRU", curves={"h": [np.full(201, np.nan)] * 2}, test=None, parameters=25000)
    return run


def table_of(run):
    groups = seed_groups(load_run(run))
    return {row[0].value: dict(zip(header(groups), row, strict=True)) for row in rows(groups)}


def test_values_and_spread_over_seeds(run):
    row = table_of(run)["LSTM"]
    assert row["cell"].spread == "3 seeds"
    assert (row["accuracy at 200 words"].value, row["accuracy at 200 words"].spread) == ("99.1", "99.0–99.2")
    assert (row["test accuracy"].value, row["test accuracy"].spread) == ("91.0", "90.0–92.0")
    assert (row["half-life at start, words"].value, row["half-life at start, words"].spread) == ("3.1", "")
    # ln 2 / -ln 0.95 = 13.5; 0.95^89 = 0.0104, 0.95^90 = 0.0099
    assert (row["half-life at end, words"].value, row["half-life at end, words"].spread) == ("14", "6.6–∞")
    assert (row["reach at end, words"].value, row["reach at end, words"].spread) == ("89", "43 to ≥ 200")
    assert (row["parameters"].value, row["steps/s"].value) == ("33,345", "16")


def test_a_reach_as_far_as_was_measured_is_a_lower_bound(tmp_path):
    """Of 64 reviews at least 7 (a tenth) must be so long: here up to 180 words back."""
    run = write_run(tmp_path / "run")
    counts = [64] * 100 + [7] * 81 + [6] * 20
    for seed, rate in enumerate([0.999, 0.9, 1.0]):
        write_member(run, "GRU", seed, curves={"h": [rate**LAGS] * 2}, counts=counts)
    row = table_of(run)["GRU"]
    assert (row["reach at end, words"].value, row["reach at end, words"].spread) == ("≥ 180", "43 to ≥ 180")
    console = Console(width=80, file=io.StringIO())
    console.print(rich_table(load_run(run)))
    assert "≥180 → ≥180" in console.file.getvalue()
    assert {record["farthest_lag_end"] for record in csv.DictReader(io.StringIO(csv_text(load_run(run))))} == {"180"}


@pytest.mark.parametrize(("count", "reach"), [(4, "≥ 200"), (1, "≥ 200"), (5, "≥ 200"), (6, "≥ 99"), (49, "≥ 99")])
def test_a_tiny_batch_is_measured_as_far_as_all_of_it_or_five_reach(tmp_path, count, reach):
    """Behind the first 100 distances min(count, 5) reviews are left in batches up to 5, four in larger ones."""
    run = write_run(tmp_path / "run")
    left = count if count <= 5 else 4
    write_member(run, "GRU", curves={"h": [np.ones(201)] * 2}, counts=[count] * 100 + [left] * 101)
    assert table_of(run)["GRU"]["reach at end, words"].value == reach


def test_what_is_not_known_is_a_dash(run):
    row = table_of(run)["SimpleRNN"]
    assert row["cell"].spread == "1 seed, 0 finished"
    assert {row[title].value for title in ("test accuracy", "half-life at end, words", "steps/s")} == {"–"}
    assert row["half-life at start, words"].value == "1"
    assert {table_of(run)["GRU"][title].value for title in header(seed_groups(load_run(run)))[1:7]} == {"–"}


def test_no_distances_no_column(tmp_path):
    run = write_run(tmp_path / "imdb", "imdb")
    write_member(run, "LSTM")
    assert header(seed_groups(load_run(run)))[:2] == ["cell", "test accuracy"]
    assert "farthest_distance" in csv_text(load_run(run))


def test_the_csv_has_a_row_for_each_member_with_exact_numbers(run):
    records = list(csv.DictReader(io.StringIO(csv_text(load_run(run)))))
    assert [(record["label"], record["seed"]) for record in records] == [
        *(("SimpleRNN", "0"), ("GRU", "0"), ("LSTM", "0"), ("LSTM", "1"), ("LSTM", "2"))
    ]
    assert float(records[2]["half_life_end"]) == pytest.approx(np.log(2) / -np.log(0.9), rel=1e-9)
    assert (records[4]["half_life_end"], records[4]["reach_end"]) == ("inf", "200")
    assert (records[4]["farthest_lag_end"], records[1]["farthest_lag_end"]) == ("200", "")
    assert (records[2]["memory_state"], records[0]["memory_state"]) == ("c", "h")
    assert (records[3]["test_accuracy"], records[3]["accuracy_at_farthest"]) == ("0.91", "0.991")
    assert (records[0]["finished"], records[0]["test_accuracy"], records[1]["reach_end"]) == ("0", "", "")


def test_the_terminal_table_fits_80_columns(run):
    write_member(run, "GRU chrono=200 [bold]", parameters=25000)
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(rich_table(load_run(run)))
    text = console.file.getvalue()
    assert "[bold]" in text  # a label is never taken for markup
    assert "…" not in text
    assert "3.1 → 14" in text
    assert "20 → 89" in text
    assert max(map(len, text.splitlines())) <= 80


def test_html_is_escaped(run):
    write_member(run, "<b>&")
    assert "&lt;b&gt;&amp;" in html_table(load_run(run), "table.csv")
    assert "<b>" not in html_table(load_run(run), "table.csv")


# Student's t of 39, 41 and 43%: 2 / √3 · 4.303 = 4.97.
def test_a_half_life_has_the_lowest_and_highest_seed_and_a_share_its_interval(tmp_path):
    run = write_run(tmp_path / "run")
    for seed, (half, share) in enumerate([(6.0, 0.39), (6.5, 0.41), (7.0, 0.43)]):
        folder = write_member(run, "GRU", seed, curves={"h": [0.5 ** (LAGS / half), 0.5 ** (LAGS / 10)]})
        write_diagnosis(folder, "start", layer_record("GRU", keep=0.5, share=share))
    row = table_of(run)["GRU"]
    half_life, belt = row["half-life at start, words"], row["belt share at start"]
    assert (half_life.value, half_life.spread) == ("6.5", "6–7")
    assert (belt.value, belt.spread) == ("41.0", "[36.0–46.0]")
    assert (row["belt share at end"].value, row["half-life at end, words"].spread) == ("–", "")
    low, high = stats.t.interval(0.95, 2, loc=41, scale=stats.sem([39, 41, 43]))
    assert f"[{low:.1f}–{high:.1f}]" == belt.spread
    records = list(csv.DictReader(io.StringIO(csv_text(load_run(run)))))
    assert [(record["belt_share_start"], record["belt_share_end"]) for record in records][:2] == [
        ("0.39", ""),
        ("0.41", ""),
    ]


def test_a_cell_without_a_belt_has_none_and_one_whose_belt_is_unknown_a_dash(tmp_path):
    run = write_run(tmp_path / "run")
    no_belt = layer_record("SimpleRNN", share=0.0)
    for label, record in (("SimpleRNN", no_belt), ("sLSTM", no_belt | {"belt_share": None})):
        write_diagnosis(write_member(run, label), "start", record)
    shown = {label: row["belt share at start"].value for label, row in table_of(run).items()}
    assert shown == {"SimpleRNN": "none", "sLSTM": "–"}


def test_only_a_diagnosed_run_has_a_belt_column_and_it_fits_120_columns(run):
    assert not [title for title in header(seed_groups(load_run(run))) if "belt" in title]
    for seed in range(3):
        folder = run / "members" / f"lstm-seed{seed}"
        write_diagnosis(folder, "start", layer_record("LSTM", keep=0.5, share=0.012 + 0.1 * seed))
        write_diagnosis(folder, "end", layer_record("LSTM", keep=0.5, share=0.4 + 0.1 * seed))
    write_member(run, "GRU chrono=200", parameters=25000)
    console = Console(width=120, file=io.StringIO(), force_terminal=False)
    console.print(rich_table(load_run(run)))
    text = console.file.getvalue()
    assert "11.2 → 50.0" in text
    assert "[0.0–36.0] → [25.2–74.8]" in text
    assert "Belt share:" in text
    assert max(map(len, text.splitlines())) <= 120
    assert "…" not in text
