"""Headline and best score of a run whose main score is the loss, or an error in the unit of the labels."""

import numpy as np

from rnnjax.formatting import join_list, listed_briefly, loss
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups, mean, results
from rnnjax.report.summary.task import baselines, curve_split, error_name
from rnnjax.runs.run_record import RunRecord

JUMP = 1.5  # times the best validation loss before, from which on a sentence tells of it


def headline_by_loss(groups: SeedGroups) -> str:
    """The test loss, or RMSE, of each cell, best first, and that of the best prediction without memory."""
    name = error_name(groups)
    tested = [(group.label, main_test_errors(group)) for group in groups if group.finished]
    ranked = [(label, float(mean(errors))) for label, errors in tested if not np.isnan(errors).all()]
    if not ranked:
        return no_test_score(name, groups)
    ranked.sort(key=lambda pair: pair[1])
    (best, lowest), *others = ranked
    first = f"The {best} reaches a test {name} of {loss(lowest)}"
    rest = f", {listed_briefly([f'the {label} {loss(value)}' for label, value in others])}" if others else ""
    nothing = list(baselines(groups))
    beside = f"{',' if others else ''} where remembering nothing gives {join_list(nothing)} at best" if nothing else ""
    return f"{first}{rest}{beside}."


def no_test_score(name: str, groups: SeedGroups) -> str:
    """Why there is no test score to compare: training goes on, or all that ended it has failed."""
    unfinished = any(member.status == "unfinished" for group in groups for member in group.members)
    why = "No cell has finished its training yet" if unfinished or not groups else "The training of every cell failed"
    return f"{why}, so there is no test {name} to compare."


def headline_of_losses(groups: SeedGroups) -> str:
    """The best validation loss of each model, best first, or, where none was validated, its last training loss."""
    if curve_split(groups) == "training":
        score, losses = (
            "At the last logged step, {} has a training loss of {}",
            [last_losses(group) for group in groups],
        )
    else:
        score, losses = "{} has a validation loss of {}", [best_losses(group) for group in groups]
    known = [(group.label, float(mean(v))) for group, v in zip(groups, losses, strict=True) if np.isfinite(v).any()]
    if not known:
        return "No loss is logged yet."
    (best, lowest), *others = sorted(known, key=lambda pair: pair[1])
    rest = f", {listed_briefly([f'{label} {loss(value)}' for label, value in others])}" if others else ""
    return f"{score.format(best, loss(lowest))}{rest}."


def training_loss_captions(groups: SeedGroups) -> list[tuple[SeedGroup, str]]:
    """The first and the last training loss that each model logged, the mean over its seeds."""
    captions = []
    for group in groups:
        logged = [member.train for member in group.members if len(member.train.loss)]
        if logged:
            first, last = (loss(float(np.mean([train.loss[end] for train in logged]))) for end in (0, -1))
            captions.append(
                (group, f"The training loss goes from {first} at its first logged step to {last} at its last.")
            )
    return captions


def last_losses(group: SeedGroup) -> np.ndarray:
    """The training loss at the last logged step of each member that has one (N,)."""
    return np.array([member.train.loss[-1] for member in group.members if len(member.train.loss)], np.float64)


def best_losses(group: SeedGroup) -> np.ndarray:
    """The lowest validation loss of each member that has one (N,)."""
    best = [best_loss(member) for member in group.members if len(member.validation.loss)]
    return np.array([pair[0] for pair in best if pair is not None], np.float64)


def main_test_errors(group: SeedGroup) -> np.ndarray:
    """The test loss, or RMSE, of each finished member (N,)."""
    return group.members[0].task.main_error(results(group, lambda result: result.test_loss))


def best_loss(member: RunRecord) -> tuple[float, int] | None:
    """The lowest validation loss, or RMSE, and its step; None where every loss is NaN."""
    losses = member.task.main_error(member.validation.loss)
    if np.isnan(losses).all():
        return None
    return float(np.nanmin(losses)), int(member.validation.steps[np.nanargmin(losses)])


def jumps(group: SeedGroup) -> str:
    """A sentence on the highest jump of a validation loss above the best one before it; empty where none is high."""
    found = [jump for member in group.members if (jump := _jump(member)) is not None]
    if not found:
        return ""
    ratio, before, after, step = max(found)
    return f" At step {step:,} it jumped to {loss(after)}; the best before was {loss(before)}." if ratio > JUMP else ""


def _jump(member: RunRecord) -> tuple[float, float, float, int] | None:
    """The ratio of a jump, the best loss before it, the loss after it and its step; None without two losses."""
    known = np.isfinite(member.validation.loss)
    losses = member.task.main_error(member.validation.loss[known])
    if not member.task.by_loss or len(losses) < 2:
        return None
    best = np.minimum.accumulate(losses)[:-1]
    ratios = losses[1:] / np.maximum(best, np.finfo(np.float64).tiny)
    k = int(np.argmax(ratios))
    return float(ratios[k]), float(best[k]), float(losses[k + 1]), int(member.validation.steps[known][k + 1])
