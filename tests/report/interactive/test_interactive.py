import dataclasses
import json

import numpy as np
import pytest
from page_reader import columns, logs, models, of_kind, outside
from synthetic_run import write_member, write_run

from rnnjax.report import run_report
from rnnjax.report.figures import style
from rnnjax.report.interactive.embed import embed_figures
from rnnjax.report.summary import gradient_history
from rnnjax.report.summary.gradient_history import gradient_histories
from rnnjax.report.summary.seed_groups import seed_groups
from rnnjax.runs.reader import load_run
from rnnjax.runs.run_record import GradientLog

LAGS = np.arange(41)
FOUR = {"accuracy_by_distance", "gradient_by_lag", "gradient_over_training", "learning_curves"}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def draw(run):
    return embed_figures(seed_groups(load_run(run)))


def curves(page):
    """The columns of each curve of the gradient by lag."""
    return [source for model in of_kind(page, "ColumnDataSource") if "share" in (source := columns(model))]


def test_the_embedded_numbers_are_those_of_the_logs(run):
    norms = {"GRU": [3 * 0.9**LAGS, 0.8**LAGS, 0.7**LAGS], "LSTM": [0.6**LAGS, 0.5**LAGS, 2 * 0.99**LAGS]}
    write_member(run, "GRU", curves={"h": norms["GRU"]}, gradient_steps=[0, 7, 20])
    write_member(run, "LSTM", curves={"h": [0.1**LAGS] * 3, "c": norms["LSTM"]}, gradient_steps=[0, 7, 20])
    script, _ = draw(run)
    for (steps, levels), known in zip(logs(script), norms.values(), strict=True):
        np.testing.assert_array_equal(steps, [0, 7, 20])
        np.testing.assert_allclose(10.0**levels, known, rtol=1e-5)
    for curve, known in zip(curves(script), norms.values(), strict=True):
        np.testing.assert_array_equal(curve["lag"], LAGS)
        np.testing.assert_allclose(curve["norm"], known[-1], rtol=1e-5)
        np.testing.assert_allclose(curve["share"], 100 * known[-1] / known[-1][0], rtol=1e-5)
        np.testing.assert_array_equal(curve["step"], 20)


def test_the_median_seed_is_drawn(run):
    for seed, rate in enumerate([0.5, 0.8, 0.9]):
        write_member(run, "GRU", seed, curves={"h": [rate**LAGS]})
    ((_, levels),) = logs(draw(run)[0])
    np.testing.assert_allclose(levels[0], np.log10(0.8) * LAGS, rtol=1e-5)


def test_vanished_gradients_lie_on_the_floor_and_keep_their_number(run):
    norms = np.array([1, 1e-5, 1e-20, 0, np.inf, np.nan, 1])
    write_member(run, "GRU", curves={"h": [norms] * 2})
    script, _ = draw(run)
    ((_, levels),) = logs(script)
    np.testing.assert_allclose(levels[0], [0, -5, -20, -np.inf, np.inf, np.inf, 0], atol=1e-5)
    (curve,) = curves(script)
    np.testing.assert_allclose(curve["level"], [0, -5, -12, -12, np.nan, np.nan, 0], atol=1e-5)
    np.testing.assert_allclose(curve["norm"], [1, 1e-5, 1e-20, 0, np.nan, np.nan, 1], rtol=1e-4)
    assert [model["low"] for model in of_kind(script, "LinearColorMapper")] == [-12]


def test_the_slider_runs_over_the_logged_steps_of_all_cells(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS] * 3}, gradient_steps=[0, 10, 20])
    write_member(run, "LSTM", curves={"h": [0.5**LAGS] * 2}, gradient_steps=[0, 15], test=None)
    script, _ = draw(run)
    (slider,) = of_kind(script, "Slider")
    assert (slider.get("start"), slider["end"], slider["value"], slider["title"]) == (0, 3, 3, "Training step")
    (code,) = [model for model in of_kind(script, "CustomJS") if "findLastIndex" in model["code"]]
    known = dict(code["args"]["entries"])
    assert (known["steps"], known["floor"]) == ([0, 10, 15, 20], style.FLOOR)
    assert [set(curve["step"]) for curve in curves(script)] == [{20}, {15}]  # the last that each has logged


def test_one_logged_step_needs_no_slider(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS]})
    script, figures = draw(run)
    assert not of_kind(script, "Slider")
    assert len(figures["gradient_by_lag"].parts) == 1


def test_a_click_on_a_name_hides_its_lines_and_upper_layers_wait_for_it(run):
    folder = write_member(run, "LSTM", curves={"h": [0.5**LAGS] * 2, "c": [0.9**LAGS] * 2})
    log = (folder / "gradients.jsonl").read_text()
    (folder / "gradients.jsonl").write_text(log + log.replace('"layer": 0', '"layer": 1'))
    script, figures = draw(run)
    everything = models(script)
    names = {}
    for legend in of_kind(script, "Legend"):
        assert legend["click_policy"] == "hide"
        for item in legend["items"]:
            lines = [everything[line["id"]] for line in item["attributes"]["renderers"]]
            names[item["attributes"]["label"]["value"]] = [line["attributes"].get("visible", True) for line in lines]
    assert names["LSTM, layer 1"] == [True]
    assert names["LSTM, layer 2"] == [False]
    assert len(figures["gradient_over_training"].parts) == 2


