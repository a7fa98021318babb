"""The trainability map of made-up runs whose half-lives and outcomes are known."""

import functools
import io
import json
import operator

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet
from rich.console import Console
from synthetic_diagnosis import LAGS, layer_record, write_diagnosis
from synthetic_run import write_member, write_run

from rnnjax.report.figures.trainability import maps, trainability
from rnnjax.report.sections.trainability import map_figure, rich_trainability, sections, summary
from rnnjax.report.summary.trainability import predictions, single_feature_aucs, trainability_runs
from rnnjax.runs.reader import load_run

HALF_LIVES = {("SimpleRNN", 0.5): 1.0, ("SimpleRNN", 1.0): 8.0, ("LSTM", -1.0): 2.0, ("LSTM", 4.0): 64.0}
DISTANCES = (4, 16, 128)


def succeeds(half_life, distance):
    return distance < 5 * half_life


def write_study(path, experiment="trainability", seeds=2):
    run = write_run(path, experiment)
    for (cell, value), half_life in HALF_LIVES.items():
        for distance in DISTANCES:
            gain = cell == "SimpleRNN"
            option = f"recurrent_init=orthogonal*{value:g}" if gain else f"forget_bias={value:g}"
            varied = {"cell.init": f"orthogonal*{value:g}"} if gain else {"cell.forget_bias": value}
            label, test = f"{cell} {option} distance={distance}", 0.99 if succeeds(half_life, distance) else 0.51
            for seed in range(seeds):
                member = write_member(run, label, seed, test=test, varied=varied | {"distance": distance})
                layer = layer_record(
                    cell, detour=0.5 ** (LAGS / half_life), share=0.0 if gain else 0.5,
                    exponents=(-np.log(2) / half_life, -9.0),
                )  # fmt: skip
                write_diagnosis(member, "start", layer)
    return run


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "run")


def test_what_is_known_before_the_first_step_is_that_of_each_run(study):
    runs = trainability_runs(load_run(study))
    assert len(runs) == 4 * 3 * 2
    for trained in runs:
        half_life = HALF_LIVES[trained.cell, trained.value]
        assert trained.half_life == pytest.approx(half_life)
        assert trained.gradient == pytest.approx(max(-12, -trained.distance * np.log10(2) / half_life))
        assert trained.growth == pytest.approx(trained.gradient)
        assert trained.off_edge == -trained.growth
        assert trained.belt == (0.5 if trained.cell == "LSTM" else 0.0)
        assert trained.success == succeeds(half_life, trained.distance)


def test_the_gradient_that_is_left_over_the_distance_tells_them_apart(study):
    runs = trainability_runs(load_run(study))
    aucs = single_feature_aucs(runs)
    assert aucs["gradient"] == (1.0, {"SimpleRNN": 1.0, "LSTM": 1.0})
    assert 0.5 < aucs["distance"][0] < 1
    assert aucs["belt"][1] == {"SimpleRNN": 0.5, "LSTM": 0.5}
    results = predictions(runs)
    assert list(results) == ["distance", "cell"]
    assert all(
        trained.auc > 0.85 and trained.right > 0.9 and trained.log_odds.shape == (24,) for trained in results.values()
    )
    assert results["cell"].auc == 1


def test_the_odds_of_a_distance_do_not_depend_on_what_came_of_it(study):
    odds_before = predictions(trainability_runs(load_run(study)))["distance"].log_odds
    for member in (study / "members").glob("*distance=16-*"):
        record = json.loads((member / "result.json").read_text())
        (member / "result.json").write_text(json.dumps(record | {"test_accuracy": 1.5 - record["test_accuracy"]}))
    runs = trainability_runs(load_run(study))
    odds_after, held = predictions(runs)["distance"].log_odds, np.array([trained.distance == 16 for trained in runs])
    np.testing.assert_array_equal(odds_before[held], odds_after[held])
    assert (odds_before[~held] != odds_after[~held]).all()


