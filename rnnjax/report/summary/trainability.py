"""The trainability study: what was measured before the first step of each run, and how well it predicts success."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnjax.argument_checks import is_integer
from rnnjax.diagnostics.gradients import half_life
from rnnjax.diagnostics.logistic_regression import RIDGE, area_under_roc, held_out_log_odds
from rnnjax.report.figures.style import FLOOR
from rnnjax.report.summary.diagnosis import member_layer
from rnnjax.report.summary.gradient_decay import layer_decay
from rnnjax.runs.member_schema import SweptValue
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.typing import Floats

EXPERIMENT = "trainability"
SUCCESS = 0.9  # test accuracy from which a run counts as trained
GAIN, BIAS, DISTANCE = "cell.init", "cell.forget_bias", "distance"  # keys of ``RunRecord.varied``
AXES = {GAIN: "gain of the recurrent matrix", BIAS: "forget bias"}
OPTIONS = {GAIN: "recurrent_init", BIAS: "forget_bias"}  # the same in a label
FEATURES = ("gradient", "growth", "off_edge", "belt")
MEASURED = ("distance", "half_life", "exponent", *FEATURES)
# scores that rank the runs without a fit, and their names in the table
SINGLE_FEATURES = {
    "gradient": "gradient left over the distance",
    "growth": "largest exponent × distance",
    "off_edge": "largest exponent × distance, the nearer 0 the better",
    "belt": "belt share",
    "distance": "the distance alone, short is better",
}
HELD_OUT = {"distance": "each distance by the others", "cell": "each cell by the others"}


@dataclass(frozen=True)
class TrainabilityRun:
    """One run: its settings, what was measured in its first layer before the first step, and what training reached.

    Attributes:
        member: the run's record.
        cell: its label without the settings that the study varies.
        axis: the setting that is varied beside the distance, a key of ``AXES``.
        value: of that setting.
        distance: in time steps.
        half_life: of the gradient at the memory, in time steps, see ``gradient_decay.layer_decay``.
        exponent: the largest Lyapunov exponent per step.
        belt: the belt's share of the gradient.
        gradient: log10 of the gradient that the half-life leaves over the distance, from ``FLOOR`` to 0.
        growth: distance times exponent in powers of ten, from ``FLOOR`` to -``FLOOR``.
        accuracy: of the test; NaN where training diverged.
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
        """Whether training reached ``SUCCESS``."""
        return self.accuracy >= SUCCESS

    @property
    def off_edge(self) -> float:
        """Distance from the edge of stability: the absolute value of ``growth``."""
        return abs(self.growth)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Held-out predictions of success.

    Attributes:
        log_odds: (N,) of success.
        auc: area under the ROC curve over all runs.
        by_cell: the same over the runs of each cell.
        right: share of runs with log-odds on the right side of 0.
    """

    log_odds: Floats
    auc: float
    by_cell: dict[str, float]
    right: float


def trainability_runs(run: Run) -> tuple[TrainabilityRun, ...]:
    """The runs of a trainability study that have ended and were diagnosed at the start; empty for other experiments."""
    if run.experiment != EXPERIMENT:
        return ()
    ended = (member for member in run.members if member.status != "unfinished")
    return tuple(trained for member in ended if (trained := _trainability_run(member)) is not None)


def _trainability_run(member: RunRecord) -> TrainabilityRun | None:
    """None where something was not measured or is not a number that a run writes."""
    layer, axis = member_layer(member, "start"), next((axis for axis in AXES if axis in member.varied), None)
    if layer is None or layer.lyapunov is None or not len(layer.lyapunov.exponents) or axis is None:
        return None
    value, distance = _scale(member.varied[axis]), member.varied.get(DISTANCE, 0)
    if value is None or not is_integer(distance) or distance < 1:
        return None
    half_life_steps, exponent = half_life(layer_decay(layer, member)), float(layer.lyapunov.exponents[0])
    if np.isnan(exponent) or not 0 <= layer.belt_share <= 1:
        return None
    # no half-life: the gradient vanishes at the first step back
    left = FLOOR if np.isnan(half_life_steps) else -distance * np.log10(2) / half_life_steps
    varied = {OPTIONS[axis], DISTANCE}
    return TrainabilityRun(
        member=member,
        cell=" ".join(word for word in member.label.split(" ") if word.partition("=")[0] not in varied),
        axis=axis,
        value=value,
        distance=distance,
        half_life=half_life_steps,
        exponent=exponent,
        belt=layer.belt_share,
        gradient=float(np.maximum(left, FLOOR)),
        growth=float(np.clip(distance * exponent / np.log(10), FLOOR, -FLOOR)),
        accuracy=np.nan if member.result is None else member.result.test_accuracy,
    )


def _scale(value: SweptValue) -> float | None:
    """A forget bias, or the gain of "orthogonal*0.7"; None for anything else."""
    try:
        return _finite_or_none(float(str(value).rpartition("*")[2]))
    except ValueError:
        return None


def successes(runs: tuple[TrainabilityRun, ...]) -> np.ndarray:
    """Whether each run succeeded: (N,) booleans."""
    return np.array([run.success for run in runs])


def predictions(runs: tuple[TrainabilityRun, ...]) -> dict[str, Prediction]:
    """Predictions by a logistic regression on ``FEATURES``, by the name of what is held out in turn (``HELD_OUT``).

    The regression is fitted to all runs but those held out, with one fixed ridge for all cells.
    """
    features = np.array([[getattr(run, name) for name in FEATURES] for run in runs], np.float64)
    success, results = successes(runs), dict[str, Prediction]()
    for name in HELD_OUT:
        odds = held_out_log_odds(features, success, np.array([getattr(run, name) for run in runs]))
        if np.isfinite(odds).all():
            right = float(((odds > 0) == success).mean())
            results[name] = Prediction(odds, area_under_roc(odds, success), _by_cell(runs, odds), right)
    return results


def _by_cell(runs: tuple[TrainabilityRun, ...], scores: Floats) -> dict[str, float]:
    cells, success = np.array([run.cell for run in runs]), successes(runs)
    return {
        cell: area_under_roc(scores[cells == cell], success[cells == cell])
        for cell in dict.fromkeys(run.cell for run in runs)
    }


def single_feature_aucs(runs: tuple[TrainabilityRun, ...]) -> dict[str, tuple[float, dict[str, float]]]:
    """The AUC of each of ``SINGLE_FEATURES``, without a fit: over all runs, and over those of each cell."""
    results = {}
    for name in SINGLE_FEATURES:
        sign = -1 if name in ("off_edge", "distance") else 1
        scores = sign * np.array([getattr(run, name) for run in runs], np.float64)
        results[name] = area_under_roc(scores, successes(runs)), _by_cell(runs, scores)
    return results


def json_record(runs: tuple[TrainabilityRun, ...]) -> dict[str, Any]:
    """All numbers of the study, for ``trainability.json``."""
    results = predictions(runs)

    def areas(auc: float, by_cell: dict[str, float]) -> dict[str, Any]:
        return {"auc": _finite_or_none(auc), "auc_by_cell": {name: _finite_or_none(by_cell[name]) for name in by_cell}}

    return {
        "success": f"test accuracy of at least {SUCCESS:g}",
        "features": list(FEATURES),
        "fit": f"one logistic regression for all cells, features standardised, ridge {RIDGE:g}",
        "held_out": {
            name: {"how": HELD_OUT[name], **areas(result.auc, result.by_cell), "on_the_right_side": result.right}
            for name, result in results.items()
        },
        "single": {
            name: {"what": SINGLE_FEATURES[name], **areas(*aucs)} for name, aucs in single_feature_aucs(runs).items()
        },
        "runs": [
            {
                "name": run.member.name, "cell": run.cell, "seed": run.member.seed,
                "varied": run.axis, "value": run.value,
                **{name: _finite_or_none(getattr(run, name)) for name in MEASURED},
                "test_accuracy": _finite_or_none(run.accuracy), "success": run.success,
                "log_odds": {name: _finite_or_none(result.log_odds[index]) for name, result in results.items()},
            }
            for index, run in enumerate(runs)
        ],
    }  # fmt: skip


def _finite_or_none(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return float(value) if np.isfinite(value) else None
