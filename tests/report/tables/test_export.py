import csv
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from synthetic_run import write_member, write_run

from rnnjax.report.run_report import write_report
from rnnjax.report.tables.export import csv_text, parquet_bytes, records_as_csv
from rnnjax.runs.reader import load_run

LAGS = np.arange(31)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def csv_of(run):
    return list(csv.DictReader(io.StringIO(csv_text(load_run(run)))))


def parquet_of(run):
    return pyarrow.parquet.read_table(io.BytesIO(parquet_bytes(load_run(run))))


def test_what_is_swept_has_columns_behind_the_seed(run):
    varied = {"learning_rate": 0.003, "cell.init": "chrono"}
    write_member(run, "LSTM chrono=201 learning_rate=0.003", varied=varied, test=0.75)
    write_member(run, "GRU", varied={"learning_rate": 1e-05})
    records = csv_of(run)
    assert list(records[0])[:7] == ["label", "cell", "seed", "learning_rate", "cell.init", "parameters", "steps"]
    values = [tuple(row[name] for name in ("label", "learning_rate", "cell.init", "test_accuracy")) for row in records]
    assert values == [
        ("GRU", "1e-05", "", "0.9"),
        ("LSTM chrono=201 learning_rate=0.003", "0.003", "chrono", "0.75"),
    ]


def test_a_run_that_is_older_than_sweeps_has_the_columns_of_then_and_diverged(run):
    write_member(run, "LSTM")
    assert list(csv_of(run)[0])[:7] == ["label", "cell", "seed", "parameters", "steps", "finished", "diverged"]
    assert csv_of(run)[0]["diverged"] == "0"


@pytest.mark.parametrize("name", ["failure.json", "diverged.json"])
def test_either_file_says_that_a_member_diverged(run, name):
    record = '{"step": 7, "phase": "forward", "layer": null, "gate": null, "timestep": null, "what": "loss"}'
    folder = write_member(run, "LSTM", 0, test=None)
    (folder / name).write_text('{"message": "the loss became nan"}' if name == "failure.json" else record)
    write_member(run, "LSTM", 1, test=None)
    write_member(run, "LSTM", 2)
    assert [(row["finished"], row["diverged"]) for row in csv_of(run)] == [("0", "1"), ("0", "0"), ("1", "0")]


def test_the_parquet_table_holds_the_same_with_types(run):
    curves = {"h": [0.5**LAGS, np.ones(31)]}
    write_member(run, "GRU", 0, curves=curves, by_distance={10: 1.0, 30: 0.5}, varied={"clip": 1, "omega": 0.5})
    write_member(run, "GRU", 1, test=None, varied={"clip": 2})
    table = parquet_of(run)
    assert table.column_names == list(csv_of(run)[0])
    types = {"label": pa.string(), "seed": pa.int64(), "clip": pa.int64(), "omega": pa.float64()}
    types |= {"finished": pa.int64(), "best_step": pa.int64(), "test_accuracy": pa.float64()}
    types |= {"half_life_end": pa.float64(), "memory_state": pa.string(), "farthest_lag_end": pa.int64()}
    assert {name: table.schema.field(name).type for name in types} == types
    first, second = table.to_pylist()
    assert (first["omega"], first["best_step"], first["farthest_lag_end"]) == (0.5, 200, 30)
    assert (first["half_life_end"], first["accuracy_at_farthest"]) == (float("inf"), 0.5)
    assert [second[name] for name in ("omega", "best_step", "test_accuracy", "half_life_end")] == [None] * 4
    for csv_row, parquet_row in zip(csv_of(run), (first, second), strict=True):
        for name, text in csv_row.items():
            value = "" if parquet_row[name] is None else parquet_row[name]
            assert text == value or float(text) == value, name


def test_words_among_numbers_make_a_column_of_strings(run):
    for seed, value in enumerate([200, 0.5, "chrono"]):
        write_member(run, "GRU", seed, varied={"cell.init": value})
    assert parquet_of(run).column("cell.init").to_pylist() == ["200", "0.5", "chrono"]
    assert [record["cell.init"] for record in csv_of(run)] == ["200", "0.5", "chrono"]


def test_whole_numbers_among_others_make_a_column_of_floats(run):
    for seed, value in enumerate([1, 0.5]):
        write_member(run, "GRU", seed, varied={"clip": value})
    column = parquet_of(run).column("clip")
    assert (column.type, column.to_pylist()) == (pa.float64(), [1.0, 0.5])


def test_a_swept_flag_that_is_called_like_another_column_keeps_apart_from_it(run):
    write_member(run, "GRU steps=50", steps=200, varied={"steps": 50})
    (record,) = csv_of(run)
    assert (record["swept_steps"], record["steps"]) == ("50", "200")
    assert parquet_of(run).column("swept_steps").to_pylist() == [50]


def test_both_files_lie_beside_the_report_whole(run):
    write_member(run, "GRU", varied={"clip": 1})
    write_report(run)
    assert (run / "table.csv").read_text() == csv_text(load_run(run))
    assert pyarrow.parquet.read_table(run / "table.parquet").to_pylist() == parquet_of(run).to_pylist()
    assert not list(run.rglob("*.partial"))


def test_a_run_without_members_has_empty_tables(run):
    assert csv_text(load_run(run)) == "label\n"
    assert parquet_of(run).to_pydict() == {"label": []}


def test_texts_that_a_spreadsheet_calculates_have_an_apostrophe_and_numbers_have_none():
    texts = ["=1", "@a", "-a", "+1+a", "-1-1", "-1", "+2.5", "-1\n", "a=1", "5-3"]
    lines = records_as_csv([{"P(=b)": text} for text in texts]).splitlines()
    assert lines == ["P(=b)", "'=1", "'@a", "'-a", "'+1+a", "'-1-1", "-1", "+2.5", r"'-1\n", "a=1", "5-3"]
