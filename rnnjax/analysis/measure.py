"""All measurements of a model's recurrent layers on one batch."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.capture import LayerCall, LayerGradients, Loss, backpropagate, in_reading_order
from rnnjax.cells import ElementwiseCell, Params
from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.diagnostics.gates import gate_values, horizon, keep_at_bias, padding_read, saturation
from rnnjax.diagnostics.gradient_paths import Paths, paths, share
from rnnjax.diagnostics.gradients import by_lag, quantiles_over_examples, safe_norm
from rnnjax.diagnostics.jacobians import extreme_singular_values, step_jacobians
from rnnjax.diagnostics.linearization import Steps, linearise, pull
from rnnjax.diagnostics.loss_decay import loss_decay
from rnnjax.diagnostics.lyapunov import Lyapunov, lyapunov_spectrum
from rnnjax.diagnostics.nonfinite import first_not_finite
from rnnjax.diagnostics.regularizers import omega
from rnnjax.typing import CellState, PyTree

LONGEST_PRODUCT = 128  # steps of a product of step Jacobians


@flax.struct.dataclass
class LayerMeasurements:
    """Measurements of one recurrent layer and direction; T steps, G gates, S numbers in a state (H, or 2H for an LSTM).

    ``by_lag`` holds quantiles over examples, (3, T) at ``diagnostics.QUANTILES``; lag 0 is each example's last valid
    step, and lags that no example has are NaN:

    - "h", "m": ‖∂L/∂h_t‖ and ‖∂L/∂m_t‖, total derivatives ("m" alone where output and memory are one state);
    - "decay": the norm of ∂(loss of one step)/∂m at the lag from that step, relative to lag 0, see
      ``diagnostics.loss_decay``; quantiles over steps and examples;
    - "belt", "detour": norms of the parts of ∂L/∂m_t that came from later steps, see ``diagnostics.paths``;
    - "belt_share": ‖belt‖ / (‖belt‖ + ‖detour‖);
    - "enters k", "into k": for gate k, the norm of the part of the detour that enters it first, and ‖∂L/∂z_k‖;
    - "keep", "gate k": means over units of f_t and of the gate's value.
    """

    name: str = flax.struct.field(pytree_node=False)  # path of the module, with slashes
    cell: ElementwiseCell = flax.struct.field(pytree_node=False)
    reverse: bool = flax.struct.field(pytree_node=False)
    count: jax.Array  # (T,) examples that have each lag
    by_lag: dict[str, jax.Array]  # each (3, T), see above
    last_step_only: jax.Array  # () bool: whether the loss reads the layer at its last step alone
    saturation: jax.Array | None  # (G,) share of (step, unit) pairs at which each gate's slope is nearly 0
    keep_at_bias: jax.Array  # () mean over units
    horizon: jax.Array  # () median over units, in steps
    belt_share: jax.Array  # () mean over lags of the median share; lags from 1 on that a quarter of the examples have
    omega: jax.Array  # () mean over examples
    padding_read: jax.Array  # () share of the steps read that look like padding
    lyapunov: Lyapunov  # exponents (S,) and running estimates (T, S) of the longest example
    product: jax.Array  # (P, 2) log largest and smallest singular value over its last 1, 2, 4, ... steps
    longest: jax.Array  # () length of the longest example
    crossing: jax.Array | None  # () largest gradient across the beginning of an episode, as a share of the largest


class Measurements(NamedTuple):
    """Result of ``measure``; tuples have an entry for each call of a recurrent layer."""

    losses: jax.Array  # (B,), or () of a mean
    calls: tuple[LayerCall, ...]  # arguments of the calls
    steps: tuple[Steps, ...]  # linearised steps
    paths: tuple[Paths, ...]  # parts of the gradient of the memory
    backward: tuple[LayerGradients, ...]  # gradients at outputs and inputs
    layers: tuple[LayerMeasurements, ...]


def measure(
    loss: Loss, params: PyTree, batch: PyTree, resets: jax.Array | None = None, *, mean: bool = False
) -> Measurements:
    """Measure every recurrent layer that ``loss`` calls; the caller compiles it.

    Args:
        loss: (params, batch) -> the loss of each example (B,), through a Flax model that uses ``rnnjax.RNN``.
        params: its first argument.
        batch: its second argument.
        resets: (T, B) bool, the first steps of episodes, which no gradient should cross; for layers of T steps.
        mean: whether the loss may also be one number, the mean of all.

    Raises:
        ValueError: as ``backpropagate``, or a layer draws dropout, zoneout or noise.
    """
    losses, calls, gradients = backpropagate(loss, params, batch, mean=mean)
    if drawing := next((call.name for call in calls if call.draws), None):
        raise ValueError(
            f"the layer {drawing!r} may draw dropout, zoneout or noise in this loss, which is not measured; give a "
            "loss that applies the model with train=False, and a rnnjax.NnxRNN without a key"
        )
    steps = tuple(linearise(c.cell, c.params, c.xs, c.state, lengths=c.lengths, resets=c.resets) for c in calls)
    parts = tuple(paths(c.cell, c.params, s, g.ct_states) for c, s, g in zip(calls, steps, gradients, strict=True))
    layers = tuple(
        measure_layer(c, s, s, p, g.ct_states, resets)
        for c, s, p, g in zip(calls, steps, parts, gradients, strict=True)
    )
    return Measurements(losses, calls, steps, parts, gradients, layers)


def measure_layer(
    call: LayerCall,
    own: Steps,
    steps: Steps,
    parts: Paths,
    ct_states: CellState,
    resets: jax.Array | None = None,
) -> LayerMeasurements:
    """Measure one layer.

    Args:
        call: the layer, its parameters and inputs.
        own: the steps as the cell computes them.
        steps: the same, with f, u and o set to 0 where ``resets`` let nothing of the state before pass.
        parts: the gradient that arrives, and its paths.
        ct_states: the gradient of the loss at each state.
        resets: (T, B) bool, steps that start from the initial state.
    """
    cell, params, lengths = call.cell, call.params, call.lengths
    count, curves = _curves(cell, params, own, parts, lengths)
    decay = (a.reshape(len(count), -1) for a in loss_decay(cell, params, steps, ct_states))
    curves["decay"] = quantiles_of_known(*decay)
    averaged = (jnp.arange(len(count), dtype=jnp.int32) > 0) & (4 * count >= count[0])
    shares = jnp.where(averaged, curves["belt_share"][1], jnp.nan)

    longest = jnp.argmax(lengths)
    longest_steps = jax.tree.map(lambda a: a[:, longest], steps)
    return LayerMeasurements(
        name=call.name,
        cell=cell,
        reverse=call.reverse,
        count=count,
        by_lag=curves,
        last_step_only=~(by_lag(safe_norm(parts.direct), lengths)[0][1:] > 0).any(),
        saturation=saturation(cell, params, own),
        keep_at_bias=keep_at_bias(cell, params).mean(),
        horizon=jnp.median(horizon(own)),
        belt_share=jnp.nanmean(shares),
        omega=omega(cell, params, steps, parts.state).mean(),
        padding_read=padding_read(call.xs, lengths),
        lyapunov=lyapunov_spectrum(cell, params, longest_steps),
        product=_products(cell, params, longest_steps, lengths[longest]),
        longest=lengths[longest],
        crossing=_crossing(call, steps, parts, resets),
    )


def _crossing(call: LayerCall, steps: Steps, parts: Paths, resets: jax.Array | None) -> jax.Array | None:
    """The largest norm of ∂L/∂(state before the first step of an episode), through that step, relative to that of "m".

    None where no ``resets`` (T, B) are given, or those of sequences of another length.
    """
    T, N = call.xs.shape[:2]
    if resets is None or resets.ndim != 2 or resets.shape[0] != T or N % resets.shape[1]:
        return None
    B = resets.shape[1]
    axis = call.rows.index(B) if B in call.rows else None
    earlier, later = ((), (N // B,)) if axis is None else (call.rows[:axis], call.rows[axis + 1 :])
    first = in_reading_order(call, for_each_example(resets, earlier, later))
    first = first.at[0].set(False)  # before it is the state that the layer starts from
    before = jnp.concatenate(pull(call.cell, call.params, steps, parts.state), axis=-1)
    largest = safe_norm(parts.memory).max()
    return jnp.where(first, safe_norm(before), 0).max() / jnp.where(largest > 0, largest, 1)


def for_each_example(mask: jax.Array, earlier: Sequence[int], later: Sequence[int]) -> jax.Array:
    """Of examples (T, B), for the rows (T, N) that are made of further axes before and after that of the examples."""
    return jnp.tile(jnp.repeat(mask, prod(later), axis=1), (1, prod(earlier)))


def _curves(
    cell: ElementwiseCell, params: Params, steps: Steps, parts: Paths, lengths: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Number of examples that have each lag (T,), and quantiles over them (3, T) of every quantity of ``by_lag``."""
    values = {"m": safe_norm(parts.memory), "belt": safe_norm(parts.belt), "detour": safe_norm(parts.detour)}
    if cell.has_separate_memory:
        values = {"h": safe_norm(parts.state[0]), **values}
    values["belt_share"] = share(parts.belt, parts.detour)
    values["keep"] = steps.f.mean(axis=-1)
    gates = gate_values(cell, params, steps)
    for k, name in enumerate(cell.gates):
        values[f"enters {name}"] = safe_norm(parts.enters[..., k, :])
        values[f"into {name}"] = safe_norm(parts.dz_x[..., k, :])
        if gates is not None:
            values[f"gate {name}"] = gates[..., k, :].mean(axis=-1)
    table, exists = jax.vmap(by_lag, (0, None))(jnp.stack(list(values.values())), lengths)  # (quantities, T, B)
    quantiles = quantiles_of_known(table, exists)
    return exists[0].sum(axis=-1), {name: quantiles[:, i] for i, name in enumerate(values)}


