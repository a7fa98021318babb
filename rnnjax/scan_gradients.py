"""``rnnjax.gradient_flow``: how far the gradient reaches back in every scan of a loss, in one call."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from rich.table import Table

from rnnjax.analysis.diagnosis import Diagnosis, LayerDiagnosis
from rnnjax.analysis.layer_diagnosis import layer_diagnosis
from rnnjax.analysis.loss_arguments import check_concrete, check_numeric
from rnnjax.analysis.measure import measure
from rnnjax.analysis.nonfinite_outputs import hide_nonfinite, show_nonfinite
from rnnjax.analysis.scans.scan_diagnosis import diagnose_scans, state_name
from rnnjax.argument_checks import describe, is_number
from rnnjax.report.diagnosis_report import Figures, Summary, figures, flow_summary, rich_summary, write_page
from rnnjax.runtime.blas import one_blas_thread
from rnnjax.scans.sites import Site
from rnnjax.typing import AnyArray, Floats, PyTree


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """What ``gradient_flow`` returns.

    Attributes:
        norms: by the name of each state, (T, N): ‖∂L/∂state_t‖ of each example at each step, the total derivative; NaN
            at steps that do not count. N is B, or a multiple of it where the scan runs inside of another one.
        diagnosis: the same by lag from the last step, as quantiles over examples, and "decay", the gradient of one
            step's own loss by the lag from that step.
        sites: all scans of the loss, also those that cannot be seen, with the reason.
        crossings: by state, the largest gradient that crosses a reset as a share of the largest gradient; empty where
            no resets were given.
        notes: sentences on what was not measured.
        bias: for which the summary gives the length of truncated backpropagation.
    """

    norms: dict[str, Floats]
    diagnosis: Diagnosis
    sites: tuple[Site, ...]
    crossings: dict[str, float]
    notes: tuple[str, ...]
    bias: float

    def summary(self) -> Table:
        """A table with a row for each state, for ``rich.print`` or a notebook.

        The half-life of the gradient of one step's loss, its reach (the largest lag with 1% of its strength), and how
        many steps truncated backpropagation must go back so that its bias is at most ``bias``.
        """
        return rich_summary(self._summary)

    def plot(self) -> Figures:
        """Matplotlib figures by name: "decay", of one step's loss, and "whole", the total derivative, both by lag."""
        return figures(self._summary)

    def save(self, path: str | Path) -> Path:
        """Write table and figures as one HTML page that needs no other file; return its path.

        Raises:
            ValueError: there cannot be a file of that name, or it cannot be written.
        """
        return write_page(path, self._summary)

    @property
    def _summary(self) -> Summary:
        return flow_summary(self.diagnosis, self.bias, self.crossings, self.notes)


def gradient_flow(
    loss: Callable[[PyTree, PyTree], jax.Array],
    params: PyTree,
    batch: PyTree,
    *,
    lengths: AnyArray | None = None,
    mask: AnyArray | None = None,
    resets: AnyArray | None = None,
    bias: float = 0.1,
) -> GradientFlow:
    """Measure how far the gradient of ``loss`` reaches back in each of its scans, whoever wrote them.

        flow = rnnjax.gradient_flow(loss, params, batch)
        rich.print(flow.summary())

    Args:
        loss: ``loss(params, batch)`` returns the loss of each example (B,), or one number such as their mean: then
            examples are told apart by the axis of the carry that is as long as the first axis of the batch, and the
            gradients are those of the mean. Examples must not influence each other. A layer of rnnjax must draw no
            dropout, zoneout or noise in it: apply the module with ``train=False``, known before the loss runs.
        params: its first argument, arrays in any structure.
        batch: its second argument, arrays in any structure.
        lengths: (B,) integers, the steps of each example that count, for scans that have so many. If neither this nor
            ``mask`` is given, they are all steps up to the last one to which a gradient comes.
        mask: (T, B) truth values, the steps that count, for scans of T steps. They may be anywhere: lags count these
            steps alone, as if the others, in which a padded scan holds its state, were not there.
        resets: (T, B) truth values, the first steps of episodes, for scans of T steps: there the state is reset before
            the step, or after it by a scan that runs from its last step to its first. The summary then says how much
            gradient crosses from one episode to the other: it must be exactly 0.
        bias: of truncated backpropagation, above 0 and below 1; see ``diagnostics.truncation_length``.

    Raises:
        ValueError: there is no scan that can be seen, a layer of rnnjax may draw dropout, zoneout or noise, an argument
            has another type or shape than described here, or ``gradient_flow`` is called inside of a transformation.
    """
    if not callable(loss):
        raise ValueError(f"loss must be a function, got {describe(loss)}")
    if not is_number(bias) or not 0 < bias < 1:
        raise ValueError(f"bias must be above 0 and below 1, as 0.1 for 10%, got {describe(bias)}")
    check_numeric(params=params, batch=batch)
    check_concrete("gradient_flow", (params, batch, jnp.zeros(())))
    with one_blas_thread():
        examined = diagnose_scans(loss, params, batch, lengths=lengths, mask=mask, resets=resets, jacobians=False)
        has_layers = any(site.layer is not None and site.hidden is None for site in examined.sites)
        layers, norms = _layers_of_rnnjax(loss, params, batch) if has_layers else ((), {})
    layers = (*layers, *examined.layers)
    loss_value = float(examined.losses.mean())
    diagnosis = Diagnosis(step=0, examples=examined.examples, loss=loss_value, layers=layers)
    states = [(state_name(scan, state), scan, state) for scan in examined.scans for state in scan.states]
    return GradientFlow(
        norms=norms | {name: np.asarray(state.norms, np.float64) for name, _, state in states},
        diagnosis=diagnosis,
        sites=examined.sites,
        crossings={name: float(scan.crossing) for name, scan, _ in states if scan.crossing is not None},
        notes=examined.notes,
        bias=float(bias),
    )


def _layers_of_rnnjax(
    loss: Callable[[PyTree, PyTree], jax.Array], params: PyTree, batch: PyTree
) -> tuple[tuple[LayerDiagnosis, ...], dict[str, Floats]]:
    """The diagnoses of layers of ``rnnjax.RNN``, and the norms (T, N) of the gradient of their memory by name."""
    measured = jax.jit(lambda params, batch: hide_nonfinite(measure(loss, params, batch, mean=True)))(params, batch)
    examined = jax.device_get(show_nonfinite(measured))
    norms, layers = dict[str, Floats](), []
    for call, paths, layer in zip(examined.calls, examined.paths, examined.layers, strict=True):
        t, lengths = np.arange(len(call.xs))[:, None], call.lengths[None]
        valid = np.broadcast_to(t < lengths, paths.memory.shape[:2])
        by_step = np.where(valid, np.linalg.norm(np.asarray(paths.memory, np.float64), axis=-1), np.nan)
        if call.reverse:  # its first step is the last one that it reads
            by_step = np.take_along_axis(by_step, np.where(valid, lengths - 1 - t, t), axis=0)
        calls = 1 + sum(name == call.name or name.startswith(f"{call.name} #") for name in norms)
        name = call.name if calls == 1 else f"{call.name} #{calls}"
        norms[name] = by_step
        layers.append(msgspec.structs.replace(layer_diagnosis(layer), name=name))
    return tuple(layers), norms
