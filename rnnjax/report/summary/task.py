"""From members to what their task makes of them: their nouns, their main score, and when they beat the baseline."""

import numpy as np

from rnnjax.data.dataset import Objective
from rnnjax.formatting import Nouns, common, loss
from rnnjax.report.summary.seed_groups import SeedGroup
from rnnjax.runs.run_record import RunRecord
from rnnjax.runs.schema import TaskInfo
from rnnjax.typing import Floats

Labels = tuple[SeedGroup, ...]
BEATEN = 0.9  # of the baseline: a validation loss below it is no luck


def nouns_of(labels: Labels) -> Nouns:
    """What all of them call a time step and an example."""
    return common(task.nouns for task in tasks_of(labels))


def tasks_of(labels: Labels) -> list[TaskInfo]:
    """The different tasks of the members: one, unless runs stand side by side."""
    return list(dict.fromkeys(member.task for group in labels for member in group.members))


def by_loss(labels: Labels) -> bool:
    """Whether the loss is the main score of every one."""
    tasks = tasks_of(labels)
    return bool(tasks) and all(task.by_loss for task in tasks)


def chance(labels: Labels) -> float | None:
    """The accuracy of guessing, where it is known and the same for all; of nothing that of a yes-or-no question."""
    levels = {task.chance for task in tasks_of(labels)} or {TaskInfo().chance}
    return levels.pop() if len(levels) == 1 else None


def baselines(labels: Labels) -> dict[str, float]:
    """The losses of the best answers that remember nothing, by how they read, in rising order."""
    known = {member.baseline for group in labels for member in group.members if member.baseline is not None}
    return {loss(value): value for value in sorted(known)}


def chance_loss(member: RunRecord) -> float | None:
    """What nothing but the labels themselves gets: the baseline, or that of "one half" to a yes-or-no question."""
    if member.baseline is None and member.task.objective is Objective.BINARY:
        return float(np.log(2))
    return member.baseline


def learnt(member: RunRecord) -> float | None:
    """Best validation accuracy, a fraction; of a number or symbols the share of the baseline's loss that is gone.

    There the loss tells more: a number can be close long before it counts as right, and the next symbol of a text can
    be known no better than its odds. None where it is not known.
    """
    scores = member.validation
    if not member.task.by_loss:
        return None if np.isnan(scores.accuracy).all() else float(np.nanmax(scores.accuracy))
    finite = scores.loss[np.isfinite(scores.loss)]
    if not member.baseline or not len(finite):
        return None
    return float(1 - finite.min() / member.baseline)


def steps_to_beat(member: RunRecord) -> float | None:
    """Steps of the first validation whose loss is below ``BEATEN`` of the baseline, ∞ for never, None without one."""
    if member.baseline is None:
        return None
    beaten = member.validation.steps[member.validation.loss < BEATEN * member.baseline]
    return float(beaten.min()) if len(beaten) else np.inf


def all_steps_to_beat(group: SeedGroup) -> Floats:
    """That of every counted member that has a baseline (N,)."""
    found = [steps_to_beat(member) for member in group.counted]
    return np.array([steps for steps in found if steps is not None], np.float64)