def quantiles_of_known(values: jax.Array, exists: jax.Array) -> jax.Array:
    """``quantiles_over_examples`` without NaN, such as the belt's share where no gradient arrives."""
    return quantiles_over_examples(values, exists & ~jnp.isnan(values))


def product_lengths(steps: int) -> tuple[int, ...]:
    """Numbers of steps over which products of Jacobians are measured: 1, 2, 4, ... up to ``steps``, at most 128."""
    return tuple(2**k for k in range(min(steps, LONGEST_PRODUCT).bit_length()))


def _products(cell: ElementwiseCell, params: Params, steps: Steps, length: jax.Array) -> jax.Array:
    """Log largest and smallest singular value of ∂s_end/∂s_{end-p}, (P, 2), of one example; NaN where it is shorter."""
    counts = product_lengths(len(steps.f))
    from_last = jnp.arange(counts[-1], dtype=jnp.int32)
    backward = length - 1 - from_last  # clipped indices end in NaN below
    jacobians = step_jacobians(cell, params, jax.tree.map(lambda a: a[jnp.clip(backward, 0)], steps))
    values = extreme_singular_values(jnp.swapaxes(jacobians, -1, -2), counts)  # transposed, J_end is the first factor
    return jnp.where(length >= jnp.array(counts, jnp.int32)[:, None], jnp.stack(values, axis=-1), jnp.nan)


def nonfinite_origin(measurements: Measurements) -> Origin:
    """Where the first number that is not finite arose, in the order of computation.

    The order is the forward pass from the bottom layer up, then the backward pass from the top layer down. All fields
    but the phase are None where the numbers of every layer are finite, so that it arose outside of them.
    """
    origins = []
    for call, steps, parts in zip(measurements.calls, measurements.steps, measurements.paths, strict=True):
        if (first := first_not_finite(call.cell, steps, parts)) is not None:
            t = int(call.lengths[first.example]) - 1 - first.timestep if call.reverse else first.timestep
            origins.append(Origin(first.phase, call.name, first.gate, t, None))
    forward = [origin for origin in origins if origin.phase == "forward"]
    if origins:
        return forward[0] if forward else origins[-1]
    finite = bool(np.isfinite(np.asarray(measurements.losses)).all())
    return Origin("backward" if finite else "forward", None, None, None, None)
