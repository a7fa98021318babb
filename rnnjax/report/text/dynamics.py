"""What the flow, the updates and the exchanged words of a run show, in sentences that are true for any numbers."""

import numpy as np

from rnnjax.formatting import Nouns, number
from rnnjax.report.figures.dynamics import ratios, swapped
from rnnjax.report.summary.diagnosis import diagnosed, layers_of, over_seeds
from rnnjax.report.summary.seed_groups import SeedGroup, middle
from rnnjax.report.summary.task import nouns_of
from rnnjax.report.text.diagnosis import OPENING, said_of, times
from rnnjax.report.text.headline import Said
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

Labels = tuple[SeedGroup, ...]
STILL = 0.0005  # an exponent that rounds to zero
FAR = 0.75  # of the largest distance: from there on a step counts as far back


def lyapunov(labels: Labels) -> list[Said]:
    """Under the exponents: the largest one, and what it means for a small change of the state."""
    said = []
    for group, place, title in diagnosed(labels):
        clauses = [text for when in STAGES if (text := _largest(group, when))]
        if place == 0 and clauses:
            said.append(said_of(group, title, " ".join(clauses)))
    return said


def _largest(group: SeedGroup, when: Stage) -> str:
    flows = [layer.lyapunov for layer in layers_of(group, when) if layer.lyapunov is not None]
    values = np.array([flow.exponents[0] for flow in flows if len(flow.exponents)], np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return ""
    found = over_seeds(values, least=-np.inf)
    centre = found.mean if np.isfinite(found.mean) else float(middle(values))
    between = "" if np.isnan(found.low) else f" ({_signed(found.low)} to {_signed(found.high)}, {found.seeds} seeds)"
    meaning = "the seeds do not agree on whether a small change of the state grows or fades"
    meaning = meaning if found.low < 0 < found.high and abs(centre) >= STILL else _meaning(centre)
    return f"{OPENING[when]} the largest Lyapunov exponent is {_signed(centre)} a step{between}: {meaning}."


def _meaning(exponent: float) -> str:
    if np.isneginf(exponent):
        return "a small change of the state is gone at the next step"
    if np.isposinf(exponent):
        return "a small change of the state grows beyond all numbers"
    if abs(exponent) < STILL:
        return "a small change of the state neither grows nor fades"
    steps = number(float(np.log(2) / abs(exponent)))
    every = f"every {steps} step{'' if steps == '1' else 's'}"
    return f"a small change of the state {'doubles' if exponent > 0 else 'halves'} {every}"


def _signed(value: float) -> str:
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.3f}".replace("-", "−")
    return "0.000" if text == "−0.000" else text


def updates(labels: Labels) -> list[Said]:
    """Under the update ratios: which block moves most and which least in the second half of training."""
    return [Said(group.label, text) for group in labels if (text := _moves(group))]


def _moves(group: SeedGroup) -> str:
    log = ratios(group)
    if log is None:
        return ""
    late = log.steps >= log.steps[-1] / 2
    typical = {block: float(middle(_usable(values[late]))) for block, values in log.ratios.items()}
    known = {block: ratio for block, ratio in typical.items() if np.isfinite(ratio)}
    if not known:
        return "No update has a size that is a number."
    most, least = max(known, key=lambda block: known[block]), min(known, key=lambda block: known[block])
    start = f"In the second half of training a step changes {most} by {_part(known[most])}"
    return f"{start}." if most == least else f"{start}, the most, and {least} by {_part(known[least])}, the least."


def _usable(values: Floats) -> Floats:
    return values[np.isfinite(values)] if np.isfinite(values).any() else np.array([np.nan])


def _part(ratio: float) -> str:
    """A share of its size: "one part in 476", "1.3 times its size"."""
    if ratio == 0:
        return "nothing"
    if ratio < 1e-6:
        return "less than one part in a million"
    return f"{times(ratio)} its size" if ratio >= 0.5 else f"one part in {times(1 / ratio).removesuffix(' times')}"


def swaps(labels: Labels) -> list[Said]:
    """Under the exchanged words: what a word far back changes, and whether its gradient knew."""
    return [Said(group.label, text) for group in labels if (text := _changes(group, nouns_of((group,))))]


def _changes(group: SeedGroup, nouns: Nouns) -> str:
    exchanged = swapped(group)
    if exchanged is None:
        return ""
    when, found = exchanged
    usable = np.isfinite(found.lag + found.measured + found.predicted)
    if not usable.any():
        return "No exchange changed the logit by a number."
    lag, measured, predicted = (values[usable] for values in (found.lag, found.measured, found.predicted))
    far = lag >= FAR * lag.max()
    nearest, farthest = number(lag[far].min()), number(lag.max())
    distance = farthest if nearest == farthest else f"{nearest} to {farthest}"
    change, expected = (_size(float(np.median(np.abs(values[far])))) for values in (measured, predicted))
    opening = "Before training, exchanging" if when == "start" else "Exchanging"
    text = f"{opening} {found.what} {distance} {nouns.steps} back changes the logit by {change} (median of {far.sum()} "
    text += f"exchange{'' if far.sum() == 1 else 's'}); the gradient predicts {expected}."
    moved = measured != 0
    right = int((np.sign(measured) == np.sign(predicted))[moved].sum())
    return f"{text} Its prediction has the right sign in {right} of {moved.sum()}." if moved.any() else text


def _size(value: float) -> str:
    """Two digits of any size: "14", "1.4", "0.031", and "under 0.001"."""
    if value == 0:
        return "nothing"
    if value < 0.001:
        return "under 0.001"
    return number(value) if value >= 1 else f"{value:.2g}"
