"""The trainability map of made-up runs whose half-lives and outcomes are known."""

import io
import json

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet
from rich.console import Console
from synthetic_diagnosis import LAGS, layer_record, write_diagnosis
from synthetic_run import write_member, write_run

from rnnjax.report.figures.trainability import maps, trainability
from rnnjax.report.sections.trainability import picture, rich_trainability, sections, verdict
from rnnjax.report.summary.trainability import predictions, trainability_runs, single_scores
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
    known = trainability_runs(load_run(study))
    assert len(known) == 4 * 3 * 2
    for one in known:
        half_life = HALF_LIVES[one.cell, one.value]
        assert one.half_life == pytest.approx(half_life)
        assert one.gradient == pytest.approx(max(-12, -one.distance * np.log10(2) / half_life))
        assert one.growth == pytest.approx(one.gradient)
        assert one.off_edge == -one.growth
        assert one.belt == (0.5 if one.cell == "LSTM" else 0.0)
        assert one.success == succeeds(half_life, one.distance)


def test_the_gradient_that_is_left_over_the_distance_tells_them_apart(study):
    known = trainability_runs(load_run(study))
    alone = single_scores(known)
    assert alone["gradient"] == (1.0, {"SimpleRNN": 1.0, "LSTM": 1.0})
    assert 0.5 < alone["distance"][0] < 1
    assert alone["belt"][1] == {"SimpleRNN": 0.5, "LSTM": 0.5}
    found = predictions(known)
    assert list(found) == ["distance", "cell"]
    assert all(one.auc > 0.85 and one.right > 0.9 and one.log_odds.shape == (24,) for one in found.values())
    assert found["cell"].auc == 1


def test_the_odds_of_a_distance_do_not_depend_on_what_came_of_it(study):
    before = predictions(trainability_runs(load_run(study)))["distance"].log_odds
    for member in (study / "members").glob("*distance=16-*"):
        told = json.loads((member / "result.json").read_text())
        (member / "result.json").write_text(json.dumps(told | {"test_accuracy": 1.5 - told["test_accuracy"]}))
    known = trainability_runs(load_run(study))
    after, held = predictions(known)["distance"].log_odds, np.array([one.distance == 16 for one in known])
    np.testing.assert_array_equal(before[held], after[held])
    assert (before[~held] != after[~held]).all()


def test_a_map_holds_each_setting_at_its_place(study):
    known = trainability_runs(load_run(study))
    drawn = {one.cell: one for one in maps(known, predictions(known)["distance"].log_odds)}
    simple = drawn["SimpleRNN"]
    assert (simple.values.tolist(), simple.distances.tolist()) == ([0.5, 1.0], [4.0, 16.0, 128.0])
    assert simple.accuracy.tolist() == [[0.99, 0.51, 0.51], [0.99, 0.99, 0.51]]
    assert (simple.runs == 2).all()
    odds = predictions(known)["distance"].log_odds
    of_one = [told for one, told in zip(known, odds, strict=True) if (one.value, one.distance) == (1.0, 16)]
    assert simple.log_odds[1, 1] == pytest.approx(np.mean(of_one))
    figure = trainability(tuple(drawn.values()))
    for panel in figure.axes[:2]:
        (mesh,) = [drawn for drawn in panel.collections if isinstance(drawn, QuadMesh)]
        assert mesh.get_array().shape == (2, 3)
        assert any(isinstance(drawn, ContourSet) for drawn in panel.collections)


def test_page_numbers_and_terminal_say_the_same(study):
    run = load_run(study)
    shown = sections(run)
    assert [section.name for section in shown] == ["trainability", "trainability_auc"]
    assert (study / "figures" / "trainability.png").stat().st_size > 0
    told = json.loads((study / "trainability.json").read_text())
    assert len(told["runs"]) == 24
    assert told["single"]["gradient"]["auc"] == 1
    console = Console(width=120, file=io.StringIO())
    console.print(rich_trainability(run))
    printed, said = console.file.getvalue(), verdict(trainability_runs(run))
    assert said in " ".join(printed.split())
    assert said in shown[1].html
    assert f"AUC of {told['held_out']['distance']['auc']:.2f}" in said
    learned = dict(picture(trainability_runs(run)).says(()))
    assert learned["LSTM"].startswith("Learns in 4 of 6 settings, over 128 words at most (forget bias 4).")


def test_a_run_that_diverged_is_a_failure_and_an_unfinished_one_is_left_out(study):
    diverged, unfinished = sorted((study / "members").glob("lstm-forget_bias=4-distance=4-*"))
    for member in (diverged, unfinished):
        (member / "result.json").unlink()
    (diverged / "failure.json").write_text(json.dumps({"message": "The loss is not finite."}))
    known = trainability_runs(load_run(study))
    assert len(known) == 23
    (lost,) = [one for one in known if one.value == 4 and one.distance == 4]
    assert not lost.success
    (drawn,) = [one for one in maps(known, np.zeros(23)) if one.cell == "LSTM"]
    assert np.isnan(drawn.accuracy).sum() == 1
    assert drawn.runs[1, 0] == 1


def test_of_another_experiment_nothing_is_drawn(tmp_path):
    other = load_run(write_study(tmp_path / "run", experiment="recall", seeds=1))
    assert sections(other) == []
    assert rich_trainability(other) is None
    assert not (tmp_path / "run" / "trainability.json").exists()


def test_one_distance_of_one_cell_is_shown_without_a_boundary(study):
    known = tuple(one for one in trainability_runs(load_run(study)) if one.cell == "LSTM" and one.distance == 4)
    assert predictions(known) == {}
    assert picture(known).draw((), 3) is not None
    assert "nothing to predict" in verdict(known)
