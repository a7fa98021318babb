"""One examined layer as a record for files: lists of numbers, as JSON has them."""

from typing import Any

import jax
import numpy as np

from rnnjax.analysis.measure import LayerMeasurements, product_lengths
from rnnjax.diagnostics.gradients import QUANTILES


def layer_record(layer: LayerMeasurements) -> dict[str, Any]:
    """One layer: numbers with five digits, curves cut at the longest example, singular values as log10."""
    layer = jax.tree.map(np.asarray, layer)
    cell = layer.cell
    lags = int(layer.longest)
    growth = layer.lyapunov.running[:lags].max(axis=-1)
    at = np.unique(np.linspace(0, lags - 1, 50).round().astype(int)) if lags else np.arange(0)
    kept = [k for k, p in enumerate(product_lengths(len(layer.count))) if p <= lags]
    return {
        "name": layer.name,
        "cell": type(cell).__name__,
        "reverse": layer.reverse,
        "gates": list(cell.gates),
        "units": cell.features,
        "count": layer.count[:lags].tolist(),
        "by_lag": {
            name: {f"q{round(100 * q)}": rounded(row[:lags]) for q, row in zip(QUANTILES, rows, strict=True)}
            for name, rows in layer.by_lag.items()
        },
        "saturation": None
        if layer.saturation is None
        else dict(zip(cell.gates, rounded(layer.saturation), strict=True)),
        **{name: rounded(getattr(layer, name)) for name in ("keep_at_bias", "horizon", "belt_share", "omega")},
        "padding_read": rounded(layer.padding_read),
        "lyapunov": {
            "exponents": rounded(-np.sort(-layer.lyapunov.exponents)),
            "steps": (at + 1).tolist(),
            "largest": rounded(growth[at]),
        },
        "singular": {
            "lag": [product_lengths(len(layer.count))[k] for k in kept],
            "largest": rounded(layer.product[kept, 0] / np.log(10)),
            "smallest": rounded(layer.product[kept, 1] / np.log(10)),
        },
    }


def rounded(values: Any) -> Any:
    """Numbers with five significant digits, as Python's own: a float, or nested lists."""
    if isinstance(values, (list, tuple)):
        return [rounded(v) for v in values]
    if np.ndim(values):
        return [rounded(v) for v in np.asarray(values)]
    return float(f"{float(values):.5g}")
