"""From what was measured of a layer, on the padded length of its batch, to its diagnosis."""

import jax
import numpy as np

from rnnjax.analysis.diagnosis import JacobianProducts, LagQuantiles, LayerDiagnosis, LyapunovEstimate
from rnnjax.analysis.measure import LayerMeasurements, product_lengths
from rnnjax.analysis.scans.scan_measure import ScanMeasurements, StateMeasurements
from rnnjax.diagnostics.lyapunov import Lyapunov
from rnnjax.typing import AnyArray

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
    return LayerDiagnosis(
        name=layer.name,
        cell=type(cell).__name__,
        reverse=layer.reverse,
        gates=cell.gates,
        units=cell.features,
        count=layer.count[:lags].astype(np.int64),
        by_lag=lag_quantiles(layer.by_lag, lags),
        saturation=None
        if layer.saturation is None
        else dict(zip(cell.gates, layer.saturation.astype(np.float64).tolist(), strict=True)),
        keep_at_bias=float(layer.keep_at_bias),
        horizon=float(layer.horizon),
        belt_share=float(layer.belt_share),
        omega=float(layer.omega),
        padding_read=float(layer.padding_read),
        lyapunov=lyapunov_estimate(layer.lyapunov, lags),
        last_step_only=bool(layer.last_step_only),
        crossing=None if layer.crossing is None else float(layer.crossing),
        singular=jacobian_products(layer.product, len(layer.count), lags),
    )


def scan_layer_diagnosis(
    scan: ScanMeasurements, state: StateMeasurements, *, name: str, cell: str, reverse: bool
) -> LayerDiagnosis:
    """The diagnosis of one array of the carry of a scan, which has no gates and no equations that are known."""
    lags = int(scan.longest)
    nan = float("nan")
    return LayerDiagnosis(
        name=name,
        cell=cell,
        reverse=reverse,
        gates=(),
        units=state.features,
        count=np.asarray(state.count[:lags], np.int64),
        by_lag=lag_quantiles(state.by_lag, lags),
        keep_at_bias=nan,
        horizon=nan,
        belt_share=float(state.belt_share),
        omega=nan,
        padding_read=nan,
        lyapunov=None if scan.lyapunov is None or not lags else lyapunov_estimate(scan.lyapunov, lags),
        singular=None if scan.product is None else jacobian_products(scan.product, scan.site.length, lags),
        last_step_only=bool(state.last_step_only),
        crossing=None if scan.crossing is None else float(scan.crossing),
    )


def state_rank(name: str) -> tuple[bool, bool, str]:
    """The order of the states of a cell whose equations are not known, the one that counts as its memory first.

    It is c where there is one, as in the LSTM, else h, else the first by name.
    """
    return (name != "c", name != "h", name)


def lag_quantiles(by_lag: dict[str, AnyArray], lags: int) -> dict[str, LagQuantiles]:
    """Quantiles (3, T) by lag as records, cut at ``lags``."""
    tables = {name: np.asarray(table, np.float64)[:, :lags] for name, table in by_lag.items()}
    return {name: LagQuantiles(q10=q10, q50=q50, q90=q90) for name, (q10, q50, q90) in tables.items()}


def lyapunov_estimate(lyapunov: Lyapunov, lags: int) -> LyapunovEstimate:
    """Exponents, largest first, and the running estimate of the largest at up to 50 of the ``lags`` steps."""
    points = np.unique(np.linspace(0, lags - 1, LYAPUNOV_POINTS).round().astype(int)) if lags else np.arange(0)
    largest = np.asarray(lyapunov.running, np.float64)[:lags].max(axis=-1)
    exponents = -np.sort(-np.asarray(lyapunov.exponents, np.float64))
    return LyapunovEstimate(exponents=exponents, steps=points + 1, largest=largest[points])


def jacobian_products(product: AnyArray, steps: int, lags: int) -> JacobianProducts:
    """Natural logarithms of extreme singular values (P, 2) as log10, of the products of up to ``lags`` factors."""
    lengths = product_lengths(steps)
    kept = [k for k, lag in enumerate(lengths) if lag <= lags]
    logs = np.asarray(product)[kept].astype(np.float64) / np.log(10)
    return JacobianProducts(lag=np.array(lengths, np.int64)[kept], largest=logs[:, 0], smallest=logs[:, 1])
