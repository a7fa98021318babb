"""Captions for the gradient figures: how far back the gradient reaches, and from which training step."""

import numpy as np

from rnnjax.formatting import Nouns, percent
from rnnjax.report.summary.diagnosis import diagnosed, group_layers
from rnnjax.report.summary.gradient_decay import (
    GradientDecay,
    diagnosed_decay,
    gradient_decays,
    smallest_lower_bound,
)
from rnnjax.report.summary.seed_groups import (
    MIN_SHARE,
    SeedGroup,
    SeedGroups,
    gradient_history,
    lower_median,
    memory_key,
)
from rnnjax.report.summary.task import nouns_of
from rnnjax.report.text.diagnosis import OPENING, layer_caption
from rnnjax.report.text.headline import Caption
from rnnjax.runs.schema import STAGES

MEMORY_GRADIENT = "the gradient at its memory"  # c for an LSTM, h for the others
HARDLY_FADES = 10_000  # half-life in steps, far beyond any length that is measured


def by_lag_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the gradient by lag: its decay at the end and at the start of training."""
    by_group = [(group, gradient_decays(group, "start"), gradient_decays(group, "end")) for group in groups]
    return [
        Caption(group.label, _both_moments(start, end, group, nouns_of((group,))))
        if group.last_step_only
        else Caption(group.label, _many_steps(start, end, bool(group.finished), nouns_of((group,))))
        for group, start, end in by_group
        if start or group.layers
    ]


def _many_steps(start: list[GradientDecay], end: list[GradientDecay], finished: bool, nouns: Nouns) -> str:
    """Where the loss reads many steps: the logged gradient is no decay, that of one step's loss is."""
    total = f"The loss reads more than the last {nouns.step}, so the gradient adds up over many {nouns.steps}."
    one = f"the gradient of one {nouns.step}'s own loss"
    if not start:
        return f"{total} How {one} decays was not measured."
    at_start = f"{total} At the start of training {one} {_decay_clause(start, nouns)}"
    if not end:
        return f"{at_start}."
    last = "with the best parameters" if finished else "later"
    return f"{at_start}; {last} it {_decay_clause(end, nouns)}."


def _both_moments(start: list[GradientDecay], end: list[GradientDecay], group: SeedGroup, nouns: Nouns) -> str:
    name, (_, state) = group.scan_name(0), memory_key(group.reported[0])
    gradient = f"the gradient at {'the ' if state == 'carry' else ''}{state} of {name}" if name else MEMORY_GRADIENT
    if not end:
        return f"At the start of training {gradient} {_decay_clause(start, nouns)}; nothing later is logged yet."
    last = "end of training" if group.finished else "last logged step"
    return f"At the {last} {gradient} {_decay_clause(end, nouns)}. At the start it {_decay_clause(start, nouns)}."


def _decay_clause(decays: list[GradientDecay], nouns: Nouns) -> str:
    """How the gradient decays, as a clause: it fades, persists, grows, vanishes at once or is not a number."""
    usable_decays = [decay for decay in decays if not decay.problem]
    if not usable_decays:
        not_finite = any(decay.problem == "not finite" for decay in decays)
        return "is not a finite number" if not_finite else f"is exactly zero at the last {nouns.step}"
    half = float(lower_median([decay.half_life for decay in usable_decays]))
    reach = float(lower_median([decay.reach for decay in usable_decays]))
    farthest = int(lower_median([float(decay.farthest) for decay in usable_decays]))
    remaining = float(lower_median([decay.remaining for decay in usable_decays]))
    if farthest == 0:
        return f"was measured at the last {nouns.step} only"
    if np.isnan(half) and reach == 0:
        return f"is gone one {nouns.step} back"
    if np.isnan(half):
        rate = "is too weak to have a half-life"
    elif np.isinf(half):
        rate = "does not fade with distance"
    elif half >= HARDLY_FADES:
        rate = "hardly fades with distance"
    else:
        rate = f"halves every {nouns.far(half)}"
    if reach < smallest_lower_bound(usable_decays):
        range_text = f"falls below 1% of its strength after {nouns.far(reach)}"
        range_text = range_text if reach else f"is below 1% of its strength one {nouns.step} back"
    elif remaining > 10:
        times = f"{remaining:,.0f}" if remaining < 1e6 else "over a million"
        range_text = f"has grown to {times} times its strength {nouns.far(farthest)} back"
    else:
        range_text = f"still has {percent(remaining)} of its strength {nouns.far(farthest)} back"
    excluded = f" ({len(decays) - len(usable_decays)} of {len(decays)} seeds left out: no usable numbers)"
    return f"{rate} and {range_text}{excluded if len(usable_decays) < len(decays) else ''}"


