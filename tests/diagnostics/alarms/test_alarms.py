"""Every rule finds the fault that it is for, in made-up evidence, and lets health alone."""

import dataclasses
import json
import operator
import re

import numpy as np
import optax
import pytest
from made_up_evidence import CHANCE, DIVERGED, HEALTHY, LAGS, STEPS, but, fading, names

import rnnjax
from rnnjax.diagnostics.alarms.registry import Evidence, Origin, check

FAULTS = {
    "vanishing": but(accuracy=0.5),
    "vanishing without a belt": but(accuracy=0.5, has_belt=False),
    "exploding": but(curves=fading(-5)),
    "exploding to infinity": but(curves=np.where(np.arange(LAGS)[None, :] > 100, np.inf, fading(-20))),
    "exploding unseen by the log": but(gradient_norms=np.array([1.0] * 17 + [np.inf] + [np.nan] * 382)),
    "saturated gates": but(saturation={"i": 0.01, "f": 0.974, "g": 0.6, "o": 0.931}),
    "padding read": but(padding_read=0.12),
    "forget bias": but(keep_at_bias=0.5),
    "dead memory": but(belt_share=np.concatenate([[np.nan], np.full(LAGS - 1, 0.004)])),
    "clipping": but(gradient_norms=np.linspace(4.0, 0.5, STEPS)),
    "plateau": but(losses=np.full(STEPS, 0.696)),
    "not finite": but(origin=DIVERGED),
    "not finite outside": but(clip=0.0, origin=Origin("forward", None, None, None, None)),
}
NUMBERS = {
    "vanishing": ["halves every 6.5 words", "43 of 200 words"],
    "vanishing without a belt": ["halves every 6.5 words", "43 of 200 words"],
    "exploding": ["200 words before the end", "over a million times"],
    "exploding to infinity": ["101 words before the end", "over a million times"],
    "exploding unseen by the log": ["at training step 17"],
    "saturated gates": ["f (97.4%), o (93.1%)"],
    "padding read": ["12.0%"],
    "forget bias": ["keep 50.0%", "halves every 1 word."],
    "dead memory": ["0.4%", "nearest 10 words"],
    "clipping": ["85.5%", "norm is 2.2", "clipped at 1."],
    "plateau": ["last 80 training steps is 0.696", "costs 0.693"],
    "not finite": ["backward pass at training step 120", "gate g of recurrent at timestep 17"],
    "not finite outside": ["forward pass, outside of the recurrent layers."],
}
VALUES = {
    "vanishing": {"reach": 43, "measured": 200, "half_life": pytest.approx(6.5)},
    "exploding": {"growth": pytest.approx(2.0**40), "lag": 200, "moment": 0},
    "exploding unseen by the log": {"step": 17},
    "saturated gates": {"f": 0.974, "o": 0.931},
    "padding read": {"padding_read": 0.12},
    "forget bias": {"keep_at_bias": 0.5},
    "dead memory": {"belt_share": pytest.approx(0.004)},
    "clipping": {"clipped": pytest.approx(342 / 400), "usual_norm": pytest.approx(2.25), "clip": 1.0},
    "plateau": {"loss": pytest.approx(0.696), "chance_loss": CHANCE, "steps": 80},
    "not finite": {"phase": "backward", "layer": "recurrent", "gate": "g", "timestep": 17, "step": 120},
    "not finite outside": {"phase": "forward"},
}


def test_health_raises_no_alarm():
    assert check(HEALTHY) == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_raises_its_alarm_and_no_other(fault):
    (alarm,) = check(FAULTS[fault])
    assert fault.startswith(alarm.name)
    assert alarm.label == "LSTM"
    assert alarm.sentence.startswith("LSTM: ")
    assert alarm.sentence.endswith(".")
    assert [number for number in NUMBERS[fault] if number not in alarm.sentence] == []


@pytest.mark.parametrize("fault", VALUES)
def test_the_evidence_holds_the_numbers(fault):
    assert check(FAULTS[fault])[0].evidence == VALUES[fault]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_evidence_is_plain_json(fault):
    (alarm,) = check(FAULTS[fault])
    assert json.loads(json.dumps(alarm.evidence, allow_nan=False)) == alarm.evidence


@pytest.mark.parametrize("fault", FAULTS)
def test_a_remedy_names_cells_and_functions_that_exist(fault):
    (alarm,) = check(FAULTS[fault])
    for name in re.findall(r"rnnjax\.((?:diagnostics\.)?\w+)", alarm.remedy):
        assert operator.attrgetter(name)(rnnjax) is not None
    for cell in re.findall(r"rnnjax\.(?:LSTM|GRU|SimpleRNN)\(\.\.\., (?:[^()]|\([^()]*\))*\)", alarm.remedy):
        assert eval(cell.replace("...", "4"), {"rnnjax": rnnjax}).features == 4
    assert ("optax.clip_by_global_norm" in alarm.remedy) <= hasattr(optax, "clip_by_global_norm")


@pytest.mark.parametrize("fault", FAULTS)
def test_no_alarm_of_the_library_mentions_flags_of_the_command_line(fault):
    (alarm,) = check(FAULTS[fault])
    assert "--" not in alarm.sentence + alarm.remedy
    assert not re.search(r"\b(lstm|gru|simple)\b", alarm.sentence + alarm.remedy)


