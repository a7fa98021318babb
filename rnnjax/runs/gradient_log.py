"""The gradient log on disk: one record a logged step, layer and state, lists indexed by lag."""

from typing import Any

import jax
import numpy as np

from rnnjax.diagnostics import QUANTILES, LagStatistics


def gradient_records(step: int, gradients: Any) -> list[dict[str, Any]]:
    """Records of one logged step.

    Args:
        step: number of updates before it, 0 for the first step.
        gradients: what a logging train step returns: the structure of the model's taps, with a
            ``LagStatistics`` for each state.

    Returns:
        One record for each state of each layer, bottom layer 0: ``count`` examples reach a lag; ``mean`` and the
        quantiles ``q10``, ``q50``, ``q90`` of their ‖∂L_b/∂s_t‖. The lists end at the last lag that any reaches.
    """
    leaves = jax.tree_util.tree_leaves_with_path(gradients, is_leaf=lambda node: isinstance(node, LagStatistics))
    layers: dict[Any, int] = {}
    records = []
    for path, statistics in leaves:
        layer = layers.setdefault(path[:-1], len(layers))
        count, mean, quantiles = jax.tree.map(np.asarray, tuple(statistics))
        lags = int(np.max(np.flatnonzero(count), initial=-1)) + 1
        record = {"step": step, "layer": layer, "state": path[-1].name, "count": count[:lags].tolist()}
        curves = {"mean": mean, **{f"q{round(100 * q)}": curve for q, curve in zip(QUANTILES, quantiles, strict=True)}}
        records.append(record | {name: curve[:lags].astype(float).tolist() for name, curve in curves.items()})
    return records
