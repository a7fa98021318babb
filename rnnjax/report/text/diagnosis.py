"""Captions for the figures of the diagnoses: belt and detour, and the gates."""

import numpy as np

from rnnjax.formatting import Nouns, join_list, number, percent
from rnnjax.report.summary.diagnosis import (
    any_layer,
    by_lag,
    curve,
    diagnosed,
    gate_shares,
    group_layers,
    has_belt,
    layer_values,
    over_seeds,
)
from rnnjax.report.summary.gradient_decay import group_half_lives
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups, lower_median, mean
from rnnjax.report.summary.task import nouns_of
from rnnjax.report.text.headline import Caption
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

NO_BELT = "Has no belt: every step passes through W_h, so all of the gradient is detour."
NO_BELT_OF_ANY_CELL = "Has no belt: every path meets a matrix product, so all of the gradient is detour."
OPENING: dict[Stage, str] = {"start": "At the start", "end": "After training"}


def share_over_seeds(values: Floats) -> str:
    """Mean share with its interval: "41.0% (39.2–42.8%, 3 seeds)"; of two seeds both shares, of one that alone."""
    share = over_seeds(values, most=1.0)
    if len(values) == 2:
        low, high = (percent(float(end)).removesuffix("%") for end in (values.min(), values.max()))
        return f"{percent(share.mean)} ({low if low == high else f'{low} and {high}'}%, 2 seeds)"
    if np.isnan(share.low):
        return percent(share.mean)
    bounds = _range(percent(share.low).removesuffix("%"), percent(share.high).removesuffix("%"))
    return f"{percent(share.mean)} ({bounds}%, {share.seeds} seeds)"


def distance_over_seeds(values: Floats, nouns: Nouns) -> str:
    """The median seed's distance with the lowest and the highest: "6.4 words (6.1–6.7, 3 seeds)"."""
    median = nouns.far(float(lower_median(values)))
    bounds = _range(number(float(values.min())), number(float(values.max())))
    return median if len(values) < 2 else f"{median} ({bounds}, {len(values)} seeds)"


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low}–{high}"


def layer_caption(group: SeedGroup, title: str, text: str) -> Caption:
    """A caption about one layer, under the label of its cell; ``title`` names the layer where the cell has several."""
    return Caption(group.label, text if title == group.label else f"({title.removeprefix(group.label + ', ')}) {text}")


def belt_share_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the belt's share: the share before and after training, and the half-lives."""
    captions = []
    for group, layer_index, title in diagnosed(groups):
        layer = any_layer(group, layer_index)
        if layer_index or layer is None:
            continue
        if not any(has_belt(layer) for when in STAGES for layer in group_layers(group, when)):
            captions.append(layer_caption(group, title, NO_BELT if layer.gates else NO_BELT_OF_ANY_CELL))
            continue
        shares = {when: layer_values(group, when, "belt_share", layer_index) for when in STAGES}
        moments = [when for when in STAGES if len(shares[when])]
        if not moments:
            captions.append(layer_caption(group, title, "The belt's share is not a number, since no gradient arrives."))
            continue
        nouns = nouns_of((group,))
        text = (
            f"{OPENING[moments[0]]} {share_over_seeds(shares[moments[0]])} of the gradient that arrives came down the "
        )
        text += f"conveyor belt, averaged over the {nouns.steps} back that at least a quarter of the examples have"
        text += f"; after training {share_over_seeds(shares['end'])}." if len(moments) == 2 else "."
        captions.append(layer_caption(group, title, text + _half_lives(group, nouns)))
    return captions


def _half_lives(group: SeedGroup, nouns: Nouns) -> str:
    values = {when: group_half_lives(group, when) for when in STAGES}
    parts = [f"{distance_over_seeds(values[when], nouns)} {_at_moment(when)}" for when in STAGES if len(values[when])]
    whole = "The gradient's half-life"
    subject = whole if group.last_step_only else f"The half-life of the gradient of one {nouns.step}'s loss"
    return f" {subject}: {', '.join(parts)}." if parts else ""


def _at_moment(when: Stage) -> str:
    return "at the start" if when == "start" else "at the end"


