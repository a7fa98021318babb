"""``launch.py reach``: the table, the files in the run folder, and one sentence for a run that cannot be measured."""

import csv
import re
import shutil

import numpy as np
import pytest
from command_line import SMALL, isolated_home, start

import launch
from rnnjax.formatting import loss
from rnnjax.runs.json_io import read_json, write_json

pytestmark = pytest.mark.slow

RECALL = f"recall {SMALL} --cells simple lstm --steps 3 --embedding 3 --min-distance 1 --max-distance 4"
FILES = ("reach.csv", "reach-curves.csv", "figures/reach.png")


@pytest.fixture(scope="module", autouse=True)
def isolated(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, isolated_home(tmp_path_factory, patch):
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert start(RECALL.replace("--cells lstm", ""), folder)[0] == 0
    return folder


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_table_is_printed_and_written_into_the_run(run, capsys):
    assert launch.main(["reach", str(run), "--examples", "40"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    for name in ("SimpleRNN", "LSTM", "recall", *FILES):
        assert name in output.out
    assert (run / "figures" / "reach.png").read_bytes().startswith(b"\x89PNG")
    table = rows_of(run / "reach.csv")
    assert [(row["label"], row["length"], row["examples"]) for row in table] == [
        ("SimpleRNN", "5", "40"),
        ("LSTM", "5", "40"),
    ]
    curves = rows_of(run / "reach-curves.csv")
    for row in table:
        scores = {int(c["steps"]): c["score"] for c in curves if c["label"] == row["label"] and c["score"]}
        assert {0, 1, 2, 5} <= scores.keys()  # two steps are half of five
        assert scores[5] == row["intact"]
        assert (row["reach_95"] == "") == (row["at_chance"] == "1")
        assert len([c for c in curves if c["label"] == row["label"] and c["move"]]) == 5


def test_a_run_that_is_named_twice_is_measured_once(run, capsys):
    assert launch.main(["reach", str(run), str(run), "--examples", "9"]) == 0
    assert capsys.readouterr().out.count("recall, LSTM, seed 0") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda run: (run / "members" / "lstm-seed0" / "result.json").unlink(),
            "is not finished (1 of 2 networks are not: lstm-seed0); continue it with its flags, --out and --resume, or "
            "name another run.",
        ),
        (
            lambda run: write_json(
                run / "config.json", read_json(run / "config.json", dict) | {"contents": {"train": "0"}}
            ),
            "has changed (the content of train); restore it or run again.",
        ),
        (
            lambda run: write_json(run / "vocabulary.json", [*read_json(run / "vocabulary.json", list)[:-1], "other"]),
            "has changed (its vocabulary); restore it or run again.",
        ),
        (
            lambda run: (run / "members" / "simplernn-seed0" / "params.msgpack").write_bytes(b"?"),
            "members/simplernn-seed0/params.msgpack' are damaged",
        ),
    ],
)
def test_a_run_that_cannot_be_measured_is_one_sentence(change, message, run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for file in FILES:
        (copy / file).unlink(missing_ok=True)
    change(copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert launch.main(["reach", str(copy)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_networks_that_failed_are_left_out(run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for name, status in (("simplernn-seed0", 0), ("lstm-seed0", 1)):
        (copy / "members" / name / "result.json").unlink()
        write_json(copy / "members" / name / "failure.json", {"message": "It diverged."})
        assert launch.main(["reach", str(copy), "--examples", "9"]) == status
    assert "has no trained network, since all of them failed" in capsys.readouterr().err
    assert [row["label"] for row in rows_of(copy / "reach.csv")] == ["LSTM"]


def test_errors_are_in_the_unit_of_each_network_where_a_sweep_changes_the_training_part(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "all.npz", x=rng.normal(size=(60, 5, 2)), y=rng.gamma(0.5, 1000.0, size=60))
    run = tmp_path / "run"
    assert start(f"series --train {tmp_path / 'all.npz'} {SMALL} --sweep validation=0.1,0.7", run)[0] == 0
    assert launch.main(["reach", str(run)]) == 0
    output, rows = capsys.readouterr().out, rows_of(run / "reach.csv")
    members = {member["label"]: member for member in map(read_json, run.glob("members/*/member.json"))}
    units = [members[row["label"]]["label_scale"][1] for row in rows]  # the deviation of the labels
    assert len(set(units)) == 2
    for row, unit in zip(rows, units, strict=True):
        error = loss(unit * float(row["intact"]) ** 0.5)
        assert re.search(rf"{re.escape(row['label'])} +5 +{re.escape(error)} ", output)