def loss_decay_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the decay of one step's own loss, of every layer."""
    captions = []
    for group, layer_index, title in diagnosed(groups):
        nouns = nouns_of((group,))
        clauses = []
        for when in STAGES:
            found = [diagnosed_decay(layer) for layer in group_layers(group, when, layer_index)]
            if decays := [decay for decay in found if decay is not None]:
                clauses.append(f"{OPENING[when]} it {_decay_clause(decays, nouns)}.")
        if clauses and not group.last_step_only:
            captions.append(layer_caption(group, title, " ".join(clauses)))
    return captions


def over_training_captions(groups: SeedGroups) -> list[Caption]:
    """Captions of the heat map: the training step at which the gradient first reaches the farthest lag."""
    return [
        Caption(group.label, f"The gradient{_added_up(group)} {_first_arrival(group, nouns_of((group,)))}.")
        for group in groups
        if group.layers
    ]


def _added_up(group: SeedGroup) -> str:
    """What the logged gradient is where the loss reads many steps."""
    if group.last_step_only:
        return ""
    return f", added up over the {nouns_of((group,)).steps} that the loss reads,"


def _first_arrival(group: SeedGroup, nouns: Nouns) -> str:
    keys = (memory_key(member, group.layers[0]) for member in group.reported)
    key = next(key for key in keys if any(key in member.gradients for member in group.reported))
    steps, norms = gradient_history(group, key)
    usable = np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)
    if not usable.any():
        return "holds no usable number"
    logged, steps, norms = len(steps), steps[usable], norms[usable]
    steps_at_lag = np.isfinite(norms).mean(axis=0)  # share of the logged steps that measured each lag
    farthest = int(np.flatnonzero(steps_at_lag >= MIN_SHARE)[-1])
    if farthest == 0:
        return f"was measured at the last {nouns.step} only"
    norms = norms[:, : farthest + 1]
    above_threshold = np.where(np.isfinite(norms), norms, 0.0) >= 0.01 * norms[:, :1]
    measured = np.isfinite(norms[:, farthest])  # not measured where the examples are shorter
    reached, at = above_threshold[measured, farthest], steps[measured]
    measured_steps = int(measured.sum())
    has = f"{measured_steps} of the {logged} {'has' if measured_steps == 1 else 'have'} a usable number so far back"
    which = f" ({has})" if measured_steps < logged else ""
    back = f"{nouns.far(farthest)} back"
    if reached.all():
        return f"has at least 1% of its strength {back} at every logged step{which}"
    if reached.any():
        later = reached[np.argmax(reached) :]
        stays = "at every" if later.all() else f"at {int(later.sum())} of the {later.size}"
        first = f"first has 1% of its strength {back} at step {at[np.argmax(reached)]:,}"
        return f"{first}, and has it {stays} logged step{'' if later.all() else 's'} from there on{which}"
    reaches = above_threshold.shape[1] - 1 - np.argmax(above_threshold[:, ::-1], axis=1)
    best = int(np.argmax(reaches))
    if reaches[best] == 0:
        return f"never has 1% of its strength {back} at any logged step{which}, nor even one {nouns.step} back"
    cut_short = not np.isfinite(norms[best, reaches[best] + 1 :]).any()
    far = f"at least {nouns.far(reaches[best])}" if cut_short else f"{nouns.far(reaches[best])} at most"
    return f"never has 1% of its strength {back} at any logged step{which}: it reaches {far}, at step {steps[best]:,}"
