"""``rnnjax.diagnose``: everything that is measured of a network's gradients, in one call, without a training run."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from rnnjax.analysis.capture import NoRecurrentLayerError
from rnnjax.analysis.diagnosis import Diagnosis
from rnnjax.analysis.layer_diagnosis import layer_diagnosis
from rnnjax.analysis.loss_arguments import check_concrete, check_numeric
from rnnjax.analysis.measure import Measurements, measure, nonfinite_origin
from rnnjax.analysis.nonfinite_outputs import hide_nonfinite, show_nonfinite
from rnnjax.analysis.scans.scan_diagnosis import ScanDiagnosis, diagnose_scans
from rnnjax.argument_checks import check_floats, check_lengths, describe
from rnnjax.cells import Cell, ElementwiseCell
from rnnjax.cells.params import to_dict
from rnnjax.cells.validation import check_params
from rnnjax.diagnostics.alarms.registry import Alarm, Evidence, Origin, check
from rnnjax.nn.recurrent import RNN
from rnnjax.report.diagnosis_report import Figures, Summary, diagnosis_summary, figures, rich_summary, write_page
from rnnjax.report.summary.diagnosis import by_lag as quantile_by_lag
from rnnjax.report.summary.diagnosis import has_belt, mean_keep
from rnnjax.runtime.blas import one_blas_thread
from rnnjax.scan_alarms import scan_alarms
from rnnjax.typing import AnyArray, CellState, ModelParams, PyTree


@dataclass(frozen=True, eq=False)
class Result:
    """What ``diagnose`` returns.

    Attributes:
        examined: all that was measured: losses (B,) of the examples, and for each recurrent layer its linearised
            steps, the paths of its gradient, the gradient of its inputs, and the quantities derived from them. For
            scans that are no layers of rnnjax: the scans found, and the quantities derived from each.
        diagnosis: the derived quantities as numpy arrays in float64, cut at the longest example.
        alarms: what is wrong, if anything is.
        notes: what could not be measured, and why.
    """

    examined: Measurements | ScanDiagnosis
    diagnosis: Diagnosis
    alarms: tuple[Alarm, ...]
    notes: tuple[str, ...] = ()

    def summary(self) -> Table:
        """A table with a row for each recurrent layer and with the alarms, for ``rich.print`` or a notebook."""
        return rich_summary(self._summary)

    def plot(self) -> Figures:
        """Matplotlib figures by name: "decay", "paths", "shares", "gates", "flow", where there is something to show."""
        return figures(self._summary)

    @property
    def _summary(self) -> Summary:
        return diagnosis_summary(self.diagnosis, self.alarms, self.notes)

    def save(self, path: str | Path) -> Path:
        """Write table, alarms and figures as one HTML page that needs no other file; return its path.

        Raises:
            ValueError: there cannot be a file of that name, or it cannot be written.
        """
        return write_page(path, self._summary)


def diagnose(
    model: Any, params: PyTree, batch: PyTree, loss: Callable[..., jax.Array], *, resets: AnyArray | None = None
) -> Result:
    """Measure how the gradient of ``loss`` travels through every recurrent layer of a network.

        result = rnnjax.diagnose(model, params, batch, loss)
        rich.print(result.summary())

    Where the loss uses no ``rnnjax.RNN``, every ``lax.scan`` in it is measured, whoever wrote it: see
    ``rnnjax.observe``. A scan of a cell of Flax, such as ``nn.RNN(nn.LSTMCell(128))``, is measured as a layer of rnnjax
    with the same equations, gates included. Of any other scan, each array of the carry that a step computes anew is a
    state with a row of its own.

    Args:
        model: what the loss applies, such as a Flax module; or a bare cell of rnnjax.
        params: the first argument of ``loss``, arrays in any structure; for a cell, its parameters.
        batch: the second argument of ``loss``, arrays in any structure; for a cell, the inputs xs (T, B, D), or the
            pair (xs, lengths).
        loss: ``loss(params, batch)`` applies the module and returns the loss of each example (B,), before any mean;
            examples must not influence each other. It may be transformed by ``jax.jit``, ``jax.checkpoint`` and
            ``jax.vmap``, and so may the module and its layers, also by Flax (``nn.remat``, ``nn.jit``, ``nn.vmap``,
            ``nn.scan``, ``nn.cond``). A layer of rnnjax must draw no dropout, zoneout or noise in it: apply the module
            with ``train=False``, which must be known before the loss runs, and not be computed in it. For a cell,
            ``loss(final, ys)`` of its final state, each (B, H), and its outputs (T, B, H).
        resets: (T, B) truth values, the steps at which an episode begins; there is an alarm if a gradient crosses one.

    Returns:
        Gradients of each example's own loss, not of the mean. It takes one compilation and one run, about ten
        seconds for 500 steps of 32 examples and 128 units on two CPU cores.

    Raises:
        ValueError: the loss is not one number for each example, there is no recurrence in it that can be seen, a layer
            of rnnjax is called inside a transformation that cannot be looked into (such as ``jax.custom_vjp``), or may
            draw dropout, zoneout or noise, an argument has another type or shape than described here, or ``diagnose``
            itself is called inside of a transformation.
    """
    _check_arguments(model, params, batch, loss)
    check_concrete("diagnose", (params, batch, jnp.zeros(())))  # the last one is traced wherever jax.jit traces
    if isinstance(model, Cell):
        params = {"cell": to_dict(params)}
        loss = _loss_through_module(model, loss)
    # no spinner in a notebook, where rich would need ipywidgets for it
    terminal = Console(stderr=True, force_jupyter=False, force_terminal=sys.stderr.isatty())
    with terminal.status("measuring how the gradient travels"), one_blas_thread():
        try:
            begins = None if resets is None else jnp.asarray(resets, bool)
            measured = jax.jit(lambda *arguments: hide_nonfinite(measure(loss, *arguments)))(params, batch, begins)
        except NoRecurrentLayerError:
            return _result_of_scans(diagnose_scans(loss, params, batch, resets=resets))
        check_concrete("diagnose", measured)
        examined = _called(jax.device_put(show_nonfinite(measured)))
    losses = np.asarray(examined.losses)
    layers = tuple(layer_diagnosis(layer) for layer in examined.layers)
    if resets is not None and all(layer.crossing is None for layer in layers):
        shapes = sorted({call.xs.shape[:2] for call in examined.calls})
        raise ValueError(f"resets must be (T, B) of truth values, with T and B of {shapes}, got {describe(resets)}")
    diagnosis = Diagnosis(step=0, examples=len(losses), loss=float(losses.mean()), layers=layers)
    return Result(examined, diagnosis, _alarms(examined, diagnosis))


def _result_of_scans(examined: ScanDiagnosis) -> Result:
    if examined.losses.ndim == 0:
        raise ValueError("the loss must be one number for each example, got (); return it before taking the mean")
    losses = examined.losses
    diagnosis = Diagnosis(step=0, examples=len(losses), loss=float(losses.mean()), layers=examined.layers)
    return Result(examined, diagnosis, scan_alarms(examined), examined.notes)


def _called(examined: Measurements) -> Measurements:
    """Without the layers in branches of conditionals that were not taken: these read no step."""
    called = [i for i, call in enumerate(examined.calls) if np.any(call.lengths)] or range(len(examined.calls))
    return Measurements._make([examined.losses, *(tuple(of_layers[i] for i in called) for of_layers in examined[1:])])


def _check_arguments(model: Any, params: PyTree, batch: PyTree, loss: Any) -> None:
    """ValueError for an argument that is wrong, as far as that is known before anything is traced."""
    if not isinstance(model, Cell) and (isinstance(model, type) or not (callable(model) or hasattr(model, "apply"))):
        raise ValueError(f"model must be a Flax module or a cell such as rnnjax.LSTM(128), got {describe(model)}")
    if not callable(loss):
        raise ValueError(f"loss must be a function, got {describe(loss)}")
    check_numeric(params=params, batch=batch)
    if isinstance(model, Cell):
        xs, lengths = _inputs_and_lengths(batch)
        check_floats("batch", xs, "(T, B, D)")
        if isinstance(model, ElementwiseCell):
            check_params(model, params, xs.shape[-1])
        check_lengths(lengths, xs.shape[1:2], xs.shape[0])


def _inputs_and_lengths(batch: PyTree) -> tuple[Any, Any]:
    """The inputs xs of a cell, and their lengths or None."""
    return tuple(batch) if isinstance(batch, tuple | list) and len(batch) == 2 else (batch, None)


def _loss_through_module(
    cell: Cell, loss: Callable[[CellState, jax.Array], jax.Array]
) -> Callable[[ModelParams, PyTree], jax.Array]:
    """A cell's loss of (final, ys) as a loss of (params, batch) through a Flax module."""
    module = RNN(cell, time_major=True)

    def loss_of_params(params: ModelParams, batch: PyTree) -> jax.Array:
        xs, lengths = _inputs_and_lengths(batch)
        result: Any = module.apply({"params": params}, xs, lengths=lengths)
        return loss(*result)

    return loss_of_params


def _alarms(examined: Measurements, diagnosis: Diagnosis) -> tuple[Alarm, ...]:
    alarms: list[Alarm] = []
    for layer in diagnosis.layers:
        evidence = Evidence(
            label=f"{layer.cell} {layer.name}",
            unit="step",
            curves=quantile_by_lag(layer, "decay")[None],
            last_step_only=bool(layer.last_step_only),
            keep_at_bias=layer.keep_at_bias,
            keep=mean_keep(layer),
            saturation=layer.saturation,
            belt_share=quantile_by_lag(layer, "belt_share"),
            has_belt=has_belt(layer),
            padding_read=layer.padding_read,
            crossing=layer.crossing,
        )
        alarms += check(evidence)
    origin = _origin(examined)
    return (*alarms, *check(Evidence(label="network", origin=origin)))


def _origin(examined: Measurements) -> Origin | None:
    """Where the first number that is not finite was made, None where all are finite."""
    origin = nonfinite_origin(examined)
    return origin if origin.layer is not None or not np.isfinite(np.asarray(examined.losses)).all() else None
