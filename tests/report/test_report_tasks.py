"""Reports of tasks other than reviews: their nouns, and losses where the share of right answers says little."""

import csv
import html
import io
import json
import re

import numpy as np
import pytest
from page_reader import bare, of_kind
from rich.console import Console
from synthetic_diagnosis import LAGS, layer_record, write_diagnosis
from synthetic_run import write_member, write_number_task, write_run, write_symbols_task, write_task

from rnnjax.errors import UserError
from rnnjax.formatting import Nouns, loss
from rnnjax.report.comparison import write_comparison
from rnnjax.report.figures.sweep import group_points, sweeps
from rnnjax.report.run_report import write_report
from rnnjax.report.summary.alarm_evidence import group_alarms, member_evidence
from rnnjax.report.summary.score_by_start import starts_and_scores
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.report.tables.fields import header, rows
from rnnjax.report.tables.summary_table import note, rich_table
from rnnjax.report.text.headline import headline, learning_captions
from rnnjax.runs.reader import load_run
from rnnjax.runs.schema import TaskInfo


@pytest.fixture
def run(tmp_path):
    return write_number_task(tmp_path / "adding")


def groups_of(run):
    return seed_groups(load_run(run))


def table_of(run):
    groups = groups_of(run)
    return {row[0].value: dict(zip(header(groups), row, strict=True)) for row in rows(groups)}


def diagnose(run):
    """As tasks without words are diagnosed: no texts, no swaps."""
    for folder in (run / "members").iterdir():
        for when in ("start", "end"):
            belt = 0.9**LAGS if "lstm" in folder.name else 0.0
            file = write_diagnosis(folder, when, layer_record("LSTM" if "lstm" in folder.name else "SimpleRNN", belt))
            record = json.loads(file.read_text())
            file.write_text(json.dumps({name: record[name] for name in record if name not in ("texts", "swaps")}))


def read(page):
    """What a reader of the page sees, and what its interactive figures write on their axes."""
    text = page.read_text(encoding="utf-8")
    axes = [model.get("axis_label", "") for kind in ("LinearAxis", "LogAxis") for model in of_kind(text, kind)]
    text = re.sub(r"<style>.*?</style>|data:image[^\"]*", "", bare(text), flags=re.DOTALL)
    return html.unescape(text), axes


def test_no_sentence_of_a_number_task_speaks_of_words_or_reviews(run):
    diagnose(run)
    text, axes = read(write_report(run))
    assert "halves every 14 steps" in text
    assert "held-out sequences" in text
    assert "steps back from the end of the sequence" in axes
    assert not [
        phrase for record in (text, *axes) for phrase in re.findall(r"(?i).{0,30}(?:word|review).{0,30}", record)
    ]


def test_nouns_fill_every_sentence_and_know_their_plurals():
    nouns = Nouns("image", "series")
    assert (
        nouns.fill_template("{a_step}, {step}, {steps}, {example}, {examples}")
        == "an image, image, images, series, series"
    )
    assert (nouns.far(1), nouns.far(1.3)) == ("1 image", "1.3 images")
    assert Nouns("row").fill_template("{a_step}") == "a row"


def test_runs_of_different_nouns_side_by_side_share_step_and_example(run, tmp_path):
    page = write_comparison((run, write_symbols_task(tmp_path / "characters")), tmp_path / "both.html")
    text, axes = read(page)
    assert "steps back from the end of the example" in axes
    assert "halves every 14 steps" in text
    assert "halves every 6.6 characters" in text
    assert re.search(r"losses \(.*?\), losses \(.*?\) and accuracies, in percent, are of the parameters", text)


