"""Where each rule begins to speak: just below and just above its threshold, and with too little to judge."""

import json
import math

import numpy as np
import pytest
from made_up_evidence import CHANCE, DIVERGED, LAGS, STEPS, but, fading, names

from rnnjax.diagnostics.alarms.registry import check

SILENT = {
    "the gradient spans just half of the length": but(accuracy=0.5, curves=fading(100.5 * math.log(2) / math.log(100))),
    "one moment at which it does": but(accuracy=0.5, curves=np.concatenate([fading(3), fading(60, 1), fading(3)])),
    "just learnt": but(accuracy=0.8),
    "ten words": but(accuracy=0.5, curves=fading(0.5, lags=10)),
    "no words": but(accuracy=0.5, curves=np.zeros((0, 0))),
    "no moment": but(accuracy=0.5, curves=np.zeros((0, LAGS))),
    "no gradient at all": but(accuracy=0.5, curves=np.zeros((5, LAGS))),
    "nothing measured": but(accuracy=0.5, curves=np.full((5, LAGS), np.nan)),
    "far words measured too rarely": but(
        accuracy=0.5, curves=np.where((np.arange(11)[:, None] > 0) & (np.arange(LAGS) > 80), np.nan, fading(6.5, 11))
    ),
    "growth below a hundred times": but(curves=fading(-200 * math.log(2) / math.log(99))),
    "a gradient that broke after the forward pass": but(
        origin=DIVERGED._replace(phase="forward"), gradient_norms=np.full(STEPS, np.nan), clip=0.0
    ),
    "gates at the threshold": but(saturation={"f": 0.9}),
    "gates that are not numbers": but(saturation={"f": math.nan}),
    "a repeated word at the end": but(padding_read=0.01),
    "padding that is not a number": but(padding_read=math.nan),
    "a bias between 0 and 1": but(keep_at_bias=0.6),
    "a bias of 0 without a belt": but(keep_at_bias=0.0, has_belt=False),
    "a belt at the threshold": but(belt_share=np.full(LAGS, 0.05)),
    "no belt share without a belt": but(belt_share=np.zeros(LAGS), has_belt=False),
    "a belt alive near, dead far": but(belt_share=np.where(np.arange(LAGS) <= 10, 0.2, 0.0)),
    "four words of a belt": but(belt_share=np.where(np.arange(LAGS) <= 4, 0.0, np.nan)),
    "half of the steps clipped": but(gradient_norms=np.repeat([2.0, 1.0], 200)),
    "clipping off": but(gradient_norms=np.full(STEPS, 4.0), clip=0.0),
    "few steps clipped": but(gradient_norms=np.full(19, 4.0)),
    "a little better than chance": but(losses=np.full(STEPS, 0.979 * CHANCE)),
    "short training": but(losses=np.full(99, CHANCE)),
    "a loss that is no number": but(losses=np.full(STEPS, np.nan)),
    "learnt late": but(losses=np.repeat([CHANCE, 0.1], [320, 80])),
}


@pytest.mark.parametrize("case", SILENT)
def test_a_rule_is_silent_at(case):
    found = [name for name in names(SILENT[case]) if name != "not finite"]
    assert found == []


LOUD = {
    "vanishing": [
        but(accuracy=0.5, curves=fading(99.5 * math.log(2) / math.log(100))),
        but(accuracy=0.799),
        but(accuracy=None),
        but(accuracy=0.5, curves=fading(0.5, lags=11)),
        but(accuracy=0.5, curves=np.concatenate([np.full((5, LAGS), np.nan), fading(6.5)])),
        but(accuracy=0.5, curves=np.where(np.arange(LAGS) == 0, 1.0, 0.0)[None, :]),
        but(accuracy=0.5, curves=np.where(np.arange(LAGS) == 0, 1.0, 1e-3)[None, :]),
    ],
    "exploding": [
        but(curves=fading(-200 * math.log(2) / math.log(101))),
        but(curves=np.concatenate([fading(60), fading(-20, 1)])),
        but(gradient_norms=np.full(STEPS, np.nan), clip=0.0),
    ],
    "saturated gates": [but(saturation={"f": 0.901})],
    "padding read": [but(padding_read=0.011)],
    "forget bias": [but(keep_at_bias=0.599), but(keep_at_bias=0.0)],
    "dead memory": [but(belt_share=np.where(np.arange(LAGS) <= 5, 0.049, np.nan))],
    "clipping": [
        but(gradient_norms=np.repeat([2.0, 1.0], [201, 199])),
        but(gradient_norms=np.full(20, 1.01)),
    ],
    "plateau": [
        but(losses=np.full(100, 0.981 * CHANCE)),
        but(losses=np.repeat([0.1, CHANCE], [320, 80])),
    ],
}


@pytest.mark.parametrize(("name", "case"), [(name, k) for name, cases in LOUD.items() for k in range(len(cases))])
def test_a_rule_speaks_at(name, case):
    (alarm,) = check(LOUD[name][case])
    assert alarm.name == name
    json.dumps(alarm.evidence, allow_nan=False)
