"""The alarms of the scans of a loss."""

from rnnjax.analysis.scans.scan_diagnosis import ScanDiagnosis, state_name
from rnnjax.analysis.scans.scan_measure import ScanMeasurements
from rnnjax.diagnostics.alarms.registry import Alarm, Evidence, Origin, check
from rnnjax.diagnostics.gradients import reach
from rnnjax.report.summary.diagnosis import by_lag, has_belt, mean_keep


def scan_alarms(examined: ScanDiagnosis) -> tuple[Alarm, ...]:
    """What is wrong with each scan; a gradient that vanishes in one state only is no alarm."""
    layers = {layer.name: layer for layer in examined.layers}
    alarms: list[Alarm] = []
    for scan in examined.scans:
        of_states = []
        for name in [scan.site.name] if scan.layer is not None else [state_name(scan, state) for state in scan.states]:
            layer = layers[name]
            evidence = Evidence(
                label=f"{scan.module or 'scan'} {layer.name}",
                unit="step",
                curves=by_lag(layer, "decay")[None],
                last_step_only=bool(layer.last_step_only),
                keep_at_bias=None if scan.layer is None else layer.keep_at_bias,
                keep=mean_keep(layer),
                saturation=layer.saturation,
                belt_share=by_lag(layer, "belt_share"),
                has_belt=has_belt(layer),
                padding_read=None if scan.layer is None else layer.padding_read,
                ours=False,
            )
            of_states.append((reach(by_lag(layer, "decay")), check(evidence)))
        everywhere = all(any(a.name == "vanishing" for a in found) for _, found in of_states)
        farthest = max((seen for seen, _ in of_states), default=0)
        for seen, found in of_states:
            alarms += [a for a in found if a.name != "vanishing" or (everywhere and seen == farthest)]
        alarms += check(_of_scan(scan))
    if not alarms and not _finite(examined):
        alarms += check(Evidence(label="network", origin=Origin("forward", None, None, None, None)))
    return tuple(alarms)


def _of_scan(scan: ScanMeasurements) -> Evidence:
    """What concerns all states of a scan: numbers that are not finite, and resets that are crossed."""
    forward, backward = int(scan.nonfinite_state), int(scan.nonfinite_gradient)
    origin = None
    if forward >= 0:
        origin = Origin("forward", scan.site.name, None, forward, None)
    elif backward >= 0:
        origin = Origin("backward", scan.site.name, None, backward, None)
    crossing = None if scan.crossing is None else float(scan.crossing)
    return Evidence(label=f"scan {scan.site.name}", unit="step", origin=origin, crossing=crossing, ours=False)


def _finite(examined: ScanDiagnosis) -> bool:
    return bool(abs(examined.losses.sum()) < float("inf"))
