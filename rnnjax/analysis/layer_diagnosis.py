"""From what was measured of a layer, on the padded length of its batch, to its diagnosis."""

import jax
import numpy as np

from rnnjax.analysis.diagnosis import JacobianProducts, LagQuantiles, LayerDiagnosis, LyapunovEstimate
from rnnjax.analysis.measure import LayerMeasurements, product_lengths

LYAPUNOV_POINTS = 50  # at which the running estimate of the largest exponent is kept


def layer_diagnosis(measurements: LayerMeasurements) -> LayerDiagnosis:
    """The diagnosis of one layer: curves cut at the longest example, singular values as log10.

    Args:
        measurements: of the layer, on any device.

    Returns:
        The same numbers, not rounded, as float64 arrays of numpy.
    """
    layer = jax.tree.map(np.asarray, measurements)
    cell = layer.cell
    lags = int(layer.longest)
    lags_of_products = product_lengths(len(layer.count))
    kept = [k for k, lag in enumerate(lags_of_products) if lag <= lags]
    products = layer.product[kept].astype(np.float64) / np.log(10)
    largest = layer.lyapunov.running[:lags].max(axis=-1)
    points = np.unique(np.linspace(0, lags - 1, LYAPUNOV_POINTS).round().astype(int)) if lags else np.arange(0)
    return LayerDiagnosis(
        name=layer.name,
        cell=type(cell).__name__,
        reverse=layer.reverse,
        gates=cell.gates,
        units=cell.features,
        count=layer.count[:lags].astype(np.int64),
        by_lag={
            name: LagQuantiles(q10=q10[:lags], q50=q50[:lags], q90=q90[:lags])
            for name, (q10, q50, q90) in ((n, table.astype(np.float64)) for n, table in layer.by_lag.items())
        },
        saturation=None
        if layer.saturation is None
        else dict(zip(cell.gates, layer.saturation.astype(np.float64).tolist(), strict=True)),
        keep_at_bias=float(layer.keep_at_bias),
        horizon=float(layer.horizon),
        belt_share=float(layer.belt_share),
        omega=float(layer.omega),
        padding_read=float(layer.padding_read),
        lyapunov=LyapunovEstimate(
            exponents=-np.sort(-layer.lyapunov.exponents.astype(np.float64)),
            steps=points + 1,
            largest=largest[points].astype(np.float64),
        ),
        last_step_only=bool(layer.last_step_only),
        singular=JacobianProducts(
            lag=np.array(lags_of_products, np.int64)[kept], largest=products[:, 0], smallest=products[:, 1]
        ),
    )
