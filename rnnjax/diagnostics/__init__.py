"""Pure functions of arrays that say what a gradient does on its way through time."""

from rnnjax.diagnostics.gradients import (
    QUANTILES,
    LagStatistics,
    half_life,
    lag_statistics,
    norms_by_lag,
    reach,
)

__all__ = ["QUANTILES", "LagStatistics", "half_life", "lag_statistics", "norms_by_lag", "reach"]
