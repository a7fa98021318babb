import json
import re
from pathlib import Path

import numpy as np
import pytest
from page_reader import bare, logs, outside
from synthetic_run import write_member, write_run

from rnnjax.errors import UserError
from rnnjax.report.comparison import differences, short_names, write_comparison
from rnnjax.report.document import document
from rnnjax.runs.json_io import flat
from rnnjax.runs.reader import load_run

LAGS = np.arange(31)


@pytest.fixture
def runs(tmp_path):
    folders = []
    for name, hidden, rate in (("recall-small", 16, 0.5), ("recall-large", 64, 0.9)):
        flags = {"hidden": hidden, "out": f"runs/{name}", "training": {"clip": 1.0, "seed": hidden}, "steps": 400}
        run = write_run(tmp_path / name, flags=flags)
        accuracy = {10: 1.0, 30: rate}
        write_member(run, "LSTM", curves={"h": [0.5**LAGS] * 2, "c": [rate**LAGS] * 2}, by_distance=accuracy)
        folders.append(run)
    return tuple(folders)


def rows(table):
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)]


def test_runs_stand_side_by_side(runs, tmp_path):
    out = tmp_path / "pages" / "both.html"
    assert write_comparison(runs, out) == out
    text = out.read_text(encoding="utf-8")
    assert outside(text) == []
    assert "<h1>2 runs side by side</h1>" in text
    for name, right in (("small", "50.0"), ("large", "90.0")):
        headline = text.partition(f"<dt>{name}</dt><dd>")[2].partition("</dd>")[0]
        assert f"the LSTM ({right}% right)" in headline
        assert f"<b>{name}: LSTM</b>" in text
    first, second = (levels for _, levels in logs(text))
    np.testing.assert_allclose(10.0 ** first[-1], 0.5**LAGS, rtol=1e-5)
    np.testing.assert_allclose(10.0 ** second[-1], 0.9**LAGS, rtol=1e-5)
    differing, scores = re.findall(r"<table>.*?</table>", bare(text), re.DOTALL)
    assert rows(differing)[1] == ["hidden", "16", "64"]
    assert [row[0].partition("<")[0] for row in rows(scores)] == ["cell", "small: LSTM", "large: LSTM"]
    assert "".join(str(run) for run in runs if str(run) not in text) == ""
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".png"]


def test_the_table_holds_what_differs_and_nothing_else(runs):
    table = differences({"small": load_run(runs[0]), "large": load_run(runs[1])})
    assert rows(table) == [["differs", "small", "large"], ["hidden", "16", "64"], ["training.seed", "16", "64"]]


def test_equal_flags_are_said_to_be_equal(runs):
    assert differences(dict.fromkeys(("a", "b"), load_run(runs[0]))) == (
        "<p>All flags and the environment are the same.</p>"
    )


def test_a_flag_that_one_run_does_not_know_is_a_dash(runs):
    config = json.loads((runs[0] / "config.json").read_text())
    config["flags"]["warm"] = "<b>"
    (runs[1] / "config.json").write_text(json.dumps(config))
    (runs[1] / "environment.json").write_text(json.dumps({"python": "3.13", "devices": ["cpu:0"], "started": "now"}))
    table = differences({"a": load_run(runs[0]), "b": load_run(runs[1])})
    assert rows(table) == [["differs", "a", "b"], ["warm", "–", "&lt;b&gt;"], ["python", "3.11", "3.13"]]


def test_what_is_missing_is_said_with_the_run(runs, tmp_path):
    write_member(runs[1], "GRU", curves={"h": [0.5**LAGS]}, test=None)
    (runs[0] / "members" / "gru-seed5").mkdir()
    text = write_comparison(runs, tmp_path / "both.html").read_text(encoding="utf-8")
    assert "<li>small: gru-seed5 has not begun.</li>" in text
    assert "large: GRU, seed 0, has not finished" in text


@pytest.mark.parametrize("first", [0, 50])
def test_a_gradient_log_is_missing_by_the_flags_of_its_own_run(first, tmp_path):
    runs = []
    for name, every in (("first", first), ("second", 50 - first)):
        runs.append(write_run(tmp_path / name, flags={"training": {"log_gradients_every": every}}))
        write_member(runs[-1], "LSTM")
    text = write_comparison(tuple(runs), tmp_path / "both.html").read_text(encoding="utf-8")
    notes = re.findall(r"<li>([^<]* has no gradient log\.)</li>", text)
    assert notes == [f"{'first' if first else 'second'}: LSTM, seed 0, has no gradient log."]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/r/recall-1-2", "/r/recall-1-3"], ["2", "3"]),
        (["/r/base", "/r/base-low"], ["base", "base-low"]),
        (["/a/run", "/b/run"], ["a/run", "b/run"]),
        (["/x/a/run", "/x/b/run", "/x/c/other"], ["a/run", "b/run", "c/other"]),
        (["/r/low", "/r/long"], ["low", "long"]),
    ],
)
def test_short_names_tell_the_runs_apart(paths, names):
    assert short_names([Path(path) for path in paths]) == names


def test_nested_flags_are_joined_by_dots():
    assert flat({"a": 1, "b": {"c": {"d": [2]}, "e": None}}) == {"a": 1, "b.c.d": [2], "b.e": None}


def test_a_comparison_of_an_earlier_time_is_written_over_and_nothing_else(runs, tmp_path):
    out = tmp_path / "both.html"
    out.write_text("my thesis")
    with pytest.raises(UserError, match="exists and is not a comparison"):
        write_comparison(runs, out)
    assert out.read_text() == "my thesis"
    (tmp_path / "report.html").write_text(document(kind="report", title="t", headline="h"))
    with pytest.raises(UserError, match="exists and is not a comparison"):
        write_comparison(runs, tmp_path / "report.html")
    with pytest.raises(UserError, match="exists and is not a comparison"):
        write_comparison(runs, tmp_path)
    out.write_text(document(kind="comparison", title="of an earlier time", headline="h"))
    write_comparison(runs, out)
    assert "of an earlier time" not in out.read_text(encoding="utf-8")


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    out = tmp_path / "both.html"
    with pytest.raises(UserError, match="at least two run folders, got 1"):
        write_comparison(runs[:1], out)
    with pytest.raises(UserError, match="named twice"):
        write_comparison((runs[0], runs[0] / ".." / runs[0].name), out)
    with pytest.raises(UserError, match="is not a run folder"):
        write_comparison((runs[0], tmp_path), out)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written to"):
        write_comparison(runs, tmp_path / "file" / "both.html")
    assert not out.exists()
