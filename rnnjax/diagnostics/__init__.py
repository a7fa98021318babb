"""Pure functions of arrays that measure how a gradient travels through time, and how far back an answer depends."""

from rnnjax.diagnostics.alarms.registry import Action, Alarm, Evidence, Origin, check
from rnnjax.diagnostics.confidence_intervals import seed_interval
from rnnjax.diagnostics.gates import gate_values, horizon, keep_at_bias, padding_read, saturation
from rnnjax.diagnostics.gradient_paths import Paths, paths, share
from rnnjax.diagnostics.gradients import (
    QUANTILES,
    LagStatistics,
    by_lag,
    half_life,
    lag_statistics,
    norms_by_lag,
    reach,
    safe_norm,
)
from rnnjax.diagnostics.jacobians import (
    SingularValues,
    extreme_singular_values,
    product_singular_values,
    singular_values,
    step_jacobians,
)
from rnnjax.diagnostics.linearization import Steps, flip_valid, linearise, pull
from rnnjax.diagnostics.loss_decay import loss_decay
from rnnjax.diagnostics.lyapunov import Lyapunov, lyapunov_spectrum
from rnnjax.diagnostics.nonfinite import NotFinite, first_not_finite
from rnnjax.diagnostics.regularizers import flossing, omega
from rnnjax.diagnostics.stationary.points import FixedPoints, fixed_points
from rnnjax.diagnostics.swaps.exchange import SwapPartners, swap_lags, swap_partners
from rnnjax.diagnostics.swaps.reach import ScoreLeft, context_length, furthest_swap, score_left
from rnnjax.diagnostics.truncation import truncation_length
from rnnjax.diagnostics.updates import update_ratios

__all__ = [
    "QUANTILES", "Action", "Alarm", "Evidence", "FixedPoints", "LagStatistics", "Lyapunov", "NotFinite", "Origin",
    "Paths", "ScoreLeft", "SingularValues", "Steps", "SwapPartners", "by_lag", "check", "context_length",
    "extreme_singular_values", "first_not_finite", "fixed_points", "flip_valid", "flossing", "furthest_swap",
    "gate_values", "half_life", "horizon", "keep_at_bias", "lag_statistics", "linearise", "loss_decay",
    "lyapunov_spectrum", "norms_by_lag", "omega", "padding_read", "paths", "product_singular_values", "pull", "reach",
    "safe_norm", "saturation", "score_left", "seed_interval", "share", "singular_values", "step_jacobians",
    "swap_lags", "swap_partners", "truncation_length", "update_ratios",
]  # fmt: skip
