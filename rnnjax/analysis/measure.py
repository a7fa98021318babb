"""Everything that is measured of a model's recurrent layers on one batch."""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.capture import Backward, LayerCall, Loss, backpropagate
from rnnjax.cells import Cell, Params
from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.diagnostics.gates import gate_values, horizon, keep_at_bias, padding_read, saturation
from rnnjax.diagnostics.gradient_paths import Paths, paths, share
from rnnjax.diagnostics.gradients import QUANTILES, by_lag, safe_norm
from rnnjax.diagnostics.jacobians import extreme_singular_values, step_jacobians
from rnnjax.diagnostics.linearization import Steps, linearise
from rnnjax.diagnostics.lyapunov import Lyapunov, lyapunov_spectrum
from rnnjax.diagnostics.nonfinite import first_not_finite
from rnnjax.diagnostics.regularizers import omega

LONGEST_PRODUCT = 128  # steps


@flax.struct.dataclass
class LayerMeasurements:
    """One recurrent layer and direction; T steps, B examples, G gates, S numbers in a state (H, or 2H for an LSTM).

    ``by_lag`` holds quantiles over examples, (3, T) at ``diagnostics.QUANTILES``, lag 0 at each example's last valid
    step, NaN where no example has a number:

    - "h", "m": ‖∂L/∂h_t‖ and ‖∂L/∂m_t‖, totals ("m" alone where they are one);
    - "belt", "detour": the parts of ∂L/∂m_t that came from later steps, see ``diagnostics.paths``;
    - "belt_share": ‖belt‖ / (‖belt‖ + ‖detour‖);
    - "enters k", "into k": for gate k, the part of the detour that enters there, and ‖∂L/∂z_k‖;
    - "keep", "gate k": means over units of f_t and of the gate's value.
    """

    name: str = flax.struct.field(pytree_node=False)  # path of the module, with slashes
    cell: Cell = flax.struct.field(pytree_node=False)
    reverse: bool = flax.struct.field(pytree_node=False)
    count: jax.Array  # (T,) examples that reach each lag
    by_lag: dict[str, jax.Array]  # each (3, T), see above
    saturation: jax.Array | None  # (G,) share of each gate's values that are stuck
    keep_at_bias: jax.Array  # () mean over units
    horizon: jax.Array  # () median over units, in steps
    belt_share: jax.Array  # () mean of the median share over the lags from 1 on that a quarter of the examples reach
    omega: jax.Array  # () mean over examples
    padding_read: jax.Array  # () share of the steps read that look like padding
    lyapunov: Lyapunov  # of the longest example: (S,) and (T, S)
    product: jax.Array  # (P, 2) log largest and smallest singular value over the last 1, 2, 4, ... steps of it
    longest: jax.Array  # () its steps


class Measurements(NamedTuple):
    """What ``examine`` finds."""

    losses: jax.Array  # (B,)
    calls: tuple[LayerCall, ...]  # what each recurrent layer was given
    steps: tuple[Steps, ...]  # its linearised steps
    paths: tuple[Paths, ...]  # the parts of its memory's gradient
    backward: tuple[Backward, ...]  # what the loss asks of it
    layers: tuple[LayerMeasurements, ...]  # what was measured of it


def measure(loss: Loss, params: Any, batch: Any) -> Measurements:
    """Measure every recurrent layer that ``loss`` calls; to be compiled by the caller.

    Args:
        loss: (params, batch) -> the loss of each example (B,), through a Flax model that uses ``rnnjax.RNN``.
        params: its first argument.
        batch: its second.
    """
    losses, calls, asked = backpropagate(loss, params, batch)
    steps = tuple(linearise(c.cell, c.params, c.xs, c.state, lengths=c.lengths) for c in calls)
    ways = tuple(paths(c.cell, c.params, s, a.ct_states) for c, s, a in zip(calls, steps, asked, strict=True))
    layers = tuple(_layer(c, s, p) for c, s, p in zip(calls, steps, ways, strict=True))
    return Measurements(losses, calls, steps, ways, asked, layers)


