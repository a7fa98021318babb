"""What a run shows, in sentences computed from its numbers: the verdict, and one or two under each figure."""

from typing import NamedTuple

import numpy as np

from rnnjax.report.run import Member, Run
from rnnjax.report.summary import (
    Fade,
    Group,
    accuracy_by_distance,
    diverged_at,
    fades,
    history,
    mean,
    memory,
    middle,
    results,
)
from rnnjax.report.wording import at_least, at_most, listed, percent, percents, words

SOLVED, GUESSING = 0.95, 0.60  # accuracies of a yes-or-no question


class Said(NamedTuple):
    """What a figure shows of one cell; every ``text`` is whole sentences of which the label is the heading."""

    label: str
    text: str


def verdict(labels: tuple[Group, ...]) -> str:
    """The headline: who still knows the farthest word, or, without distances, who judges reviews best."""
    by_distance = {group.label: found for group in labels if (found := accuracy_by_distance(group)) is not None}
    if by_distance:
        farthest = max(distances[-1] for distances, _ in by_distance.values())
        at_farthest = {
            label: accuracies[:, -1]
            for label, (distances, accuracies) in by_distance.items()
            if distances[-1] == farthest and not np.isnan(accuracies[:, -1]).all()
        }
        return _who_remembers(farthest, at_farthest) if at_farthest else "The test accuracies are not numbers."
    tested = [(group, results(group, lambda result: result.test_accuracy)) for group in labels if group.finished]
    known = [(group.label, accuracy) for group, accuracy in tested if not np.isnan(accuracy).all()]
    if not known:
        return "No cell has finished its training yet, so there is no test accuracy to compare."
    known.sort(key=lambda pair: -float(mean(pair[1])))
    (best, accuracy), *others = known
    rest = [f"the {label} {percent(float(mean(values)))}" for label, values in others]
    first = f"The {best} judges {percent(float(mean(accuracy)))} of the test reviews right"
    return f"{first}, {listed(rest)}." if rest else f"{first}."


def _who_remembers(farthest: float, accuracies: dict[str, np.ndarray]) -> str:
    kinds: dict[str, list[str]] = {"solved": [], "partly": [], "guessing": []}
    for label, values in accuracies.items():
        kind = "solved" if values.min() >= SOLVED else "guessing" if values.max() <= GUESSING else "partly"
        kinds[kind].append(
            f"the {label} ({percent(float(mean(values))) if kind != 'partly' else percents(values)} right)"
        )
    does = {
        "solved": ("still knows it", "still know it"),
        "partly": ("knows it only partly, or only from some seeds", "know it only partly, or only from some seeds"),
        "guessing": ("does hardly better than guessing", "do hardly better than guessing"),
    }
    clauses = [f"{listed(who)} {does[kind][len(who) > 1]}" for kind, who in kinds.items() if who]
    return f"Asked about a word {words(farthest)} back, " + "; ".join(clauses) + "."


def by_lag(labels: tuple[Group, ...]) -> list[Said]:
    """Under the gradient by lag: how it fades at the end and at the start of training."""
    found = [(group, fades(group, "start"), fades(group, "end")) for group in labels]
    return [Said(group.label, _start_and_end(start, end, bool(group.finished))) for group, start, end in found if start]


def _start_and_end(start: list[Fade], end: list[Fade], finished: bool) -> str:
    if not end:
        return f"At the start of training the gradient {_fades_so(start)}; nothing later is logged yet."
    last = "end of training" if finished else "last logged step"
    return f"At the {last} the gradient {_fades_so(end)}. At the start it {_fades_so(start)}."


def _fades_so(found: list[Fade]) -> str:
    """A clause that holds for any numbers: gradients that fade, last, grow, vanish at once or are no numbers."""
    sound = [one for one in found if not one.trouble]
    if not sound:
        broken = any(one.trouble == "not finite" for one in found)
        return "is not a finite number" if broken else "is exactly zero at the last word"
    half = float(middle([one.half_life for one in sound]))
    reach = float(middle([one.reach for one in sound]))
    farthest = int(middle([float(one.farthest) for one in sound]))
    remaining = float(middle([one.remaining for one in sound]))
    if farthest == 0:
        return "was measured at the last word only"
    if np.isnan(half) and reach == 0:
        return "is gone one word back"
    if np.isnan(half):
        fading = "is too weak to have a half-life"
    elif np.isinf(half):
        fading = "does not fade with distance"
    else:
        fading = f"halves every {words(half)}"
    if reach < farthest:
        lasting = f"falls below 1% of its strength after {words(reach)}"
    elif remaining > 10:
        times = f"{remaining:,.0f}" if remaining < 1e6 else "over a million"
        lasting = f"has grown to {times} times its strength {words(farthest)} back"
    else:
        lasting = f"still has {percent(remaining)} of its strength {words(farthest)} back"
    excluded = f" ({len(found) - len(sound)} of {len(found)} seeds left out: no usable numbers)"
    return f"{fading} and {lasting}{excluded if len(sound) < len(found) else ''}"