def test_heat_maps_share_one_scale_and_put_each_step_in_its_place(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS] * 3}, gradient_steps=[0, 10, 40])
    write_member(run, "LSTM", curves={"h": [0.99**LAGS]})
    script, _ = draw(run)
    source = next(columns(model) for model in of_kind(script, "ColumnDataSource") if "image" in columns(model))
    np.testing.assert_allclose(source["from"], [-5, 5, 25])
    np.testing.assert_allclose(source["height"], [10, 20, 30])
    scales = {(mapper["low"], mapper["high"]) for mapper in of_kind(script, "LinearColorMapper")}
    assert scales == {(-12, 0)}  # 0.5^40 is below 10^-12


def test_accuracies_are_those_of_the_results(run):
    write_member(run, "GRU", 0, by_distance={10: 1.0, 20: 0.8})
    write_member(run, "GRU", 1, by_distance={10: 0.5, 20: 0.6}, validation=[(100, 0.5, 0.6), (200, 0.1, 0.8)])
    means = [histories for model in of_kind(draw(run)[0], "ColumnDataSource") if "low" in (histories := columns(model))]
    distances, loss, accuracy = sorted(means, key=lambda model: (model["x"][0], model["y"][0]))
    for histories, known in ((distances, [0.75, 0.7]), (loss, [0.55, 0.2]), (accuracy, [0.65, 0.85])):
        np.testing.assert_allclose(histories["y"], known)
    assert (list(distances["x"]), list(loss["x"])) == ([10, 20], [100, 200])
    assert (list(distances["low"]), list(distances["high"])) == ([0.5, 0.6], [1.0, 0.8])


def test_what_was_not_measured_is_not_drawn(run):
    assert draw(run) == ("", {})
    write_member(run, "GRU", validation=[], test=None)
    assert draw(run) == ("", {})
    write_member(run, "LSTM", curves={"h": [np.full(5, np.nan)] * 2}, validation=[], test=None)
    assert set(draw(run)[1]) == {"gradient_by_lag", "gradient_over_training"}


def test_a_label_cannot_break_out_of_the_script(run):
    folder = write_member(run, "GRU", curves={"h": [0.5**LAGS] * 2}, by_distance={10: 1.0})
    label = "</script><img src=http://x>'\\"
    member_record = json.loads((folder / "member.json").read_text())
    (folder / "member.json").write_text(json.dumps(member_record | {"label": label}))
    script, figures = draw(run)
    assert set(figures) == FOUR
    assert outside(script) == []
    assert "<img src=http:" not in script
    assert label in {model.get("name") for model in of_kind(script, "GlyphRenderer")}


def big(run):
    """The run with twelve cells, 500 lags and 200 logged steps: in memory, for as text they are 100 MB."""
    write_member(run, "GRU", curves={"h": [0.5**LAGS]}, by_distance={10: 1.0})
    whole = load_run(run)
    (member,) = whole.members
    norms = np.exp(-np.arange(500) / np.linspace(20, 300, 200)[:, None])
    count = np.full(norms.shape, 32.0)
    log = GradientLog(steps=np.arange(0, 2000, 10), count=count, mean=norms, q10=norms, q50=norms, q90=norms)
    cells = (dataclasses.replace(member, label=f"GRU chrono={n}", gradients={(0, "h"): log}) for n in range(12))
    return dataclasses.replace(whole, members=tuple(cells))


def test_a_big_run_is_thinned_evenly_with_its_first_and_last_step(run):
    groups = seed_groups(big(run))
    histories = gradient_histories(groups)
    assert sum(model.levels.size for model in histories) <= gradient_history.MAX_NUMBERS
    for model in histories:
        assert (model.steps[0], model.steps[-1]) == (0, 1990)
        assert len(model.steps) == gradient_history.MAX_NUMBERS // (12 * 500)
        gaps = np.diff(model.steps)
        assert gaps.max() - gaps.min() <= 10
        rate = np.linspace(20, 300, 200)[model.steps // 10]
        np.testing.assert_allclose(model.levels, -np.arange(500) / rate[:, None] / np.log(10), rtol=1e-5)
    assert len(embed_figures(groups)[0]) < 3_200_000


@pytest.mark.slow
def test_the_page_of_a_big_run_is_below_five_megabytes(run, monkeypatch):
    whole = big(run)
    monkeypatch.setattr(run_report, "load_run", lambda path: whole)
    assert run_report.write_report(run).stat().st_size < 5_000_000


def test_a_page_of_a_small_run_keeps_every_step(run):
    write_member(run, "GRU", curves={"h": [0.5**LAGS] * 60})
    assert len(gradient_histories(seed_groups(load_run(run)))[0].steps) == 60
