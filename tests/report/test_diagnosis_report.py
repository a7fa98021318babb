import json
from pathlib import Path

import numpy as np
import pytest
from synthetic_diagnosis import LAGS, layer_record, swap_record, text_record, update_records, write_diagnosis
from synthetic_run import lines, write_member, write_run

from rnnjax.errors import UserError
from rnnjax.runs.reader import diagnosis_from_json, load_run


def parse_diagnosis(values):
    return diagnosis_from_json(values, Path("diagnosis-end.json"))


@pytest.fixture
def member(tmp_path):
    """The folder of one LSTM."""
    return write_member(write_run(tmp_path / "run"), "LSTM")


def loaded(folder):
    (member,) = load_run(folder.parents[1]).members
    return member


def test_a_diagnosis_comes_back_as_written(member):
    belt, detour = 0.9**LAGS, 0.5**LAGS
    text = text_record(["so", "bad"], 0, [0.5, -2.0], [0.1, 3.0])
    weights = dict(zip("ifgo", (0.1, 0.2, 0.3, 0.4), strict=True))
    layer = layer_record("LSTM", belt, detour, keep=0.75, weights=weights, reverse=True)
    write_diagnosis(member, "end", layer, texts=[text], swaps=swap_record([3, 9], [14.0, -2.0], [0.5, 0.25]), loss=None)
    diagnoses = loaded(member).diagnoses
    assert set(diagnoses) == {"end"}
    end = diagnoses["end"]
    (layer,) = end.layers
    assert (end.step, end.examples, layer.name, layer.units, layer.reverse) == (200, 32, "recurrent", 8, True)
    assert np.isnan(end.loss)
    assert (layer.gates, layer.keep_at_bias, layer.horizon) == (("i", "f", "g", "o"), 0.75, 4.0)
    np.testing.assert_array_equal(layer.by_lag["belt"].q50, belt)
    np.testing.assert_array_equal(layer.by_lag["enters g"].q90, 2 * 0.3 * detour)
    assert layer.belt_share == pytest.approx(np.mean((belt / (belt + detour))[1:]))
    assert np.isnan(layer.by_lag["belt_share"].q50[0])
    np.testing.assert_array_equal(layer.lyapunov.exponents, [-0.1, -0.5])
    np.testing.assert_array_equal(layer.singular.smallest, [-1, -10, -20])
    assert end.texts[0].words == ("so", "bad")
    np.testing.assert_array_equal(end.texts[0].connectivity, [0.1, 3.0])
    np.testing.assert_array_equal(end.swaps.measured, [14, -2])


def test_an_old_run_has_no_diagnosis_and_says_nothing_of_it(member):
    member_record = loaded(member)
    assert (dict(member_record.diagnoses), member_record.updates, member_record.diverged) == ({}, None, None)
    np.testing.assert_array_equal(member_record.gradient_norms, [0.3])


def test_a_cell_of_ones_own_need_not_tell_the_values_of_its_gates():
    record = {"step": 0, "examples": 4, "loss": 0.7, "layers": [layer_record("GRU", saturation=None)]}
    (layer,) = parse_diagnosis(record).layers
    assert (layer.saturation, layer.gates) == (None, ("r", "u", "n"))


def test_a_lag_that_no_example_reaches_has_no_number():
    record = layer_record("GRU", np.ones(3), np.ones(3), count=[4, 4, 0])
    record = {"step": 0, "examples": 4, "loss": 0.7, "layers": [record]}
    diagnosis = parse_diagnosis(record)
    np.testing.assert_array_equal(diagnosis.layers[0].by_lag["belt"].q50, [1, 1, np.nan])
    assert (diagnosis.texts, diagnosis.swaps) == ((), None)


def test_the_exponents_and_singular_values_may_be_missing():
    record = layer_record(lyapunov=None, singular=None)
    (layer,) = parse_diagnosis({"step": 0, "examples": 4, "loss": 0.7, "layers": [record]}).layers
    assert layer.lyapunov is layer.singular is None


def test_update_ratios_are_kept_by_block_with_gaps_where_a_block_is_missing(member):
    update_records(member, {"recurrent/cell/b": [float("nan"), 0.5]}, [0, 10])
    update_records(member, {"recurrent/cell/b": [0.25], "Dense_0/bias": [0.125]}, [20])
    updates = loaded(member).updates
    np.testing.assert_array_equal(updates.steps, [0, 10, 20])
    np.testing.assert_array_equal(updates.ratios["recurrent/cell/b"], [np.nan, 0.5, 0.25])
    np.testing.assert_array_equal(updates.ratios["Dense_0/bias"], [np.nan, np.nan, 0.125])
    np.testing.assert_array_equal(loaded(member).validation.steps, [100, 200])


def test_every_training_step_keeps_its_gradient_norm(member):
    steps = [{"kind": "train", "step": s, "loss": 0.7, "accuracy": 0.5, "gradient_norm": 2.0**s} for s in range(4)]
    lines(member / "metrics.jsonl", [*steps, {"kind": "validation", "step": 4, "loss": 0.6, "accuracy": 0.6}])
    np.testing.assert_array_equal(loaded(member).gradient_norms, [1, 2, 4, 8])


def test_where_a_member_diverged(member):
    record = {"step": 7, "phase": "backward", "layer": "recurrent", "gate": None, "timestep": 17, "what": "loss"}
    (member / "diverged.json").write_text(json.dumps(record))
    origin = loaded(member).diverged
    assert (origin.phase, origin.layer, origin.gate) == ("backward", "recurrent", None)
    assert (origin.timestep, origin.step) == (17, 7)


def damaged(name, content):
    return pytest.param(name, content, id=f"{name} {len(content)}")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        damaged("diagnosis-start.json", '{"step": 0'),
        damaged("diagnosis-end.json", "[]"),
        damaged("diagnosis-end.json", '{"step": 0, "examples": 1, "loss": 0, "layers": [{"name": "recurrent"}]}'),
        damaged("diverged.json", '{"phase": "sideways", "layer": null, "gate": null, "timestep": 1, "step": 2}'),
        damaged("diverged.json", '{"phase": "forward"}'),
    ],
)
def test_damage_is_one_sentence_that_names_the_folder(member, name, content):
    (member / name).write_text(content)
    with pytest.raises(UserError, match="damaged") as caught:
        load_run(member.parents[1])
    assert str(member) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "layer",
    [
        layer_record("GRU", count=[1, 1, 1]),
        layer_record() | {"lyapunov": {"exponents": [], "steps": [1, 2], "largest": [0.0]}},
        layer_record() | {"singular": {"lag": [1], "largest": [], "smallest": [0.0]}},
    ],
)
def test_lists_that_do_not_fit_together_are_refused(layer):
    with pytest.raises(UserError, match=r"lags|unequal"):
        parse_diagnosis({"step": 0, "examples": 1, "loss": 0.0, "layers": [layer]})


def test_a_text_of_other_length_than_its_logits_is_refused():
    text = text_record(["one"], 1, [0.0, 1.0], [0.0, 1.0])
    with pytest.raises(UserError, match=r"texts\[0\]: words, logits, connectivity are of unequal length \(1, 2, 2\)"):
        parse_diagnosis({"step": 0, "examples": 1, "loss": 0.0, "layers": [], "texts": [text]})