def belt_and_detour_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of belt and detour: at which distances the belt is the larger part."""
    return [
        layer_caption(group, title, _larger_part(group, layer_index, nouns_of((group,))))
        for group, layer_index, title in diagnosed(groups)
    ]


def _larger_part(group: SeedGroup, layer_index: int, nouns: Nouns) -> str:
    if not any(has_belt(layer) for when in STAGES for layer in group_layers(group, when, layer_index)):
        layer = any_layer(group, layer_index)
        return NO_BELT if layer is None or layer.gates else NO_BELT_OF_ANY_CELL
    when: Stage = "end" if group_layers(group, "end", layer_index) else "start"
    belt, detour = (curve(group, layer_index, when, path) for path in ("belt", "detour"))
    if belt is None or detour is None:
        return f"{OPENING[when]} neither part has a usable number."
    total = belt.median + detour.median
    if np.isnan(total).all():
        return f"{OPENING[when]} no two {nouns.steps} could be compared."
    lags = np.flatnonzero(total > 0)
    if not len(lags):
        return f"{OPENING[when]} no gradient arrives even one {nouns.step} back."
    belt_larger = belt.median[lags] >= detour.median[lags]
    up_to = f"at every distance measured, up to {nouns.far(lags[-1])}"
    if belt_larger.all() or not belt_larger.any():
        text = f"{OPENING[when]} the {'belt' if belt_larger.all() else 'detour'} is the larger part {up_to}"
    else:
        text = f"{OPENING[when]} the belt is the larger part at {belt_larger.sum()} of {len(belt_larger)} distances"
    return f"{text}; {nouns.far(lags[-1])} back {_ratio_of_parts(belt.median[lags[-1]], detour.median[lags[-1]])}."


def _ratio_of_parts(belt: float, detour: float) -> str:
    if min(belt, detour) == 0:
        return f"only the {'belt' if belt else 'detour'} is left"
    if belt == detour:
        return "both are equal"
    more, less = ("belt", "detour") if belt > detour else ("detour", "belt")
    return f"the {more} is {times(max(belt, detour) / min(belt, detour))} as large as the {less}"


def times(ratio: float) -> str:
    """A factor: "1.3 times", "6,900 times", "over a million times"."""
    return f"{number(ratio)} times"


def detour_gate_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the detour by gates: each gate's share, averaged over the distances."""
    captions = []
    for group, layer_index, title in diagnosed(groups):
        layer = any_layer(group, layer_index)
        shares = [(when, parts) for when in STAGES if (parts := gate_shares(group, layer_index, when)) is not None]
        if layer is None or len(layer.gates) < 2 or not shares:
            continue
        clauses = []
        for when, shares_by_gate in shares:
            average = mean(shares_by_gate.T)
            first, *rest = [(percent(average[k]), layer.gates[k]) for k in np.argsort(-average, kind="stable")]
            entries = [f"{first[0]} of the detour enters through {first[1]}"]
            entries += [f"{share} through {gate}" for share, gate in rest]
            clauses.append(f"{OPENING[when]} {join_list(entries)}.")
        captions.append(layer_caption(group, title, " ".join(clauses)))
    return captions


def into_gates_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the gradients at the gates: which gate receives the most and which the least."""
    captions = []
    for group, layer_index, title in diagnosed(groups):
        layer = any_layer(group, layer_index)
        if layer is None or len(layer.gates) < 2:
            continue
        clauses = [text for when in STAGES if (text := _strongest_gate(group, layer_index, when, layer.gates))]
        if clauses:
            captions.append(layer_caption(group, title, " ".join(clauses)))
    return captions


def _strongest_gate(group: SeedGroup, layer_index: int, when: Stage, gates: tuple[str, ...]) -> str:
    sums = {
        gate: float(np.nansum(norms.median))
        for gate in gates
        if (norms := curve(group, layer_index, when, f"into {gate}")) is not None
    }
    if len(sums) < 2 or max(sums.values()) == 0:
        return ""
    nouns = nouns_of((group,))
    most, least = max(sums, key=lambda gate: sums[gate]), min(sums, key=lambda gate: sums[gate])
    if sums[least] == 0:
        return (
            f"{OPENING[when]} {most} receives the strongest gradient, summed over all {nouns.steps}, and {least} none."
        )
    factor = times(sums[most] / sums[least])
    return f"{OPENING[when]} {most} receives {factor} the gradient of {least}, summed over all {nouns.steps}."


def gate_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the gates' values: how much of the memory a step keeps, the horizon, and saturated values."""
    captions = []
    for group, layer_index, title in diagnosed(groups):
        layer = any_layer(group, layer_index)
        clauses = [text for when in STAGES if (text := _kept_memory(group, layer_index, when))]
        if layer is not None and len(layer.gates) > 1 and clauses:
            captions.append(layer_caption(group, title, " ".join(clauses)))
    return captions


def _kept_memory(group: SeedGroup, layer_index: int, when: Stage) -> str:
    layers = group_layers(group, when, layer_index)
    keep = np.array([mean(by_lag(layer, "keep")) for layer in layers], np.float64)
    keep = keep[np.isfinite(keep)]
    if not len(keep):
        return ""
    text = f"{OPENING[when]} it keeps {share_over_seeds(keep)} of its memory in a step"
    if len(horizon := layer_values(group, when, "horizon", layer_index)):
        text += f", a horizon of {distance_over_seeds(horizon, nouns_of((group,)))}"
    saturated = {
        k: mean(np.array([(layer.saturation or {}).get(k, np.nan) for layer in layers])) for k in layers[0].gates
    }
    parts = [f"{k} {percent(float(share))}" for k, share in saturated.items() if share >= 0.0005]
    return f"{text}; saturated values: {join_list(parts)}." if parts else f"{text}."