def test_a_map_holds_each_setting_at_its_place(study):
    runs = trainability_runs(load_run(study))
    maps_by_cell = {trained.cell: trained for trained in maps(runs, predictions(runs)["distance"].log_odds)}
    simple = maps_by_cell["SimpleRNN"]
    assert (simple.values.tolist(), simple.distances.tolist()) == ([0.5, 1.0], [4.0, 16.0, 128.0])
    assert simple.accuracy.tolist() == [[0.99, 0.51, 0.51], [0.99, 0.99, 0.51]]
    assert (simple.runs == 2).all()
    odds = predictions(runs)["distance"].log_odds
    odds_of_setting = [
        record for trained, record in zip(runs, odds, strict=True) if (trained.value, trained.distance) == (1.0, 16)
    ]
    assert simple.log_odds[1, 1] == pytest.approx(np.mean(odds_of_setting))
    figure = trainability(tuple(maps_by_cell.values()))
    for panel in figure.axes[:2]:
        (mesh,) = [maps_by_cell for maps_by_cell in panel.collections if isinstance(maps_by_cell, QuadMesh)]
        assert mesh.get_array().shape == (2, 3)
        assert any(isinstance(maps_by_cell, ContourSet) for maps_by_cell in panel.collections)


def test_page_numbers_and_terminal_say_the_same(study):
    run = load_run(study)
    page_sections = sections(run)
    assert [section.name for section in page_sections] == ["trainability", "trainability_auc"]
    assert (study / "figures" / "trainability.png").stat().st_size > 0
    record = json.loads((study / "trainability.json").read_text())
    assert len(record["runs"]) == 24
    assert record["single"]["gradient"]["auc"] == 1
    console = Console(width=120, file=io.StringIO())
    console.print(rich_trainability(run))
    printed, text = console.file.getvalue(), summary(trainability_runs(run))
    assert text in " ".join(printed.split())
    assert text in page_sections[1].html
    assert f"AUC of {record['held_out']['distance']['auc']:.2f}" in text
    learned = dict(map_figure(trainability_runs(run)).captions(()))
    assert learned["LSTM"].startswith("Learns in 4 of 6 settings, over 128 words at most (forget bias 4).")


def test_a_run_that_diverged_is_a_failure_and_an_unfinished_one_is_left_out(study):
    diverged, unfinished = sorted((study / "members").glob("lstm-forget_bias=4-distance=4-*"))
    for member in (diverged, unfinished):
        (member / "result.json").unlink()
    (diverged / "failure.json").write_text(json.dumps({"message": "The loss is not finite."}))
    runs = trainability_runs(load_run(study))
    assert len(runs) == 23
    (failed,) = [trained for trained in runs if trained.value == 4 and trained.distance == 4]
    assert not failed.success
    (maps_by_cell,) = [trained for trained in maps(runs, np.zeros(23)) if trained.cell == "LSTM"]
    assert np.isnan(maps_by_cell.accuracy).sum() == 1
    assert maps_by_cell.runs[1, 0] == 1


@pytest.mark.parametrize(
    ("file", "keys", "damaged"),
    [
        ("diagnosis-start.json", ("layers", 0, "lyapunov", "exponents"), []),
        ("diagnosis-start.json", ("layers", 0, "lyapunov", "exponents"), [np.nan]),
        ("diagnosis-start.json", ("layers", 0, "belt_share"), np.inf),
        ("diagnosis-start.json", ("layers", 0, "belt_share"), 1e308),
        ("member.json", ("varied", "distance"), np.nan),
        ("member.json", ("varied", "distance"), np.inf),
        ("member.json", ("varied", "distance"), 0),
        ("member.json", ("varied", "cell.forget_bias"), np.inf),
    ],
)
def test_a_run_with_damaged_numbers_is_left_out_and_the_others_are_predicted(study, file, keys, damaged):
    path = study / "members" / "lstm-forget_bias=4-distance=4-seed0" / file
    record = json.loads(path.read_text())
    functools.reduce(operator.getitem, keys[:-1], record)[keys[-1]] = damaged
    path.write_text(json.dumps(record))
    runs = trainability_runs(load_run(study))
    assert len(runs) == 23
    assert path.parent.name not in {trained.member.name for trained in runs}
    assert list(predictions(runs)) == ["distance", "cell"]
    assert single_feature_aucs(runs)["gradient"][0] == 1.0


def test_of_another_experiment_nothing_is_drawn(tmp_path):
    other = load_run(write_study(tmp_path / "run", experiment="recall", seeds=1))
    assert sections(other) == []
    assert rich_trainability(other) is None
    assert not (tmp_path / "run" / "trainability.json").exists()


def test_one_distance_of_one_cell_is_shown_without_a_boundary(study):
    runs = tuple(
        trained for trained in trainability_runs(load_run(study)) if trained.cell == "LSTM" and trained.distance == 4
    )
    assert predictions(runs) == {}
    assert map_figure(runs).draw((), 3) is not None
    assert "nothing to predict" in summary(runs)
