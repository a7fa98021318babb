"""Control characters and formulas in names reach neither terminal nor page raw; unusable records are named."""

import csv
import io
import json

import pytest
from synthetic_run import write_member, write_run, write_task

from rnnjax.errors import UserError
from rnnjax.report.run_report import write_report
from rnnjax.report.tables.summary_table import rich_table
from rnnjax.runs.reader import load_run
from rnnjax.runtime.console import Terminal, printable

HOSTILE = "$\\frac {x} \x1b]0;title\x07\x9b31m\u202e"


def test_escapes():
    assert printable("a\x1b[2J\x9b\x07\r\u202e\ud83d\té\n") == "a\\x1b[2J\\x9b\\x07\\r\\u202e\\ud83d\té\n"


def test_a_report_of_hostile_names_shows_them_escaped(tmp_path):
    run = write_run(tmp_path / "run", flags={"file": "caf\udce9" + HOSTILE})
    write_task(run, "number", HOSTILE, HOSTILE, loss=HOSTILE, classes=[HOSTILE])
    folder = write_member(run, "LSTM")
    member = json.loads((folder / "member.json").read_text())
    (folder / "member.json").write_text(json.dumps(member | {"label": HOSTILE, "varied": {HOSTILE: HOSTILE}}))
    page = write_report(run).read_text(encoding="utf-8")
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & {*page}
    assert "\\x1b]0;title" in page
    out = io.StringIO()
    Terminal(file=out, force_terminal=False, width=200).print(rich_table(load_run(run)))
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & {*out.getvalue()}


def test_the_table_as_csv_acts_on_neither_terminal_nor_spreadsheet(tmp_path):
    run = write_run(tmp_path / "run")
    formula = "=1+1\x1b[2J\r\n"
    write_member(run, "LSTM", varied={formula: HOSTILE, "@b": "-2+1", "clip": -2.0})
    path = next(run.glob("members/*/member.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"label": formula, "cell": "+\x9b"}))
    write_report(run)
    content = (run / "table.csv").read_bytes().decode()
    assert not {*"\x1b\x07\x9b\r\u202e"} & {*content}
    ((names, values),) = [[*csv.reader(io.StringIO(content))]]
    row = dict(zip(names, values, strict=True))
    shown = "'=1+1\\x1b[2J\\r\\n"
    assert (row["label"], row["cell"]) == (shown, "'+\\x9b")
    assert (row[shown], row["'@b"], row["clip"]) == ("$\\frac {x} \\x1b]0;title\\x07\\x9b31m\\u202e", "'-2+1", "-2")


@pytest.mark.parametrize(
    ("file", "line", "change", "reason"),
    [
        ("gradients.jsonl", 1, {"state": "z-z"}, "state: 'z-z', expected a name such as 'h' or 'c', or 'carry[0]'"),
        ("member.json", None, {"label": "\ud83d"}, "label: a text with half a surrogate pair"),
        ("member.json", None, {"baseline": -1e308}, "baseline: expected float >= -1e+300"),
        ("member.json", None, {"varied": {"clip": [1]}}, "varied[...]: expected"),
        ("member.json", None, {"varied": {"clip": 10**400}}, "varied[...]: "),
        ("metrics.jsonl", 1, {"step": -1}, "step: expected int >= 0"),
    ],
)
def test_a_record_that_cannot_be_shown_is_named(tmp_path, file, line, change, reason):
    run = write_run(tmp_path / "run")
    folder = write_member(run, "LSTM")
    if file == "gradients.jsonl":
        record = {key: [1.0] for key in ("mean", "q10", "q50", "q90")} | {"step": 0, "layer": 0, "count": [1]}
        (folder / file).write_text(json.dumps(record | {"state": "h"}) + "\n")
    records = [json.loads(text) for text in (folder / file).read_text().splitlines()]
    (folder / file).write_text("".join(json.dumps(record | change) + "\n" for record in records))
    with pytest.raises(UserError) as error:
        write_report(run)
    where = "" if line is None else f" in line {line}"
    assert str(error.value).startswith(f"'{folder / file}' is damaged{where}, {reason}")
