"""What the gradients of a run show, in sentences: how far back they reach, and since when."""

import numpy as np

from rnnjax.formatting import Nouns, number, percent
from rnnjax.report.summary.seed_groups import SHARE, Fade, SeedGroup, fades, history, memory, middle, open_from
from rnnjax.report.summary.task import nouns_of
from rnnjax.report.text.headline import Said

REMEMBERED = "the gradient of what it remembers"  # c for an LSTM, h for the others
SLOW = 10_000  # a half-life in steps beyond all that is measured


def by_lag(labels: tuple[SeedGroup, ...]) -> list[Said]:
    """Under the gradient by lag: how it fades at the end and at the start of training."""
    found = [(group, fades(group, "start"), fades(group, "end")) for group in labels]
    return [
        Said(group.label, _start_and_end(start, end, bool(group.finished), nouns_of((group,))))
        for group, start, end in found
        if start
    ]


def _start_and_end(start: list[Fade], end: list[Fade], finished: bool, nouns: Nouns) -> str:
    if not end:
        return f"At the start of training {REMEMBERED} {_fades_so(start, nouns)}; nothing later is logged yet."
    last = "end of training" if finished else "last logged step"
    return f"At the {last} {REMEMBERED} {_fades_so(end, nouns)}. At the start it {_fades_so(start, nouns)}."


def _fades_so(found: list[Fade], nouns: Nouns) -> str:
    """A clause that holds for any numbers: gradients that fade, last, grow, vanish at once or are no numbers."""
    sound = [one for one in found if not one.trouble]
    if not sound:
        broken = any(one.trouble == "not finite" for one in found)
        return "is not a finite number" if broken else f"is exactly zero at the last {nouns.step}"
    half = float(middle([one.half_life for one in sound]))
    reach = float(middle([one.reach for one in sound]))
    farthest = int(middle([float(one.farthest) for one in sound]))
    remaining = float(middle([one.remaining for one in sound]))
    if farthest == 0:
        return f"was measured at the last {nouns.step} only"
    if np.isnan(half) and reach == 0:
        return f"is gone one {nouns.step} back"
    if np.isnan(half):
        fading = "is too weak to have a half-life"
    elif np.isinf(half):
        fading = "does not fade with distance"
    elif half >= SLOW:
        fading = "hardly fades with distance"
    else:
        fading = f"halves every {nouns.far(half)}"
    if reach < open_from(sound):
        lasting = f"falls below 1% of its strength after {nouns.far(reach)}"
        lasting = lasting if reach else f"is below 1% of its strength one {nouns.step} back"
    elif remaining > 10:
        lasting = f"has grown to {number(remaining)} times its strength {nouns.far(farthest)} back"
    else:
        lasting = f"still has {percent(remaining)} of its strength {nouns.far(farthest)} back"
    excluded = f" ({len(found) - len(sound)} of {len(found)} seeds left out: no usable numbers)"
    return f"{fading} and {lasting}{excluded if len(sound) < len(found) else ''}"


def over_training(labels: tuple[SeedGroup, ...]) -> list[Said]:
    """Under the heat map: when, if ever, the gradient reached the farthest step that a share of the steps measured."""
    return [Said(group.label, f"The gradient {_when(group, nouns_of((group,)))}.") for group in labels if group.layers]


def _when(group: SeedGroup, nouns: Nouns) -> str:
    key = memory(next(member for member in group.counted if member.gradients))
    steps, norms = history(group, key)
    usable = np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)
    if not usable.any():
        return "holds no usable number"
    logged, steps, norms = len(steps), steps[usable], norms[usable]
    farthest = int(np.flatnonzero(np.isfinite(norms).mean(axis=0) >= SHARE)[-1])  # not by one long batch alone
    if farthest == 0:
        return f"was measured at the last {nouns.step} only"
    norms = norms[:, : farthest + 1]
    strong = np.where(np.isfinite(norms), norms, 0.0) >= 0.01 * norms[:, :1]
    measured = np.isfinite(norms[:, farthest])  # of a step whose examples are shorter nothing is known
    arrived, at = strong[measured, farthest], steps[measured]
    known = int(measured.sum())
    has = f"{known} of the {logged} {'has' if known == 1 else 'have'} a usable number so far back"
    which = f" ({has})" if known < logged else ""
    back = f"{nouns.far(farthest)} back"
    if arrived.all():
        return f"has at least 1% of its strength {back} at every logged step{which}"
    if arrived.any():
        later = arrived[np.argmax(arrived) :]
        stays = "at every" if later.all() else f"at {int(later.sum())} of the {later.size}"
        first = f"first has 1% of its strength {back} at step {at[np.argmax(arrived)]:,}"
        return f"{first}, and has it {stays} logged step{'' if later.all() else 's'} from there on{which}"
    reaches = strong.shape[1] - 1 - np.argmax(strong[:, ::-1], axis=1)
    best = int(np.argmax(reaches))
    if reaches[best] == 0:
        return f"never has 1% of its strength {back} at any logged step{which}, nor even one {nouns.step} back"
    cut_short = not np.isfinite(norms[best, reaches[best] + 1 :]).any()
    far = f"at least {nouns.far(reaches[best])} far" if cut_short else f"{nouns.far(reaches[best])} far at best"
    return f"never has 1% of its strength {back} at any logged step{which}: it comes {far}, at step {steps[best]:,}"
