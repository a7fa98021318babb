"""Captions for Lyapunov exponents, sizes of parameter updates, and exchanged words."""

import numpy as np

from rnnjax.formatting import Nouns, number
from rnnjax.report.figures.dynamics import group_swaps, group_updates
from rnnjax.report.summary.diagnosis import diagnosed, group_layers, over_seeds
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups, lower_median
from rnnjax.report.summary.task import nouns_of
from rnnjax.report.text.diagnosis import OPENING, layer_caption, times
from rnnjax.report.text.headline import Caption
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

NEAR_ZERO = 0.0005  # a smaller exponent rounds to zero
FAR = 0.75  # share of the largest distance from which a step counts as far back


def lyapunov_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the exponents: the largest, and what it means for a small change of the state."""
    captions = []
    for group, layer_index, title in diagnosed(groups):
        clauses = [text for when in STAGES if (text := _largest(group, when))]
        if layer_index == 0 and clauses:
            captions.append(layer_caption(group, title, " ".join(clauses)))
    return captions


def _largest(group: SeedGroup, when: Stage) -> str:
    spectra = [layer.lyapunov for layer in group_layers(group, when) if layer.lyapunov is not None]
    values = np.array([spectrum.exponents[0] for spectrum in spectra if len(spectrum.exponents)], np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return ""
    mean = over_seeds(values, least=-np.inf)
    centre = mean.mean if np.isfinite(mean.mean) else float(lower_median(values))
    bounds = "" if np.isnan(mean.low) else f" ({_signed(mean.low)} to {_signed(mean.high)}, {mean.seeds} seeds)"
    if mean.seeds == 2 and np.isfinite(values).all():
        bounds = f" ({_signed(values.min())} and {_signed(values.max())}, 2 seeds)"
    meaning = "the seeds do not agree on whether a small change of the state grows or fades"
    meaning = meaning if values.min() < 0 < values.max() and abs(centre) >= NEAR_ZERO else _meaning(centre)
    return f"{OPENING[when]} the largest Lyapunov exponent is {_signed(centre)} per step{bounds}: {meaning}."


def _meaning(exponent: float) -> str:
    if np.isneginf(exponent):
        return "a small change of the state is gone at the next step"
    if np.isposinf(exponent):
        return "a small change of the state grows without bound"
    if abs(exponent) < NEAR_ZERO:
        return "a small change of the state neither grows nor fades"
    steps = number(float(np.log(2) / abs(exponent)))
    every = f"every {steps} step{'' if steps == '1' else 's'}"
    return f"a small change of the state {'doubles' if exponent > 0 else 'halves'} {every}"


def _signed(value: float) -> str:
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.3f}".replace("-", "−")
    return "0.000" if text == "−0.000" else text


def update_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the update ratios: the largest and the smallest in the second half of training."""
    return [Caption(group.label, text) for group in groups if (text := _update_sizes(group))]


def _update_sizes(group: SeedGroup) -> str:
    log = group_updates(group)
    if log is None:
        return ""
    late = log.steps >= log.steps[-1] / 2
    typical = {block: float(lower_median(_finite_values(values[late]))) for block, values in log.ratios.items()}
    finite = {block: ratio for block, ratio in typical.items() if np.isfinite(ratio)}
    if not finite:
        return "No update has a finite size."
    most, least = max(finite, key=lambda block: finite[block]), min(finite, key=lambda block: finite[block])
    start = f"In the second half of training a step changes {most} by {_relative_size(finite[most])}"
    return (
        f"{start}."
        if most == least
        else f"{start}, the most, and {least} by {_relative_size(finite[least])}, the least."
    )


def _finite_values(values: Floats) -> Floats:
    return values[np.isfinite(values)] if np.isfinite(values).any() else np.array([np.nan])


def _relative_size(ratio: float) -> str:
    """The size of an update relative to its block: "one part in 476", "1.3 times its size"."""
    if ratio == 0:
        return "nothing"
    if ratio < 1e-6:
        return "less than one part in a million"
    return f"{times(ratio)} its size" if ratio >= 0.5 else f"one part in {times(1 / ratio).removesuffix(' times')}"


def swap_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the exchanged words: the effect of a word far back, measured and predicted by its gradient."""
    return [Caption(group.label, text) for group in groups if (text := _exchange_effect(group, nouns_of((group,))))]


def _exchange_effect(group: SeedGroup, nouns: Nouns) -> str:
    exchanged = group_swaps(group)
    if exchanged is None:
        return ""
    when, record = exchanged
    usable = np.isfinite(record.lag + record.measured + record.predicted)
    if not usable.any():
        return "No exchange changed the logit by a finite number."
    lag, measured, predicted = (values[usable] for values in (record.lag, record.measured, record.predicted))
    far = lag >= FAR * lag.max()
    nearest, farthest = number(lag[far].min()), number(lag.max())
    distance = farthest if nearest == farthest else f"{nearest} to {farthest}"
    change, expected = (_change_text(float(np.median(np.abs(values[far])))) for values in (measured, predicted))
    opening = "Before training, exchanging" if when == "start" else "Exchanging"
    text = (
        f"{opening} {record.what} {distance} {nouns.steps} back changes the logit by {change} (median of {far.sum()} "
    )
    text += f"exchange{'' if far.sum() == 1 else 's'}); the gradient predicts {expected}."
    moved = measured != 0
    right = int((np.sign(measured) == np.sign(predicted))[moved].sum())
    return f"{text} Its prediction has the right sign in {right} of {moved.sum()}." if moved.any() else text


def _change_text(value: float) -> str:
    """A change in two digits: "14", "1.4", "0.031", "under 0.001"."""
    if value == 0:
        return "nothing"
    if value < 0.001:
        return "under 0.001"
    return number(value) if value >= 1 else f"{value:.2g}"
