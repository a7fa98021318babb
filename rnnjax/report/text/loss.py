"""Headline and best score of a run whose main score is the loss."""

import numpy as np

from rnnjax.formatting import join_list, listed_briefly, loss
from rnnjax.report.summary.seed_groups import SeedGroups, mean, results
from rnnjax.report.summary.task import baselines
from rnnjax.runs.run_record import RunRecord


def headline_by_loss(groups: SeedGroups) -> str:
    """The test loss of each cell, best first, and that of the best prediction without memory."""
    tested = [(group.label, results(group, lambda result: result.test_loss)) for group in groups if group.finished]
    ranked = [(label, float(mean(losses))) for label, losses in tested if not np.isnan(losses).all()]
    if not ranked:
        return "No cell has finished its training yet, so there is no test loss to compare."
    ranked.sort(key=lambda pair: pair[1])
    (best, lowest), *others = ranked
    first = f"The {best} reaches a test loss of {loss(lowest)}"
    rest = f", {listed_briefly([f'the {label} {loss(value)}' for label, value in others])}" if others else ""
    nothing = list(baselines(groups))
    beside = f"{',' if others else ''} where remembering nothing gives {join_list(nothing)} at best" if nothing else ""
    return f"{first}{rest}{beside}."


def best_loss(member: RunRecord) -> tuple[float, int] | None:
    """The lowest validation loss and its step; None where every loss is NaN."""
    losses = member.validation.loss
    if np.isnan(losses).all():
        return None
    return float(np.nanmin(losses)), int(member.validation.steps[np.nanargmin(losses)])
