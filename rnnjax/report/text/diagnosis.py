"""What the diagnoses of a run show, in sentences: the belt and the detour, and the gates. True for any numbers."""

import numpy as np

from rnnjax.formatting import Nouns, join_list, number, percent
from rnnjax.report.summary.diagnosis import (
    by_lag,
    curve,
    diagnosed,
    either,
    half_lives,
    has_belt,
    layers_of,
    numbers,
    over_seeds,
    shares,
)
from rnnjax.report.summary.seed_groups import SeedGroup, mean, middle
from rnnjax.report.summary.task import nouns_of
from rnnjax.report.text.headline import Said
from rnnjax.runs.schema import STAGES, Stage
from rnnjax.typing import Floats

Labels = tuple[SeedGroup, ...]
NO_BELT = "Has no belt: every step leads through W_h, so all that arrives came the long way round."
OPENING: dict[Stage, str] = {"start": "At the start", "end": "After training"}


def share_over_seeds(values: Floats) -> str:
    """Mean share with its interval: "41.0% (39.2–42.8%, 3 seeds)"; of one seed the share alone."""
    found = over_seeds(values, most=1.0)
    if np.isnan(found.low):
        return percent(found.mean)
    between = _between(percent(found.low).removesuffix("%"), percent(found.high).removesuffix("%"))
    return f"{percent(found.mean)} ({between}%, {found.seeds} seeds)"


def far_over_seeds(values: Floats, nouns: Nouns) -> str:
    """The median seed's distance with the interval of the mean: "6.4 words (6.1–6.7, 3 seeds)"."""
    found = over_seeds(values)
    centre = nouns.far(float(middle(values)))
    bounds = f" ({_between(number(found.low), number(found.high))}, {found.seeds} seeds)"
    return centre if np.isnan(found.low) else centre + bounds


def _between(low: str, high: str) -> str:
    return low if low == high else f"{low}–{high}"


def said_of(group: SeedGroup, title: str, text: str) -> Said:
    """What is said of a layer, under the label of its cell; the layer is named where the cell has several."""
    return Said(group.label, text if title == group.label else f"({title.removeprefix(group.label + ', ')}) {text}")


def belt_shares(labels: Labels) -> list[Said]:
    """Under the belt's share: how much came down the belt, and how the half-life changed with it."""
    said = []
    for group, place, title in diagnosed(labels):
        layer = either(group, place)
        if place or layer is None:
            continue
        if not any(has_belt(one) for when in STAGES for one in layers_of(group, when)):
            said.append(said_of(group, title, NO_BELT))
            continue
        found = {when: numbers(group, when, "belt_share", place) for when in STAGES}
        known = [when for when in STAGES if len(found[when])]
        if not known:
            said.append(said_of(group, title, "The belt's share is not a number: nothing that can be divided arrives."))
            continue
        nouns = nouns_of((group,))
        text = f"{OPENING[known[0]]} {share_over_seeds(found[known[0]])} of the gradient that arrives came down the "
        text += f"conveyor belt, averaged over all {nouns.steps} back"
        text += f"; after training {share_over_seeds(found['end'])}." if len(known) == 2 else "."
        said.append(said_of(group, title, text + _half_lives(group, nouns)))
    return said


def _half_lives(group: SeedGroup, nouns: Nouns) -> str:
    found = {when: half_lives(group, when) for when in STAGES}
    told = [f"{far_over_seeds(found[when], nouns)} {_at(when)}" for when in STAGES if len(found[when])]
    return f" The gradient's half-life: {', '.join(told)}." if told else ""


def _at(when: Stage) -> str:
    return "at the start" if when == "start" else "at the end"


def belt_against_detour(labels: Labels) -> list[Said]:
    """Under the norms of belt and detour: at which distances which part is the larger one."""
    return [
        said_of(group, title, _larger(group, place, nouns_of((group,)))) for group, place, title in diagnosed(labels)
    ]


