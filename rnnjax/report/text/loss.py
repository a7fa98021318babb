"""What a run shows whose main score is the test loss, beside the answer that remembers nothing."""

import numpy as np

from rnnjax.formatting import join_list, listed_briefly, loss
from rnnjax.report.summary.seed_groups import SeedGroup, mean, results
from rnnjax.report.summary.task import baselines
from rnnjax.runs.run_record import RunRecord


def verdict_by_loss(labels: tuple[SeedGroup, ...]) -> str:
    """The headline: who reaches which test loss, best first, and what remembering nothing gives."""
    tested = [(group.label, results(group, lambda result: result.test_loss)) for group in labels if group.finished]
    known = [(label, float(mean(losses))) for label, losses in tested if not np.isnan(losses).all()]
    if not known:
        return "No cell has finished its training yet, so there is no test loss to compare."
    known.sort(key=lambda pair: pair[1])
    (best, lowest), *others = known
    first = f"The {best} reaches a test loss of {loss(lowest)}"
    rest = f", {listed_briefly([f'the {label} {loss(value)}' for label, value in others])}" if others else ""
    nothing = list(baselines(labels))
    beside = f"{',' if others else ''} where remembering nothing gives {join_list(nothing)} at best" if nothing else ""
    return f"{first}{rest}{beside}."


def best_loss(member: RunRecord) -> tuple[float, int] | None:
    """The lowest validation loss and the step of it; None where no loss is a number."""
    losses = member.validation.loss
    if np.isnan(losses).all():
        return None
    return float(np.nanmin(losses)), int(member.validation.steps[np.nanargmin(losses)])