def test_the_main_score_of_a_number_task_is_its_test_loss(run):
    row = table_of(run)["LSTM"]
    assert (row["test loss"].value, row["test loss"].spread) == ("0.00130", "0.0012–0.0014")
    assert row["validation loss"].value == "0.00115"
    assert row["test accuracy"].value == "91.0"
    assert "validation accuracy" not in row
    caption = (
        "The LSTM reaches a test loss of 0.00130, the SimpleRNN 0.167, where remembering nothing gives 0.167 at best."
    )
    assert headline(groups_of(run)) == caption
    assert (
        dict(learning_captions(groups_of(run)))["LSTM"]
        == "Best validation loss 0.00115 (mean of 2 seeds), at step 300."
    )


ERRORS = {"rmse": 12.0, "mae": 9.0, "r2": 0.8768}


def write_regression(path, *, errors=True):
    """A finished run on series with numbers as labels, whose standard deviation is 30: losses are in its square."""
    run = write_run(path, "series")
    write_task(run, "number", "step", "series", loss="mean squared error", label_scale=[100.0, 30.0])
    rows = [(100, 1.1, 0.01), (200, 0.25, 0.02), (300, 0.2, 0.02)]
    for seed in range(2):
        scores = {"validation": rows, "losses": (0.16, 0.2), "test": 0.03, "baseline": 1.0, "varied": {}}
        folder = write_member(run, "GRU", seed, curves={"h": [0.9**LAGS] * 2}, **scores)
        if errors:
            result = json.loads((folder / "result.json").read_text())
            test = ERRORS | {"rmse": 12.0 + seed}
            (folder / "result.json").write_text(
                json.dumps(result | {"test_errors": test, "validation_errors": ERRORS | {"r2": None}})
            )
    return run


def test_each_member_has_the_unit_of_its_own_labels_where_a_sweep_changes_them(tmp_path):
    run = write_run(tmp_path / "series", "series")
    write_task(run, "number", "step", "series", loss="mean squared error", label_scale=[100.0, 30.0])
    for validation, deviation in ((0.1, 30.0), (0.3, 50.0)):
        scores = {"validation": [(100, 0.25, 0.0)], "losses": (0.16, 0.25), "varied": {"validation": validation}}
        folder = write_member(run, f"GRU validation={validation}", **scores)
        info = json.loads((folder / "member.json").read_text())
        (folder / "member.json").write_text(json.dumps(info | {"label_scale": [100.0, deviation]}))
    captions = dict(learning_captions(groups_of(run)))
    assert captions["GRU validation=0.1"].startswith("Best validation RMSE 15.0,")
    assert captions["GRU validation=0.3"].startswith("Best validation RMSE 25.0,")
    (sweep,) = sweeps(load_run(run))
    points = group_points(sweep.series[0], "validation")
    np.testing.assert_allclose(np.concatenate(points.seeds), [0.4 * 30, 0.4 * 50])


def test_what_a_regression_learnt_beside_its_start_is_in_the_unit_of_its_labels(tmp_path):
    run = write_run(tmp_path / "series", "series")
    write_task(run, "number", "step", "series", loss="mean squared error", label_scale=[100.0, 30.0])
    for i in range(5):
        write_member(run, f"GRU features={i}", curves={"h": [0.9**LAGS] * 2}, losses=(0.16, 0.2))
    assert [point.score for point in starts_and_scores(groups_of(run))] == [12.0] * 5


def test_a_regression_shows_errors_in_the_unit_of_its_labels_and_no_accuracy(tmp_path):
    run = write_regression(tmp_path / "series")
    row = table_of(run)["GRU"]
    assert list(row)[1:6] == ["test RMSE", "test MAE", "test R²", "validation RMSE", "steps to beat baseline"]
    assert (row["test RMSE"].value, row["test RMSE"].spread) == ("12.5", "12–13")
    assert [row[name].value for name in ("test MAE", "test R²", "validation RMSE")] == ["9.00", "0.877", "12.0"]
    assert row["steps to beat baseline"].value == "200"
    groups = groups_of(run)
    # the root of 0.16, of 0.2 and of the baseline of 1, times 30
    assert headline(groups) == "The GRU reaches a test RMSE of 12.0 where remembering nothing gives 30.0 at best."
    assert dict(learning_captions(groups))["GRU"] == "Best validation RMSE 13.4 (mean of 2 seeds), at step 300."
    explained = note(groups)
    assert "errors are of the parameters" in explained
    assert "in the unit of the labels; R² is the share of the variance" in explained
    assert "below 90% of that of always giving the mean label, which has an RMSE of 30.0" in explained
    assert not re.search("accurac|0\\.04|standard deviation", explained)
    text, axes = read(write_report(run))
    assert "RMSE (validation)" in axes
    assert "12.5" in text
    records = list(csv.DictReader(io.StringIO((run / "table.csv").read_text())))
    assert [float(record["test_rmse"]) for record in records] == [12.0, 13.0]
    assert (records[0]["test_mae"], records[0]["test_r2"], records[0]["validation_r2"]) == ("9", "0.8768", "")