def _larger(group: SeedGroup, place: int, nouns: Nouns) -> str:
    if not any(has_belt(layer) for when in STAGES for layer in layers_of(group, when, place)):
        return NO_BELT
    when: Stage = "end" if layers_of(group, "end", place) else "start"
    belt, detour = (curve(group, place, when, path) for path in ("belt", "detour"))
    if belt is None or detour is None:
        return f"{OPENING[when]} neither part has a usable number."
    total = belt.middle + detour.middle
    if np.isnan(total).all():
        return f"{OPENING[when]} no two {nouns.steps} could be compared."
    lags = np.flatnonzero(total > 0)
    if not len(lags):
        return f"{OPENING[when]} nothing arrives even one {nouns.step} back, by either way."
    wins = belt.middle[lags] >= detour.middle[lags]
    upto = f"at every distance measured, up to {nouns.far(lags[-1])}"
    if wins.all() or not wins.any():
        text = f"{OPENING[when]} the {'belt' if wins.all() else 'detour'} brings the larger part {upto}"
    else:
        text = f"{OPENING[when]} the belt brings the larger part at {wins.sum()} of {len(wins)} distances"
    return f"{text}; {nouns.far(lags[-1])} back {_times(belt.middle[lags[-1]], detour.middle[lags[-1]])}."


def _times(belt: float, detour: float) -> str:
    if min(belt, detour) == 0:
        return f"only the {'belt' if belt else 'detour'} is left"
    if belt == detour:
        return "both bring the same"
    more, less = ("belt", "detour") if belt > detour else ("detour", "belt")
    return f"the {more} brings {times(max(belt, detour) / min(belt, detour))} as much as the {less}"


def times(ratio: float) -> str:
    """A factor: "1.3 times", "6,900 times", "over a million times"."""
    return f"{number(ratio) if ratio < 10_000 else f'{ratio:,.0f}' if ratio < 1e6 else 'over a million'} times"


def through_gates(labels: Labels) -> list[Said]:
    """Under the detour by gates: through which gates it comes, averaged over the distances."""
    said = []
    for group, place, title in diagnosed(labels):
        layer = either(group, place)
        found = [(when, divided) for when in STAGES if (divided := shares(group, place, when)) is not None]
        if layer is None or len(layer.gates) < 2 or not found:
            continue
        clauses = []
        for when, divided in found:
            average = mean(divided.T)
            first, *rest = [(percent(average[k]), layer.gates[k]) for k in np.argsort(-average, kind="stable")]
            parts = [f"{first[0]} of the detour enters through {first[1]}"]
            parts += [f"{part} through {gate}" for part, gate in rest]
            clauses.append(f"{OPENING[when]} {join_list(parts)}.")
        said.append(said_of(group, title, " ".join(clauses)))
    return said


def into_gates(labels: Labels) -> list[Said]:
    """Under the gradients at the gates: which gate hears most."""
    said = []
    for group, place, title in diagnosed(labels):
        layer = either(group, place)
        if layer is None or len(layer.gates) < 2:
            continue
        clauses = [text for when in STAGES if (text := _loudest(group, place, when, layer.gates))]
        if clauses:
            said.append(said_of(group, title, " ".join(clauses)))
    return said


def _loudest(group: SeedGroup, place: int, when: Stage, gates: tuple[str, ...]) -> str:
    sums = {
        gate: float(np.nansum(found.middle))
        for gate in gates
        if (found := curve(group, place, when, f"into {gate}")) is not None
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


def gates(labels: Labels) -> list[Said]:
    """Under the gates' values: how much of the memory is kept in a step, for how long, and what is stuck."""
    said = []
    for group, place, title in diagnosed(labels):
        layer = either(group, place)
        clauses = [text for when in STAGES if (text := _keeps(group, place, when))]
        if layer is not None and len(layer.gates) > 1 and clauses:
            said.append(said_of(group, title, " ".join(clauses)))
    return said


def _keeps(group: SeedGroup, place: int, when: Stage) -> str:
    layers = layers_of(group, when, place)
    kept = np.array([mean(by_lag(layer, "keep")) for layer in layers], np.float64)
    kept = kept[np.isfinite(kept)]
    if not len(kept):
        return ""
    text = f"{OPENING[when]} it keeps {share_over_seeds(kept)} of its memory in a step"
    if len(horizon := numbers(group, when, "horizon", place)):
        text += f", a horizon of {far_over_seeds(horizon, nouns_of((group,)))}"
    stuck = {k: mean(np.array([(layer.saturation or {}).get(k, np.nan) for layer in layers])) for k in layers[0].gates}
    parts = [f"{k} {percent(float(share))}" for k, share in stuck.items() if share >= 0.0005]
    return f"{text}; values that are stuck: {join_list(parts)}." if parts else f"{text}."
