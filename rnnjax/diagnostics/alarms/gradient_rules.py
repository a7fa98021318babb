"""Rules over the gradient by lag: it vanishes or explodes on its way back through time."""

from typing import NamedTuple

import numpy as np

from rnnjax.diagnostics.alarms.evidence import Action, Alarm, Evidence
from rnnjax.diagnostics.gradients import half_life, reach
from rnnjax.formatting import distance, number, plural
from rnnjax.typing import Floats

FEWEST_LAGS = 10  # shorter gradients by lag are not judged
OFTEN = 0.1  # share of the moments that must measure a lag, so that one long batch does not set the length
GOOD_PART = 0.5  # of the measured length
LEARNT = 0.8  # accuracy; see vanishing
GROWTH = 100.0  # times the norm at lag 0; see exploding


class _Moments(NamedTuple):
    """The moments of training whose gradient norm at lag 0 is finite and above zero."""

    rows: np.ndarray  # (M,) their rows in the evidence
    norms: Floats  # (M, F + 1) up to the farthest lag F that is measured often enough


def _moments(curves: Floats | None) -> _Moments | None:
    """The moments that can be judged, or None where too little was measured."""
    if curves is None or curves.size == 0:
        return None
    at_end = curves[:, 0]
    rows = np.flatnonzero(np.isfinite(at_end) & (at_end > np.finfo(np.float32).tiny))
    norms = np.where(np.isposinf(curves), np.finfo(np.float64).max, curves)[rows]  # infinite counts as measured
    known = np.isfinite(norms).sum(axis=0)
    measured = np.flatnonzero((known > 0) & (known >= OFTEN * len(rows)))
    if len(measured) == 0 or measured[-1] < FEWEST_LAGS:
        return None
    return _Moments(rows, norms[:, : measured[-1] + 1].astype(np.float64))


def vanishing(evidence: Evidence) -> Alarm | None:
    """At no logged moment does the median gradient keep 1% of its strength over half of the measured length.

    1% is the threshold of ``reach``. A single moment above it is enough, because a network that has learnt its task
    needs no gradient any more: the gradient of an LSTM that has solved its task vanishes like that of a SimpleRNN that
    never will. For the same reason no alarm is raised from an accuracy of 80% on: a network that knows every answer
    within half of the length and guesses beyond it is right in 75% of the cases, so a higher accuracy shows that it
    learnt from beyond. An accuracy that was not measured prevents no alarm. Nor is there an alarm where the loss reads
    more than the last step: it then sends a gradient to every step that it reads, however far back.
    """
    moments = _moments(evidence.curves) if evidence.last_step_only else None
    if moments is None or (evidence.accuracy is not None and evidence.accuracy >= LEARNT):
        return None
    farthest = moments.norms.shape[1] - 1
    reaches = [reach(norms) for norms in moments.norms]
    best = int(np.argmax(reaches))
    if reaches[best] >= GOOD_PART * farthest:
        return None
    half, seen = half_life(moments.norms[best]), reaches[best]
    numbers: dict[str, float | str] = {"reach": seen, "measured": farthest}
    if half <= seen:  # a gradient that drops at once and stays flat has a half-life that does not describe the drop
        fading = f"halves every {distance(half, evidence.unit)}, so it sees"
        numbers["half_life"] = half
    else:
        fading = "falls below 1% of its strength: it sees"
    best_of = ", even at the best logged step" if len(moments.rows) > 1 else ""
    sentence = f"{evidence.label}: the gradient {fading} {seen} of {farthest} {plural(evidence.unit)}{best_of}."

    horizon = farthest + 1
    cells = f"rnnjax.LSTM(..., chrono={horizon}) or rnnjax.GRU(..., chrono={horizon})"
    penalty = "or add the penalty rnnjax.diagnostics.flossing to the loss, which keeps the gradient from vanishing."
    if not evidence.ours:
        remedy = (
            f"Start with the gate that keeps the state open, by a bias of log {horizon} for a memory as long as this."
        )
        if not evidence.has_belt:
            advice = "Let the state go on along a path without a matrix product, as the cell state of an LSTM does."
            remedy = f"{advice} {remedy}"
        actions: tuple[Action, ...] = ()
    elif evidence.has_belt:
        remedy = f"Start with the keep gate open, as in {cells}; {penalty}"
        actions = (Action("chrono", horizon), Action("flossing"))
    else:
        remedy = (
            f"Use a cell whose memory has its own path through time, such as {cells}; or start from the identity "
            f'matrix, as in rnnjax.SimpleRNN(..., activation="relu", recurrent_init=rnnjax.Identity()); {penalty}'
        )
        actions = (Action("chrono", horizon), Action("identity_init"), Action("flossing"))
    return Alarm("vanishing", evidence.label, sentence, remedy, numbers, actions)


def exploding(evidence: Evidence) -> Alarm | None:
    """The median gradient is 100 times as strong at some lag as at lag 0, or is not finite.

    100 mirrors the 1% below which a gradient counts as vanished; gradients of trainings that succeed stay within a few
    times of their strength at the last step. The parameters' gradient must be finite at every training step, unless
    the forward pass already was not.
    """
    clip = "" if evidence.clip else "clip the gradient's global norm at 1 (optax.clip_by_global_norm), "
    remedy = (
        f"Scale the recurrent weights down, as in rnnjax.SimpleRNN(..., recurrent_init=rnnjax.Orthogonal(0.9)), {clip}"
        "or add the penalty rnnjax.diagnostics.omega to the loss, which limits the growth of the gradient."
    )
    clipped = () if evidence.clip else (Action("clip", 1.0),)
    actions = (Action("orthogonal_scale", 0.9), *clipped, Action("omega"))
    if not evidence.ours:
        remedy = f"Scale the recurrent weights down, as an orthogonal matrix times 0.9, {clip}or let the state decay."
        actions = ()
    moments = _moments(evidence.curves)
    if moments is not None:
        with np.errstate(over="ignore"):
            growth = np.minimum(moments.norms / moments.norms[:, :1], np.finfo(np.float64).max)
        growth = np.nan_to_num(growth)
        row, lag = (int(i) for i in np.unravel_index(np.argmax(growth), growth.shape))
        if growth[row, lag] >= GROWTH:
            factor, moment = float(growth[row, lag]), int(moments.rows[row])
            last = f"before the end it is {number(factor)} times as strong as at the last {evidence.unit}"
            where = last if evidence.last_step_only else f"back it is {number(factor)} times as strong"
            whose = "" if evidence.last_step_only else f" of one {evidence.unit}'s loss"
            sentence = (
                f"{evidence.label}: the gradient{whose} grows on its way back: {distance(lag, evidence.unit)} {where}."
            )
            numbers: dict[str, float | str] = {"growth": factor, "lag": lag, "moment": moment}
            return Alarm("exploding", evidence.label, sentence, remedy, numbers, actions)
    norms, origin = evidence.gradient_norms, evidence.origin
    if norms is None or np.isfinite(norms).all() or (origin is not None and origin.phase == "forward"):
        return None
    step = int(np.argmin(np.isfinite(norms)))
    sentence = f"{evidence.label}: the gradient is not finite at training step {step}."
    return Alarm("exploding", evidence.label, sentence, remedy, {"step": step}, actions)
