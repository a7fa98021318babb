"""From the gradient statistics of a logged step to the records that are written of them."""

import jax
import numpy as np

from rnnjax.diagnostics import QUANTILES, LagStatistics
from rnnjax.runs.member_schema import GradientRecord
from rnnjax.typing import PyTree


def gradient_records(step: int, gradients: PyTree) -> list[GradientRecord]:
    """Records of one logged step.

    Args:
        step: number of updates before it, 0 for the first step.
        gradients: what a logging train step returns: the structure of the model's taps, with a
            ``LagStatistics`` for each state.

    Returns:
        One record for each state of each layer, bottom layer 0. The arrays end at the last lag that an example reaches.
    """
    leaves = jax.tree_util.tree_leaves_with_path(gradients, is_leaf=lambda node: isinstance(node, LagStatistics))
    layers: dict[PyTree, int] = {}
    records = []
    for path, statistics in leaves:
        layer = layers.setdefault(path[:-1], len(layers))
        count, mean, quantiles = jax.tree.map(np.asarray, tuple(statistics))
        lags = int(np.max(np.flatnonzero(count), initial=-1)) + 1
        curves = {
            "mean": mean,
            **{f"q{round(100 * q)}": curve for q, curve in zip(QUANTILES, quantiles, strict=True)},
        }
        records.append(
            GradientRecord(
                step=step,
                layer=layer,
                state=path[-1].name,
                count=count[:lags].astype(np.int64),
                **{name: curve[:lags].astype(np.float64) for name, curve in curves.items()},
            )
        )
    return records