def over_training(labels: tuple[Group, ...]) -> list[Said]:
    """Under the heat map: when, if ever, the gradient reached the farthest word measured."""
    return [Said(group.label, f"The gradient {_when(group)}.") for group in labels if group.layers]


def _when(group: Group) -> str:
    key = memory(next(member for member in group.counted if member.gradients))
    steps, norms = history(group, key)
    usable = np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)
    if not usable.any():
        return "holds no usable number"
    steps, norms = steps[usable], norms[usable]
    farthest = int(np.flatnonzero(np.isfinite(norms).any(axis=0))[-1])
    strong = np.where(np.isfinite(norms), norms, 0.0) >= 0.01 * norms[:, :1]
    measured = np.isfinite(norms[:, farthest])  # a step whose reviews are all shorter says nothing about it
    arrived, at = strong[measured, farthest], steps[measured]
    which = "" if measured.all() else " (of those with so long a review)"
    back = f"{words(farthest)} back"
    if arrived.all():
        return f"has at least 1% of its strength {back} at every logged step{which}"
    if arrived.any():
        later = arrived[np.argmax(arrived) :]
        stays = "at every" if later.all() else f"at {int(later.sum())} of the {later.size}"
        first = f"first has 1% of its strength {back} at step {at[np.argmax(arrived)]:,}"
        return f"{first}, and has it {stays} logged step{'' if later.all() else 's'} from there on{which}"
    reaches = strong.shape[1] - 1 - np.argmax(strong[:, ::-1], axis=1)
    best = int(np.argmax(reaches))
    return f"never has 1% of its strength {back}: it comes {words(reaches[best])} far at best, at step {steps[best]:,}"


def distances(labels: tuple[Group, ...]) -> list[Said]:
    """Under accuracy against distance: up to where each cell knows the answer."""
    measured = [(group.label, found) for group in labels if (found := accuracy_by_distance(group)) is not None]
    return [Said(label, f"{_far(*found)}.") for label, found in measured]


def _far(distance: np.ndarray, accuracies: np.ndarray) -> str:
    known = ~np.isnan(accuracies).all(axis=0)
    if not known.any():
        return "Has no accuracy that is a number"
    distance, right = distance[known], mean(accuracies)[known]
    low, high = float(right.min()), float(right.max())
    if low >= SOLVED:
        return f"Is right in at least {at_least(low)} of cases at every distance up to {words(distance[-1])}"
    if high <= GUESSING:
        return f"Does hardly better than guessing at every distance (at most {at_most(high)})"
    at_end = f"{percent(float(right[-1]))} at {words(distance[-1])}"
    if right[0] >= SOLVED:
        last = int(np.argmax(right < SOLVED)) - 1
        return f"Is right in at least {SOLVED:.0%} of cases up to {words(distance[last])}, and in {at_end}"
    return f"Is right in {percent(low)} to {percent(high)} of cases, and in {at_end}"


def learning(labels: tuple[Group, ...]) -> list[Said]:
    """Under the learning curves: the best validation accuracy and when it came."""
    found = [(group.label, [best for member in group.members if (best := _best(member))]) for group in labels]
    return [Said(label, _peaks(best)) for label, best in found if best]


def _peaks(best: list[tuple[float, int]]) -> str:
    steps = sorted({step for _, step in best})
    when = f"at step {steps[0]:,}" if len(steps) == 1 else f"between steps {steps[0]:,} and {steps[-1]:,}"
    seeds = "" if len(best) == 1 else f" (mean of {len(best)} seeds)"
    return f"Best validation accuracy {percent(float(np.mean([right for right, _ in best])))}{seeds}, {when}."


def _best(member: Member) -> tuple[float, int] | None:
    accuracy = member.validation.accuracy
    if np.isnan(accuracy).all():
        return None
    return float(np.nanmax(accuracy)), int(member.validation.steps[np.nanargmax(accuracy)])


def missing(run: Run, labels: tuple[Group, ...]) -> list[str]:
    """What a run that was killed, is still going or diverged has not got; empty for a whole run."""
    notes = [f"{name} has not begun." for name in run.unborn]
    for member in (member for group in labels for member in group.members):
        who = f"{member.label}, seed {member.seed},"
        last = max([0, *member.train.steps, *member.validation.steps])
        if (step := diverged_at(member)) is not None:
            notes.append(f"{who} diverged: its loss was not a finite number at step {step:,}.")
        if member.result is None:
            notes.append(f"{who} has not finished: its last record is of step {last:,} of {member.steps:,}.")
        if not member.gradients:
            notes.append(f"{who} has no gradient log.")
    return notes