def test_the_terminal_shows_the_errors_of_a_regression_within_its_width(tmp_path):
    run = write_regression(tmp_path / "series")
    diagnose(run)
    console = Console(width=120, file=io.StringIO())
    console.print(rich_table(load_run(run)))
    text = console.file.getvalue()
    assert re.search(r"GRU +12\.5 +9\.00 +0\.877 +12\.0 +200 ", text)


def test_a_regression_without_recorded_errors_is_read(tmp_path):
    row = table_of(write_regression(tmp_path / "series", errors=False))["GRU"]
    assert [row[name].value for name in ("test RMSE", "test MAE", "test R²", "validation RMSE")] == ["–"] * 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.001234, "0.00123"), (1 / 6, "0.167"), (2.079, "2.08"), (123.4, "123"), (np.nan, "–"), (np.inf, "∞")],
)
def test_a_loss_has_three_digits(value, text):
    assert loss(value) == text


def test_steps_to_beat_the_baseline_are_those_of_the_first_loss_below_nine_tenths_of_it(run):
    table = table_of(run)
    assert [table[cell]["steps to beat baseline"].value for cell in ("LSTM", "SimpleRNN")] == ["200", "–"]
    write_member(run, "GRU", 0, validation=[(100, 0.151, 0.1), (150, 0.149, 0.1)], baseline=1 / 6)
    write_member(run, "GRU", 1, validation=[(100, 0.151, 0.1)], baseline=1 / 6)
    field = table_of(run)["GRU"]["steps to beat baseline"]
    assert (field.value, field.spread) == ("150", "150 to never")
    assert "below 90% of 0.167, the loss of the best prediction without memory" in note(groups_of(run))


def test_the_terminal_shows_losses_within_its_width(run):
    diagnose(run)
    console = Console(width=120, file=io.StringIO())
    console.print(rich_table(load_run(run)))
    text = console.file.getvalue()
    assert "0.0012–0.0014" in text
    assert "belt share" in text
    assert "steps/s" not in text


def test_what_older_runs_do_not_tell_is_left_out(run):
    for file in (run / "members").glob("*/*.json"):
        record = json.loads(file.read_text())
        file.write_text(
            json.dumps({name: record[name] for name in record if name not in ("baseline", "validation_loss")})
        )
    (run / "task.json").write_text('{"objective": "number"}')
    row = table_of(run)["LSTM"]
    assert (row["test loss"].value, row["validation loss"].value) == ("0.00130", "–")
    assert "steps to beat baseline" not in row
    assert "half-life at end, words" in row
    assert headline(groups_of(run)).endswith("the SimpleRNN 0.167.")
    (run / "task.json").unlink()
    assert "validation accuracy" in table_of(run)["LSTM"]
    assert "of the test reviews right" in headline(groups_of(run))


