"""What the diagnosis before the first step says of each run of a trainability study, and how well it predicted."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnjax.diagnostics.gradients import half_life
from rnnjax.diagnostics.prediction import RIDGE, area_under_roc, held_out_log_odds
from rnnjax.report.figures.style import FLOOR
from rnnjax.report.summary.diagnosis import by_lag, layer_of
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.typing import Floats

EXPERIMENT = "trainability"
SUCCESS = 0.9  # test accuracy from which on a run counts as trained
GAIN, BIAS, DISTANCE = "cell.init", "cell.forget_bias", "distance"  # as ``Member.varied`` names them
AXES = {GAIN: "gain of the recurrent matrix", BIAS: "forget bias"}
OPTIONS = {GAIN: "recurrent_init", BIAS: "forget_bias"}  # as a label names them
FEATURES = ("gradient", "growth", "off_edge", "belt")
# what is ranked by itself, without any fit, as a table names it
SINGLE = {
    "gradient": "gradient left over the distance",
    "growth": "largest exponent × distance",
    "off_edge": "largest exponent × distance, the nearer 0 the better",
    "belt": "belt share",
    "distance": "the distance alone, short is better",
}
HELD_OUT = {"distance": "each distance by the others", "cell": "each cell by the others"}


@dataclass(frozen=True)
class Before:
    """One run: its place in the map, what was measured of its first layer before the first step, what came of it.

    ``half_life`` is that of the gradient of what is remembered, in time steps; ``exponent`` the largest Lyapunov
    exponent a step; ``gradient`` and ``growth`` are what the two make of the distance in powers of ten, cut at
    ``FLOOR``, where nothing is left of a 32-bit sum, and at -``FLOOR``; a half-life knows of no growth, so ``gradient``
    is at most 0; ``accuracy`` is NaN where training diverged.
    """

    member: RunRecord
    cell: str
    axis: str
    value: float
    distance: int
    half_life: float
    exponent: float
    belt: float
    gradient: float
    growth: float
    accuracy: float

    @property
    def success(self) -> bool:
        """Whether it was trained."""
        return self.accuracy >= SUCCESS

    @property
    def off_edge(self) -> float:
        """How far from neither growing nor shrinking, in powers of ten over the distance."""
        return abs(self.growth)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Held-out log-odds (N,) of runs, the AUC of all of them and of each cell's, the share on the right side of 0."""

    log_odds: Floats
    auc: float
    by_cell: dict[str, float]
    right: float


def runs_before(run: Run) -> tuple[Before, ...]:
    """The runs of a trainability study that have ended and were diagnosed before; none of another experiment."""
    if run.experiment != EXPERIMENT:
        return ()
    ended = (member for member in run.members if member.status != "unfinished")
    return tuple(found for member in ended if (found := _before(member)) is not None)


def _before(member: RunRecord) -> Before | None:
    """None where something was not measured, or is no number."""
    layer, axis = layer_of(member, "start"), next((axis for axis in AXES if axis in member.varied), None)
    if layer is None or layer.lyapunov is None or axis is None or DISTANCE not in member.varied:
        return None
    told, distance = member.varied[axis], int(member.varied[DISTANCE])
    half, exponent = half_life(by_lag(layer, "m")), float(layer.lyapunov.exponents[0])
    if np.isnan(exponent) or np.isnan(layer.belt_share):
        return None
    left = FLOOR if np.isnan(half) else -distance * np.log10(2) / half  # without a slope all has vanished at once
    varied = {OPTIONS[axis], DISTANCE}
    return Before(
        member=member,
        cell=" ".join(word for word in member.label.split(" ") if word.partition("=")[0] not in varied),
        axis=axis,
        value=float(str(told).rpartition("*")[2]),
        distance=distance,
        half_life=half,
        exponent=exponent,
        belt=layer.belt_share,
        gradient=float(np.maximum(left, FLOOR)),
        growth=float(np.clip(distance * exponent / np.log(10), FLOOR, -FLOOR)),
        accuracy=np.nan if member.result is None else member.result.test_accuracy,
    )


def success_of(known: tuple[Before, ...]) -> np.ndarray:
    """(N,) booleans."""
    return np.array([one.success for one in known])


def predictions(known: tuple[Before, ...]) -> dict[str, Prediction]:
    """By what was held out: a logistic regression on ``FEATURES``, fitted to the others and judged on it.

    Nothing was chosen by looking at what was held out: one regression for all cells, its ridge as it stands.
    """
    features = np.array([[getattr(one, name) for name in FEATURES] for one in known], np.float64)
    success, found = success_of(known), dict[str, Prediction]()
    for name in HELD_OUT:
        odds = held_out_log_odds(features, success, np.array([getattr(one, name) for one in known]))
        if np.isfinite(odds).all():
            right = float(((odds > 0) == success).mean())
            found[name] = Prediction(odds, area_under_roc(odds, success), _by_cell(known, odds), right)
    return found


def _by_cell(known: tuple[Before, ...], scores: Floats) -> dict[str, float]:
    cells, success = np.array([one.cell for one in known]), success_of(known)
    return {
        cell: area_under_roc(scores[cells == cell], success[cells == cell])
        for cell in dict.fromkeys(one.cell for one in known)
    }


def single_scores(known: tuple[Before, ...]) -> dict[str, tuple[float, dict[str, float]]]:
    """Of each of ``SINGLE`` its AUC over all runs and over each cell's, without any fit."""
    found = {}
    for name in SINGLE:
        sign = -1 if name in ("off_edge", "distance") else 1
        scores = sign * np.array([getattr(one, name) for one in known], np.float64)
        found[name] = area_under_roc(scores, success_of(known)), _by_cell(known, scores)
    return found


def record(known: tuple[Before, ...]) -> dict[str, Any]:
    """All numbers of the study as JSON has them, for ``trainability.json``."""
    found = predictions(known)

    def areas(auc: float, by_cell: dict[str, float]) -> dict[str, Any]:
        return {"auc": _known(auc), "auc_by_cell": {cell: _known(value) for cell, value in by_cell.items()}}

    return {
        "success": f"test accuracy of at least {SUCCESS:g}",
        "features": list(FEATURES),
        "fit": f"one logistic regression for all cells, features standardised, ridge {RIDGE:g}",
        "held_out": {
            name: {"how": HELD_OUT[name], **areas(one.auc, one.by_cell), "on_the_right_side": one.right}
            for name, one in found.items()
        },
        "single": {name: {"what": SINGLE[name], **areas(*told)} for name, told in single_scores(known).items()},
        "runs": [
            {
                "name": one.member.name, "cell": one.cell, "seed": one.member.seed,
                "varied": one.axis, "value": one.value,
                **{name: _known(getattr(one, name)) for name in ("distance", "half_life", "exponent", *FEATURES)},
                "test_accuracy": _known(one.accuracy), "success": one.success,
                "log_odds": {name: _known(told.log_odds[place]) for name, told in found.items()},
            }
            for place, one in enumerate(known)
        ],
    }  # fmt: skip


def _known(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None