@pytest.mark.parametrize(
    ("fault", "actions"),
    [
        ("vanishing", [("chrono", 201), ("flossing", None)]),
        ("vanishing without a belt", [("chrono", 201), ("identity_init", None), ("flossing", None)]),
        ("exploding", [("orthogonal_scale", 0.9), ("omega", None)]),
        ("saturated gates", [("embedding_scale", None), ("learning_rate", None), ("forget_bias", 1)]),
        ("padding read", []),
        ("forget bias", [("forget_bias", 1), ("chrono", 200)]),
        ("dead memory", [("forget_bias", 1), ("chrono", 200)]),
        ("clipping", [("learning_rate", None), ("clip", None)]),
        ("plateau", [("learning_rate", None), ("seed", None), ("epochs", None)]),
        ("not finite", [("learning_rate", None), ("orthogonal_scale", 0.9)]),
        ("not finite outside", [("learning_rate", None), ("clip", 1), ("orthogonal_scale", 0.9)]),
    ],
)
def test_the_actions_are_the_changes_that_the_remedy_proposes(fault, actions):
    assert list(check(FAULTS[fault])[0].actions) == actions


BY_OUTCOME = ("padding read", "forget bias", "dead memory", "saturated gates", "clipping")


@pytest.mark.parametrize("fault", BY_OUTCOME)
def test_a_network_that_does_its_work_has_no_such_fault(fault):
    assert names(dataclasses.replace(FAULTS[fault], skill=0.9)) == []
    assert names(dataclasses.replace(FAULTS[fault], skill=0.26, best_skill=0.5)) == []
    assert names(dataclasses.replace(FAULTS[fault], skill=0.24)) == [fault]
    assert names(dataclasses.replace(FAULTS[fault], skill=-3.0, best_skill=-2.0)) == [fault]
    assert names(dataclasses.replace(FAULTS[fault], skill=0.4, best_skill=0.81)) == [fault]
    assert names(dataclasses.replace(FAULTS[fault], skill=None, best_skill=0.9)) == [fault]


@pytest.mark.parametrize("fault", ["plateau", "not finite", "exploding unseen by the log"])
def test_a_training_that_broke_is_told_of_whatever_was_reached_before(fault):
    assert names(dataclasses.replace(FAULTS[fault], skill=0.9)) == [fault.removesuffix(" unseen by the log")]


def test_a_bias_of_zero_does_no_harm_where_the_inputs_keep_the_gate_open():
    assert names(but(keep_at_bias=0.5, keep=0.6)) == []
    assert names(but(keep_at_bias=0.5, keep=0.59)) == ["forget bias"]


def test_what_was_not_measured_raises_no_alarm():
    assert check(Evidence("LSTM", has_belt=True, clip=1.0)) == ()


@pytest.mark.parametrize(
    ("fault", "missing"),
    [
        ("vanishing", "curves"),
        ("exploding", "curves"),
        ("exploding unseen by the log", "gradient_norms"),
        ("saturated gates", "saturation"),
        ("padding read", "padding_read"),
        ("forget bias", "keep_at_bias"),
        ("dead memory", "belt_share"),
        ("clipping", "gradient_norms"),
        ("plateau", "losses"),
        ("plateau", "chance_loss"),
        ("not finite", "origin"),
    ],
)
def test_a_fault_that_was_not_measured_is_not_guessed(fault, missing):
    assert names(dataclasses.replace(FAULTS[fault], **{missing: None})) == []


@pytest.mark.parametrize(
    ("tail", "said"), [(0.0, "it sees 0 of 200 words"), (1e-3, "falls below 1% of its strength: it sees 0 of 200")]
)
def test_a_gradient_without_a_half_life_has_a_sentence_too(tail, said):
    curve = np.where(np.arange(LAGS) == 0, 1.0, tail)
    (alarm,) = check(but(accuracy=0.5, curves=curve[None, :]))
    assert said in alarm.sentence
    assert ("half_life" in alarm.evidence) == ("halves" in alarm.sentence)


def test_the_moment_is_a_row_of_the_evidence():
    curves = np.concatenate([np.zeros((2, LAGS)), fading(60, 1), fading(-20, 1)])
    (alarm,) = check(but(curves=curves))
    assert alarm.evidence["moment"] == 3


def test_clipping_is_recommended_only_where_it_is_off():
    with_clip, without = (check(dataclasses.replace(FAULTS["exploding"], clip=clip))[0] for clip in (1.0, 0.0))
    assert "clip" not in with_clip.remedy
    assert "clip the gradient's global norm at 1" in without.remedy
    assert [dict(alarm.actions).get("clip") for alarm in (with_clip, without)] == [None, 1.0]


def test_a_small_norm_keeps_a_digit():
    (alarm,) = check(but(gradient_norms=np.full(STEPS, 0.034), clip=0.01))
    assert "the median of the gradient's norm is 0.03, and it is clipped at 0.01." in alarm.sentence


def test_the_unit_has_its_own_plural():
    (alarm,) = check(dataclasses.replace(FAULTS["vanishing"], unit="series"))
    assert "43 of 200 series" in alarm.sentence


def test_a_plateau_at_a_small_loss_keeps_its_digits_and_names_the_answer_that_costs_it():
    nothing = {"chance_loss": 0.0204, "chance_answer": "the best answer that remembers nothing"}
    (alarm,) = check(but(losses=np.full(STEPS, 0.0203), **nothing))
    assert alarm.sentence.endswith("is 0.0203, and the best answer that remembers nothing costs 0.0204.")


def test_of_several_faults_causes_come_first():
    everything = but(
        accuracy=0.5,
        keep_at_bias=0.5,
        losses=np.full(STEPS, CHANCE),
        origin=DIVERGED,
        padding_read=0.5,
    )
    assert names(everything) == ["not finite", "padding read", "vanishing", "forget bias", "plateau"]