def _layer(call: LayerCall, steps: Steps, ways: Paths) -> LayerMeasurements:
    cell, params, lengths = call.cell, call.params, call.lengths
    count, curves = _curves(cell, steps, ways, lengths)
    usual = (jnp.arange(len(count)) > 0) & (count >= count[0] / 4)
    shares = jnp.where(usual, curves["belt_share"][1], jnp.nan)

    one = jnp.argmax(lengths)
    of_one = jax.tree.map(lambda a: a[:, one], steps)
    return LayerMeasurements(
        name=call.name,
        cell=cell,
        reverse=call.reverse,
        count=count,
        by_lag=curves,
        saturation=saturation(cell, steps),
        keep_at_bias=keep_at_bias(cell, params).mean(),
        horizon=jnp.median(horizon(steps)),
        belt_share=jnp.nanmean(shares),
        omega=omega(cell, params, steps, ways.state).mean(),
        padding_read=padding_read(call.xs, lengths),
        lyapunov=lyapunov_spectrum(cell, params, of_one),
        product=_products(cell, params, of_one, lengths[one]),
        longest=lengths[one],
    )


def _curves(cell: Cell, steps: Steps, ways: Paths, lengths: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Examples at each lag (T,), and quantiles over them (3, T) of every quantity that has one number a step."""
    values = {"m": safe_norm(ways.memory), "belt": safe_norm(ways.belt), "detour": safe_norm(ways.detour)}
    if cell.has_separate_memory:
        values = {"h": safe_norm(ways.state[0]), **values}
    values["belt_share"] = share(ways.belt, ways.detour)
    values["keep"] = steps.f.mean(axis=-1)
    gates = gate_values(cell, steps)
    for k, name in enumerate(cell.gates):
        values[f"enters {name}"] = safe_norm(ways.enters[..., k, :])
        values[f"into {name}"] = safe_norm(ways.dz_x[..., k, :])
        if gates is not None:
            values[f"gate {name}"] = gates[..., k, :].mean(axis=-1)
    table, exists = jax.vmap(by_lag, (0, None))(jnp.stack(list(values.values())), lengths)  # (quantities, T, B)
    quantiles = jnp.nanquantile(jnp.where(exists, table, jnp.nan), jnp.array(QUANTILES, table.dtype), axis=-1)
    return exists[0].sum(axis=-1), {name: quantiles[:, i] for i, name in enumerate(values)}


def product_lags(steps: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to ``steps`` or the longest product that is taken."""
    return tuple(2**k for k in range(min(steps, LONGEST_PRODUCT).bit_length()))


def _products(cell: Cell, params: Params, steps: Steps, length: jax.Array) -> jax.Array:
    """Log largest and smallest singular value of ∂s_end/∂s_{end-p} of one example, NaN where it is shorter."""
    lags = product_lags(len(steps.f))
    back = length - 1 - jnp.arange(lags[-1])  # from the last step; where the example has none, any will do
    jacobians = step_jacobians(cell, params, jax.tree.map(lambda a: a[jnp.clip(back, 0)], steps))
    found = extreme_singular_values(jnp.swapaxes(jacobians, -1, -2), lags)  # (J_end ··· J)ᵀ grows at its left
    return jnp.where(length >= jnp.array(lags)[:, None], jnp.stack(found, axis=-1), jnp.nan)


def nonfinite_origin(examined: Measurements) -> Origin:
    """Where the first number that is not finite was made: forward from the bottom layer up, then backward down.

    All but the phase is None where every layer's numbers are finite: it was made outside of them.
    """
    found = []
    for call, steps, ways in zip(examined.calls, examined.steps, examined.paths, strict=True):
        if (first := first_not_finite(call.cell, steps, ways)) is not None:
            t = int(call.lengths[first.example]) - 1 - first.timestep if call.reverse else first.timestep
            found.append(Origin(first.phase, call.name, first.gate, t, None))
    forward = [origin for origin in found if origin.phase == "forward"]
    if forward or found:
        return forward[0] if forward else found[-1]
    finite = bool(np.isfinite(np.asarray(examined.losses)).all())
    return Origin("backward" if finite else "forward", None, None, None, None)