def test_symbols_have_losses_too(tmp_path):
    run = write_symbols_task(tmp_path / "characters")
    row = table_of(run)["GRU"]
    assert (row["test loss"].value, row["half-life at end, characters"].value) == ("2.10", "6.6")
    assert row["half-life at start, characters"].value == "3.1"
    assert [row[f"reach at {when}, characters"].value for when in ("start", "end")] == ["20", "≥ 40"]
    assert (
        "Where the loss reads more than the last character, both are of the gradient of one character's own loss"
        in (note(groups_of(run)))
    )
    assert "Accuracy is the share of symbols that are right." in note(groups_of(run))
    assert not group_alarms(load_run(run), groups_of(run))  # without a baseline nobody knows a plateau


def write_language_model(path, losses, **more):
    run = write_run(path, "characters")
    write_task(run, "symbols", "character", "window", loss="cross-entropy a step, nats", **more)
    rows = [(100 * (k + 1), value, 0.3) for k, value in enumerate(losses)]
    write_member(run, "GRU", validation=rows, losses=(2.1, min(losses)), baseline=3.0, test=0.4)
    return run


def test_a_jump_of_the_validation_is_told_with_its_step(tmp_path):
    run = write_language_model(tmp_path / "jump", [2.4, 5.19, 2.0, 2.2])
    said = dict(learning_captions(groups_of(run)))["GRU"]
    assert said == "Best validation loss 2.00, at step 300. At step 200 it jumped to 5.19; the best before was 2.40."
    calm = write_language_model(tmp_path / "calm", [2.4, 3.5, 2.0, 2.2])
    assert dict(learning_captions(groups_of(calm)))["GRU"] == "Best validation loss 2.00, at step 300."


def test_the_states_from_which_a_language_model_starts_are_told_where_they_are_known(tmp_path):
    said = "in training a stream begins there at the start of an epoch and, with a probability of 5.0%, in front of any"
    new = write_language_model(tmp_path / "new", [2.4], restarts=0.05)
    assert f"{said} window." in note(groups_of(new))
    assert "streams" not in note(groups_of(write_language_model(tmp_path / "old", [2.4])))


def test_a_baseline_beaten_at_the_first_validation_may_have_been_beaten_before(tmp_path):
    first, later = (
        table_of(write_language_model(tmp_path / name, losses))["GRU"]["steps to beat baseline"].value
        for name, losses in (("first", [2.6, 2.4]), ("later", [2.9, 2.4]))
    )
    assert (first, later) == ("≤ 100", "200")


def test_a_plateau_is_a_loss_that_stays_at_the_baseline(run):
    (alarm,) = [model.alarm for model in group_alarms(load_run(run), groups_of(run))]
    assert (alarm.name, alarm.label) == ("plateau", "SimpleRNN")
    assert "is 0.168, and the best answer that remembers nothing costs 0.167." in alarm.sentence
    (lstm, *_) = [member for group in groups_of(run) for member in group.members if member.label == "LSTM"]
    evidence = member_evidence(lstm, 0.0)
    assert (evidence.unit, evidence.chance_loss) == ("step", pytest.approx(1 / 6))
    assert evidence.accuracy == pytest.approx(1 - 0.0011 * 6)


def test_classes_are_judged_by_accuracy_and_guess_one_of_them(tmp_path):
    run = write_run(tmp_path / "pixels")
    write_task(run, "classes", "pixel", "image", classes=[str(digit) for digit in range(10)])
    write_member(run, "GRU", by_distance={10: 0.11, 20: 0.3}, train=[2.3] * 100)
    write_member(run, "LSTM", by_distance={10: 0.11, 20: 0.1})
    groups = groups_of(run)
    assert "the LSTM (10.0% right) is hardly better than guessing" in headline(groups)
    assert "Recalling a pixel 20 pixels back: the GRU (30.0% right) succeeds only partly" in headline(groups)
    assert "test loss" not in header(groups)
    assert member_evidence(groups[0].members[0], 0.0).chance_loss is None


def test_a_damaged_task_is_told_in_a_sentence(run):
    (run / "task.json").write_text('{"objective": "guess"}')
    with pytest.raises(UserError, match=r"task\.json' is damaged, .*'guess', expected one of binary, classes"):
        load_run(run)
    assert TaskInfo().by_loss is False
