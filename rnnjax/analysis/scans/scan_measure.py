"""All measurements of the scans of a loss on one batch, whoever wrote them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr

from rnnjax.analysis.measure import LayerMeasurements, quantiles_of_known
from rnnjax.analysis.scans.counted_steps import counted_first, of_runs, steps_reached
from rnnjax.analysis.scans.known_cell_measure import measure_known_cell
from rnnjax.analysis.scans.scan_decay import by_counted_lag, example_norms, scan_decay
from rnnjax.analysis.scans.scan_jacobians import scan_dynamics
from rnnjax.core.unroll import reset_before
from rnnjax.diagnostics.gradient_paths import share
from rnnjax.diagnostics.gradients import by_lag, safe_norm
from rnnjax.diagnostics.loss_decay import Sources
from rnnjax.diagnostics.lyapunov import Lyapunov
from rnnjax.scans.calls import ScanCall, ScanRun, backpropagate
from rnnjax.scans.carries import by_example, runs_are_examples, why_no_state
from rnnjax.scans.gradient_paths import gradient_paths
from rnnjax.scans.known_cells import known_cell
from rnnjax.scans.sites import Site
from rnnjax.typing import PyTree

MOST_NUMBERS = 1024  # in the state of an example, up to which its Jacobians are measured


@flax.struct.dataclass
class StateMeasurements:
    """Measurements of one array of the carry of a scan; N examples of all runs, T steps, lags of steps that count.

    ``by_lag`` holds quantiles over examples, (3, T) at ``diagnostics.QUANTILES``, NaN at lags that no example has:
    "m", the norm of ∂L/∂carry_t, the total derivative; its parts "belt" and "detour"; "belt_share"; and "decay", the
    norm of ∂(loss of one step)/∂carry at the lag from that step, relative to lag 0.
    """

    index: int = flax.struct.field(pytree_node=False)  # in the carry
    features: int = flax.struct.field(pytree_node=False)  # numbers of an example
    norms: jax.Array  # (T, N) of the total derivative at each step, in the order of xs; NaN at steps that do not count
    count: jax.Array  # (T,) examples that have each lag
    by_lag: dict[str, jax.Array]
    belt_share: jax.Array  # () mean over lags of the median share; lags from 1 on that a quarter of the examples have
    last_step_only: jax.Array  # () bool: whether the loss reads the array at its last step alone


@flax.struct.dataclass
class ScanMeasurements:
    """Measurements of a scan, and of the arrays of its carry that are states."""

    site: Site = flax.struct.field(pytree_node=False)
    left_out: tuple[str, ...] = flax.struct.field(pytree_node=False)  # why, of the other arrays of the carry
    states: tuple[StateMeasurements, ...]  # none where all arrays are left out, or where there are no steps
    module: str | None = flax.struct.field(pytree_node=False)  # the class of Flax whose cell the scan is of, if any
    layer: LayerMeasurements | None  # of such a cell, as of a layer of rnnjax with its equations
    longest: jax.Array  # () steps of the longest example
    lyapunov: Lyapunov | None  # exponents (S,) and running estimates (T, S) of the longest example of all runs
    product: jax.Array | None  # (P, 2) log largest and smallest singular value over its last 1, 2, 4, ... steps
    crossing: jax.Array | None  # () largest norm of a gradient that crosses a reset, relative to the largest gradient
    nonfinite_state: jax.Array  # () first step of xs that makes a state that is not finite, -1 if none does
    nonfinite_gradient: jax.Array  # () the step at which the first gradient that is not finite arises on its way back


def measure_scans(
    program: ClosedJaxpr,
    sites: Sequence[Site],
    arguments: Sequence[Any],
    batch: int | None,
    lengths: jax.Array | None = None,
    mask: jax.Array | None = None,
    resets: jax.Array | None = None,
    *,
    most_steps: int = 0,
    jacobians: bool = True,
) -> tuple[jax.Array, tuple[ScanMeasurements, ...]]:
    """Losses of a program and measurements of its scans; the caller compiles it.

    Args:
        program: its only result are the losses, from ``scans.observation.trace``.
        sites: of the program.
        arguments: of the program, flat.
        batch: number of examples B; None where they cannot be told apart.
        lengths: (B,) the number of steps that count, from the first one on, of scans of at least ``most_steps`` steps.
        most_steps: the largest of ``lengths``.
        mask: (T, B) bool, the steps that count, of scans of T steps. Without any of the two they are all steps up to
            the last one to which a gradient comes. Lags, decays and Jacobians are of these steps alone.
        resets: (T, B) bool, the first steps of episodes, of scans of T steps.
        jacobians: whether to measure step Jacobians and Lyapunov exponents.
    """
    losses, calls = backpropagate(program, sites, arguments)
    measured = []
    for call in calls:
        valid = mask
        if lengths is not None and call.site.length >= most_steps:
            valid = jnp.arange(call.site.length, dtype=jnp.int32)[:, None] < lengths[None]
        of_run = None if runs_are_examples(call.site, batch) else batch
        measured.append(measure_scan(call, of_run, valid, resets, jacobians=jacobians))
    return losses, tuple(measured)


class _Norms(NamedTuple):
    """Norms of one array of the carry, of a run (T, ..., B) or of all runs (T, ..., N)."""

    total: jax.Array
    belt: jax.Array
    detour: jax.Array
    direct: jax.Array
    decay: jax.Array  # (T, S, ...) of the gradient of single steps' own losses, see ``scan_decay``
    sources: Sources  # (S, ...)


def measure_scan(
    call: ScanCall,
    batch: int | None,
    valid: jax.Array | None,
    resets: jax.Array | None = None,
    *,
    jacobians: bool = True,
) -> ScanMeasurements:
    """Measurements of one scan of ``batch`` examples in each run; ``valid`` (T, B) bool are the steps that count."""
    site, (consts, carry, *_) = call.site, call.arrays
    reasons = why_no_state(call.body, len(consts), len(carry), site.length)
    differentiable = [i for i, a in enumerate(site.carry) if a is not None]
    kept = tuple(k for k, i in enumerate(differentiable) if reasons[i] is None)
    left_out = tuple(f"carry[{i}], {reason}" for i, reason in enumerate(reasons) if reason is not None)
    if not kept or 0 in (site.length, *site.outer):
        none = jnp.int32(-1)
        return ScanMeasurements(site, left_out, (), None, None, jnp.int32(0), None, None, None, none, none)
    known = known_cell(call, [differentiable[k] for k in kept]) if jacobians else None

    def of_run(run: ScanRun) -> tuple[list[_Norms], jax.Array, jax.Array, PyTree]:
        paths = gradient_paths(run)
        norms = []
        for k in kept:
            parts = (paths.total, paths.belt, paths.detour, paths.direct)
            total, belt, detour, direct = (example_norms(part[k], batch) for part in parts)
            norms.append(_Norms(total, belt, detour, direct, *scan_decay(run, k, paths, batch)))
        incoming = safe_norm(jnp.stack([example_norms(paths.incoming[k], batch) for k in kept], axis=-1))
        direct_and_total = ([part[k] for k in kept] for part in (paths.direct, paths.total))
        of_cell = None if known is None else (known.at_steps(run), *direct_and_total)
        return norms, incoming, _finite_states(run, [differentiable[k] for k in kept]), of_cell

    *of_steps, finite, of_cell = call.of_each_run(of_run)
    norms, incoming = jax.tree.map(_runs_side_by_side, tuple(of_steps))
    valid = of_runs(site, valid, batch)
    steps = steps_reached([of_array.total for of_array in norms]) if valid is None else valid
    states = []
    for k, of_array in zip(kept, norms, strict=True):
        shape: Any = site.carry[differentiable[k]]
        features = by_example(jnp.zeros(shape.shape, shape.dtype), batch, leading=0).shape[-1]
        states.append(_state(site, differentiable[k], features, of_array, steps))
    measurable = jacobians and sum(state.features for state in states) <= MOST_NUMBERS
    resets = None if resets is None else reset_before(resets, jnp.ones_like(resets), site.reverse)
    resets = of_runs(site, resets, batch)
    lyapunov, product = scan_dynamics(call, kept, batch, steps, resets) if measurable else (None, None)
    crossing = _crossing(norms, incoming, resets)
    finite_gradients = jnp.stack([jnp.isfinite(of_array.total).all(axis=1) for of_array in norms]).all(axis=0)
    return ScanMeasurements(
        site=site,
        left_out=left_out,
        states=tuple(states),
        module=None if known is None else known.name,
        layer=None if known is None else measure_known_cell(call, known, *of_cell, batch=batch, valid=valid),
        longest=steps.sum(axis=0, dtype=jnp.int32).max(),
        lyapunov=lyapunov,
        product=product,
        crossing=crossing,
        nonfinite_state=_step_of_xs(site, jnp.argmin(finite.all(axis=0)), finite.all()),
        nonfinite_gradient=_step_of_xs(
            site, site.length - 1 - jnp.argmin(finite_gradients[::-1]), finite_gradients.all()
        ),
    )


def _finite_states(run: ScanRun, indices: list[int]) -> jax.Array:
    """Whether the states that each step makes are finite, (T,)."""
    before = run.carries()
    last, _ = run.step(*jax.tree.map(lambda a: a[-1], (before, run.xs)))
    made = [jnp.concatenate([before[i][1:], last[i][None]]) for i in indices]
    return jnp.stack([jnp.isfinite(a).reshape(run.length, -1).all(axis=1) for a in made]).all(axis=0)


def _step_of_xs(site: Site, step: jax.Array, nowhere: jax.Array) -> jax.Array:
    """A step in the order of the run as one of xs, -1 where there is none."""
    return jnp.where(nowhere, -1, site.length - 1 - step if site.reverse else step).astype(jnp.int32)


def _runs_side_by_side(a: jax.Array) -> jax.Array:
    """(R, T, ..., B) → (T, ..., R·B)."""
    a = jnp.moveaxis(a, 0, -2)
    return a.reshape(*a.shape[:-2], -1)


def _crossing(norms: list[_Norms], incoming: jax.Array, resets: jax.Array | None) -> jax.Array | None:
    """The largest gradient that goes from a step with a reset to the state before it, relative to the largest of all.

    The first step of a scan is left out: before it is the state that the scan starts from.
    """
    if resets is None:
        return None
    resets = resets.at[0].set(False)
    largest = jnp.stack([of_array.total.max() for of_array in norms]).max()
    crossing: jax.Array = jnp.where(resets, incoming, 0).max() / jnp.where(largest > 0, largest, 1)
    return crossing


def _state(site: Site, index: int, features: int, norms: _Norms, steps: jax.Array) -> StateMeasurements:
    by_step = jnp.where(steps, norms.total, jnp.nan)
    in_front = counted_first((norms.total, norms.belt, norms.detour, norms.direct), steps)
    lengths = steps.sum(axis=0, dtype=jnp.int32)
    (total, belt, detour, direct), exists = jax.vmap(by_lag, (0, None), (0, None))(jnp.stack(in_front), lengths)
    lag = jnp.arange(site.length, dtype=jnp.int32)
    belt, detour = (jnp.where(lag[:, None] > 0, part, 0) for part in (belt, detour))  # no later step counts
    values = {"m": total, "belt": belt, "detour": detour, "belt_share": share(belt[..., None], detour[..., None])}
    table = jnp.stack([*values.values()])
    quantiles = quantiles_of_known(table, jnp.broadcast_to(exists, table.shape))
    curves = {name: quantiles[:, i] for i, name in enumerate(values)}
    sources = (a.reshape(len(a), -1) for a in by_counted_lag(norms.decay, norms.sources, steps))
    curves["decay"] = quantiles_of_known(*sources)
    count = exists.sum(axis=-1)
    averaged = (lag > 0) & (4 * count >= count[0])
    return StateMeasurements(
        index=index,
        features=features,
        norms=by_step[::-1] if site.reverse else by_step,
        count=count,
        by_lag=curves,
        belt_share=jnp.nanmean(jnp.where(averaged, curves["belt_share"][1], jnp.nan)),
        last_step_only=~(direct[1:] > 0).any(),
    )
