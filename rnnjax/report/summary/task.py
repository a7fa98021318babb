"""What depends on the task of the members: nouns, main score, baselines, and when a member beats its baseline."""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from rnnjax.config.model import Architecture
from rnnjax.config.training import TrainingSettings
from rnnjax.data.dataset import Objective
from rnnjax.formatting import Nouns, common, loss
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups
from rnnjax.runs.run_record import RunRecord, ScoreHistory
from rnnjax.runs.schema import TaskInfo
from rnnjax.typing import Floats

OF_TRAINING = {field.name for kind in (TrainingSettings, Architecture) for field in dataclasses.fields(kind)}
BEATEN = 0.9  # of the baseline: a validation loss below this share of it beats the baseline


def nouns_of(groups: SeedGroups) -> Nouns:
    """The nouns that the members share for a time step and an example."""
    return common(task.nouns for task in tasks_of(groups))


def tasks_of(groups: SeedGroups) -> list[TaskInfo]:
    """The different tasks of the members: of several runs, or where what is swept changes the data."""
    return list(dict.fromkeys(member.task for group in groups for member in group.members))


def by_loss(groups: SeedGroups) -> bool:
    """Whether the loss is the main score of every task."""
    tasks = tasks_of(groups)
    return bool(tasks) and all(task.by_loss for task in tasks)


def loss_alone(groups: SeedGroups) -> bool:
    """Whether nothing is known of any task but the loss."""
    tasks = tasks_of(groups)
    return bool(tasks) and all(task.loss_alone for task in tasks)


def curve_split(groups: SeedGroups) -> Literal["validation", "training"]:
    """Whose losses learning curves show: those of training where only these were logged by a loop of one's own."""
    validated = any(len(member.validation.steps) for group in groups for member in group.members)
    return "training" if loss_alone(groups) and not validated else "validation"


def curve_scores(member: RunRecord, split: Literal["validation", "training"]) -> ScoreHistory:
    """The scores of a member that learning curves show."""
    return member.train if split == "training" else member.validation


def by_rmse(groups: SeedGroups) -> bool:
    """Whether the main score of every task is an error in the unit of the user's labels."""
    tasks = tasks_of(groups)
    return bool(tasks) and all(task.by_rmse for task in tasks)


def error_name(groups: SeedGroups) -> str:
    """What titles and sentences call the main score of tasks that are judged by their loss."""
    return "RMSE" if by_rmse(groups) else "loss"


def chance(groups: SeedGroups) -> float | None:
    """The accuracy of guessing; None where it is unknown or differs. Without members, that of a binary task."""
    levels = {task.chance for task in tasks_of(groups)} or {TaskInfo().chance}
    return levels.pop() if len(levels) == 1 else None


def baselines(groups: SeedGroups) -> dict[str, float]:
    """The losses (see ``TaskInfo.main_error``) of the best predictions without memory, by their text, rising."""
    known = {
        (member.task, member.baseline) for group in groups for member in group.members if member.baseline is not None
    }
    values = {float(task.main_error(baseline)) for task, baseline in known}
    return {loss(value): value for value in sorted(values)}


def chance_loss(member: RunRecord) -> float | None:
    """The loss of guessing: the baseline, or log 2 of a binary task without one; None where it is unknown."""
    if member.baseline is None and member.task.objective is Objective.BINARY:
        return float(np.log(2))
    return member.baseline


def learning_progress(member: RunRecord) -> float | None:
    """Best validation accuracy, a fraction; where the loss is the main score, the share of the baseline that is gone.

    For numbers and symbols the loss is the better measure: a number can be close long before it counts as right, and
    the next symbol of a text can only be predicted with some probability. None where it is not known.
    """
    scores = member.validation
    if not member.task.by_loss:
        return None if np.isnan(scores.accuracy).all() else float(np.nanmax(scores.accuracy))
    finite = scores.loss[np.isfinite(scores.loss)]
    if not member.baseline or not len(finite):
        return None
    return float(1 - finite.min() / member.baseline)


def skill(member: RunRecord) -> float | None:
    """How far the best validation is on the way from the best answer without memory (0) to a perfect one (1).

    Of answers that are right or wrong the larger one of accuracy and loss: where classes differ in size a network can
    know much before it is more accurate than always giving the largest class. None where it is not known.
    """
    progress, scores = [], member.validation
    if member.task.by_loss:
        return learning_progress(member)
    accuracies, losses = scores.accuracy[np.isfinite(scores.accuracy)], scores.loss[np.isfinite(scores.loss)]
    if member.task.chance is not None and member.task.chance < 1 and len(accuracies):
        progress.append(float((accuracies.max() - member.task.chance) / (1 - member.task.chance)))
    if (guessing := chance_loss(member)) and len(losses):
        progress.append(float(1 - losses.min() / guessing))
    return max(progress, default=None)


def best_skills(members: Sequence[RunRecord]) -> dict[Hashable, float]:
    """``task_key`` -> the highest ``skill`` of those ``members`` that learn this task, where one is known."""
    best: dict[Hashable, float] = {}
    for member in members:
        key, known = task_key(member), skill(member)
        if known is not None:
            best[key] = max(known, best.get(key, known))
    return best


def task_key(member: RunRecord) -> Hashable:
    """What is equal for members that learn the same task: the swept settings of neither the cell nor its training."""
    return frozenset(
        (name, value) for name, value in member.varied.items() if not (name in OF_TRAINING or name.startswith("cell."))
    )


def steps_to_beat(member: RunRecord) -> float | None:
    """The step of the first validation loss below ``BEATEN`` of the baseline, ∞ for never; None without a baseline."""
    if member.baseline is None:
        return None
    beaten = member.validation.steps[member.validation.loss < BEATEN * member.baseline]
    return float(beaten.min()) if len(beaten) else np.inf


def group_steps_to_beat(group: SeedGroup) -> Floats:
    """``steps_to_beat`` of every reported member that has a baseline (N,)."""
    values = [steps_to_beat(member) for member in group.reported]
    return np.array([steps for steps in values if steps is not None], np.float64)
