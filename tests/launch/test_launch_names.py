"""Names of files in bytes that are not UTF-8, as old archives hold them: for data, run folders and pages."""

import csv
import json
import os
import sys

import pytest
from command_line import SMALL, isolated_home
from good_run import write_good_run

import launch
from experiments.registry import experiment_to_config
from experiments.tasks.text import Text
from rnnjax.runs.reader import load_run
from rnnjax.runs.writer import write_config

TABLE = "text,label\n" + "a good film,good\na dull film,bad\n" * 30
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode elsewhere")


def named(folder, name):
    """The path of a name whose é is one byte of Latin-1."""
    return folder / os.fsdecode(name.encode("latin-1"))


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch):
    with isolated_home(tmp_path_factory, monkeypatch):
        yield


def test_predict_reads_and_writes_them(tmp_path, capsys):
    run, file, out = (named(tmp_path, name) for name in ("résultat", "café.csv", "prédit.csv"))
    write_config(write_good_run(run), experiment_to_config(Text(train=str(file))))
    file.write_text(TABLE)
    assert launch.main(["predict", str(run), str(file), "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 1 + 2 * 60
    assert capsys.readouterr().out.endswith(f"{tmp_path}/pr\\udce9dit.csv\n")


@pytest.mark.parametrize("out", ["new.csv", "new.jsonl"])
def test_predict_names_the_files_of_a_folder_without_harm(out, tmp_path):
    """As escapes where they are no text, and not as formulas of a spreadsheet."""
    run, folder = write_good_run(tmp_path / "run"), tmp_path / "texts"
    write_config(run, experiment_to_config(Text(train="train.csv")))
    folder.mkdir()
    for name in ("=cmd.txt", "café.txt"):
        named(folder, name).write_text("a good film")
    assert launch.main(["predict", str(run), str(folder), "--out", str(tmp_path / out)]) == 0
    with (tmp_path / out).open(newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file) if out == "new.csv" else map(json.loads, file))
    formula = "'=cmd.txt" if out == "new.csv" else "=cmd.txt"
    assert [record["file"] for record in records] == [formula] * 2 + [r"caf\udce9.txt"] * 2


@pytest.mark.slow
def test_a_run_is_trained_and_reported_with_them(tmp_path, capsys):
    run, file, page = (named(tmp_path, name) for name in ("résultat", "café.csv", "comparé.html"))
    file.write_text(TABLE)
    assert launch.main(["text", "--train", str(file), *SMALL.split(), "--embedding", "4", "--out", str(run)]) == 0
    assert load_run(run).flags["train"] == str(file)
    assert launch.main(["report", str(run)]) == 0
    assert "caf\\udce9.csv" in (run / "report.html").read_text(encoding="utf-8")
    assert launch.main(["compare", str(run), str(write_good_run(tmp_path / "other")), "--out", str(page)]) == 0
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert capsys.readouterr().err == ""
