"""Rules over the gradient by lag: it vanishes, or it explodes, on its way back through time."""

from typing import NamedTuple

import numpy as np

from rnnjax.diagnostics.alarms.evidence import Alarm, Evidence, distance, number
from rnnjax.diagnostics.gradients import half_life, reach

FEWEST_LAGS = 10  # over fewer words a gradient neither vanishes nor explodes
OFTEN = 0.1  # share of the moments that must measure a lag: one long batch alone does not set the length
GOOD_PART = 0.5  # of the measured length
LEARNT = 0.8  # accuracy; see vanishing
GROWTH = 100.0  # times the strength at lag 0; see exploding


class _Moments(NamedTuple):
    """The moments whose gradient at lag 0 is a number above zero."""

    rows: np.ndarray  # (M,) their rows in the evidence
    norms: np.ndarray  # (M, F + 1) up to the farthest lag F that is measured often enough


def _moments(curves: np.ndarray | None) -> _Moments | None:
    """What can be judged, or None where it is too little."""
    if curves is None or curves.size == 0:
        return None
    at_end = curves[:, 0]
    rows = np.flatnonzero(np.isfinite(at_end) & (at_end > np.finfo(np.float32).tiny))
    norms = np.where(np.isposinf(curves), np.finfo(np.float64).max, curves)[rows]  # too strong is not unmeasured
    known = np.isfinite(norms).sum(axis=0)
    measured = np.flatnonzero((known > 0) & (known >= OFTEN * len(rows)))
    if len(measured) == 0 or measured[-1] < FEWEST_LAGS:
        return None
    return _Moments(rows, norms[:, : measured[-1] + 1].astype(np.float64))


def vanishing(evidence: Evidence) -> Alarm | None:
    """At no logged moment does the median gradient keep 1% of its strength over half of the measured length.

    1% is what ``reach`` asks for. One moment is enough, for a network that has learnt needs no gradient any more: an
    LSTM that has solved its task is as silent as a SimpleRNN that never will. For the same reason nothing is said
    from an accuracy of 80% on: whoever knows all within half of the length and guesses beyond is right in 75% of the
    cases, so more than that was learnt from beyond. An accuracy that was not measured excuses nothing.
    """
    moments = _moments(evidence.curves)
    if moments is None or (evidence.accuracy is not None and evidence.accuracy >= LEARNT):
        return None
    farthest = moments.norms.shape[1] - 1
    reaches = [reach(norms) for norms in moments.norms]
    best = int(np.argmax(reaches))
    if reaches[best] >= GOOD_PART * farthest:
        return None
    half, seen = half_life(moments.norms[best]), reaches[best]
    numbers: dict[str, float | str] = {"reach": seen, "measured": farthest}
    if half <= seen:  # what falls at once and then lies flat has a slope that says nothing of the fall
        fading = f"halves every {distance(half, evidence.unit)}, so it sees"
        numbers["half_life"] = half
    else:
        fading = "falls below 1% of its strength: it sees"
    start_open = f"--cells lstm:chrono={farthest + 1} or gru:chrono={farthest + 1}"
    if evidence.has_belt:
        remedy = f"Let the gate that keeps start open, {start_open}; or hold the gradient up with --flossing."
    else:
        remedy = (
            f"Try a cell whose memory has a way of its own through time, {start_open}; or another start, "
            "--cells simple:activation=relu,recurrent_init=identity; or hold the gradient up with --flossing."
        )
    best_of = ", even at its best moment" if len(moments.rows) > 1 else ""
    sentence = f"{evidence.label}: the gradient {fading} {seen} of {farthest} {evidence.unit}s{best_of}."
    return Alarm("vanishing", evidence.label, sentence, remedy, numbers)


def exploding(evidence: Evidence) -> Alarm | None:
    """The median gradient is 100 times as strong at some lag as at the last word, or is no finite number.

    100 is the mirror of the 1% below which a gradient counts as gone; of gradients that train well, the strongest
    stay within a few times of their strength at the last word. The parameters' gradient must be finite at every
    step, unless the forward pass had broken before it.
    """
    clip = "" if evidence.clip else "limit each step with --clip 1, or "
    remedy = (
        f"Scale the recurrent weights down, as in --cells simple:recurrent_init=orthogonal*0.9; {clip}"
        "hold the gradient's growth with --omega."
    )
    moments = _moments(evidence.curves)
    if moments is not None:
        with np.errstate(over="ignore"):
            growth = np.minimum(moments.norms / moments.norms[:, :1], np.finfo(np.float64).max)
        growth = np.nan_to_num(growth)
        row, lag = (int(i) for i in np.unravel_index(np.argmax(growth), growth.shape))
        if growth[row, lag] >= GROWTH:
            times, moment = float(growth[row, lag]), int(moments.rows[row])
            sentence = (
                f"{evidence.label}: the gradient grows on its way back: {distance(lag, evidence.unit)} before the end "
                f"it is {number(times)} times as strong as at the last {evidence.unit}."
            )
            return Alarm("exploding", evidence.label, sentence, remedy, {"growth": times, "lag": lag, "moment": moment})
    norms, origin = evidence.gradient_norms, evidence.origin
    if norms is None or np.isfinite(norms).all() or (origin is not None and origin.phase == "forward"):
        return None
    step = int(np.argmin(np.isfinite(norms)))
    sentence = f"{evidence.label}: the gradient is no finite number at training step {step}."
    return Alarm("exploding", evidence.label, sentence, remedy, {"step": step})
