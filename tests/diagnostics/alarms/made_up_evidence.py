"""Made-up evidence of a healthy training, for the tests to break in one place."""

import dataclasses
import math

import numpy as np

from rnnjax.diagnostics.alarms.registry import Evidence, Origin, check

LAGS, STEPS, CHANCE = 201, 400, math.log(2)
DIVERGED = Origin("backward", "recurrent", "g", 17, 120)


def fading(half_life, moments=5, lags=LAGS):
    """(moments, lags) of a gradient that halves every ``half_life`` words, each moment weaker than the last."""
    return 0.5 ** (np.arange(lags)[None, :] / half_life) * 0.1 ** np.arange(moments)[:, None]


HEALTHY = Evidence(
    label="LSTM",
    curves=fading(6.5),  # as the default LSTM, which solves its task all the same
    accuracy=1.0,
    keep_at_bias=0.73,
    saturation={"i": 0.01, "f": 0.03, "g": 0.6, "o": 0.1},
    belt_share=np.concatenate([[np.nan], 0.76 ** np.arange(1, LAGS)]),
    has_belt=True,
    padding_read=0.0,
    gradient_norms=np.linspace(1.5, 0.01, STEPS),
    clip=1.0,
    losses=np.linspace(0.7, 0.01, STEPS),
    chance_loss=CHANCE,
)


def but(**changes):
    return dataclasses.replace(HEALTHY, **changes)


def names(evidence):
    return [alarm.name for alarm in check(evidence)]
