"""How the gradient at a member's memory decays with the lag, at the start and at the end of training.

Where the loss reads the last step alone, the logged norms by lag are a decay. Where it reads many steps, they add up
over the losses of all of them; there the decay is that of single steps' losses, which the diagnoses hold
(``rnnjax.diagnostics.loss_decay``).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rnnjax.analysis.diagnosis import LayerDiagnosis
from rnnjax.diagnostics.gradients import half_life, reach
from rnnjax.report.summary.diagnosis import by_lag, member_layer
from rnnjax.report.summary.seed_groups import SeedGroup, log_row, measured_lags, memory_key
from rnnjax.runs.run_record import RunRecord
from rnnjax.runs.schema import Stage
from rnnjax.typing import Floats


@dataclass(frozen=True)
class GradientDecay:
    """How the gradient norm decays with the lag.

    Attributes:
        half_life: in time steps, as ``rnnjax.diagnostics.gradients.half_life`` defines it.
        reach: in time steps, as ``rnnjax.diagnostics.gradients.reach`` defines it.
        farthest: the largest measured lag.
        remaining: the norm at ``farthest`` as a fraction of the norm at lag 0.
        problem: why the norms cannot be used, empty where they can; if set, the other fields have no meaning.
    """

    half_life: float
    reach: float
    farthest: int
    remaining: float
    problem: Literal["", "not finite", "zero"] = ""


def member_decay(member: RunRecord, when: Stage) -> GradientDecay | None:
    """The decay at the memory of the layer that reads the inputs; None where it was not measured (yet)."""
    if not member.last_step_only:
        return diagnosed_decay(member_layer(member, when))
    log = member.gradients.get(memory_key(member))
    row = None if log is None else log_row(log, when)
    return None if log is None or row is None else _decay(log.q50[row], measured_lags(log)[row])


def diagnosed_decay(layer: LayerDiagnosis | None) -> GradientDecay | None:
    """The decay of single steps' losses in ``layer``; None where it was not diagnosed, or by an older version."""
    if layer is None or "decay" not in layer.by_lag:
        return None
    norms = by_lag(layer, "decay")
    if np.isnan(norms).all() and not by_lag(layer, "m")[:1].any():  # the loss does not read the layer
        norms = np.zeros_like(norms)
    return _decay(norms, ~np.isnan(norms))


def _decay(norms: Floats, measured: NDArray[np.bool_]) -> GradientDecay:
    """The decay of norms by lag (L,) at those that were ``measured``."""
    lags = np.flatnonzero(measured)
    if len(lags) == 0 or not np.isfinite(norms[lags]).all():
        return GradientDecay(np.nan, np.nan, 0, np.nan, "not finite")
    if norms[0] <= 0:
        return GradientDecay(np.nan, np.nan, 0, np.nan, "zero")
    farthest = int(lags[-1])
    norms = norms[: farthest + 1]
    return GradientDecay(float(half_life(norms)), float(reach(norms)), farthest, float(norms[-1] / norms[0]))


def gradient_decays(group: SeedGroup, when: Stage) -> list[GradientDecay]:
    """The decay of each reported member that has one."""
    return [decay for member in group.reported if (decay := member_decay(member, when)) is not None]


def group_half_lives(group: SeedGroup, when: Stage) -> Floats:
    """The half-life of the gradient at the memory of each seed that has one, possibly infinite: (N,)."""
    values = np.array([decay.half_life for decay in gradient_decays(group, when)], np.float64)
    return values[~np.isnan(values)]


def smallest_lower_bound(decays: list[GradientDecay]) -> float:
    """The smallest reach that is only a lower bound, since the measurement ended there; ∞ where none is.

    The lower median of several reaches is a lower bound if it is no smaller than this.
    """
    return min((decay.reach for decay in decays if decay.reach >= decay.farthest), default=np.inf)


def layer_decay(layer: LayerDiagnosis, member: RunRecord) -> Floats:
    """The norms by lag (L,) that decay: of the whole gradient where the loss reads the last step alone."""
    return by_lag(layer, "m" if member.last_step_only else "decay")
