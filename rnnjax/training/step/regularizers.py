"""Penalties on how gradients travel, added to a loss on request: Ω and gradient flossing."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.analysis.capture import LayerCall, Loss, backpropagate, record_calls
from rnnjax.diagnostics.gradient_paths import paths
from rnnjax.diagnostics.linearization import Steps, linearise
from rnnjax.diagnostics.regularizers import flossing, omega

FLOSSED_EXAMPLES, FLOSSED_EXPONENTS = 4, 8  # the exponents of a few examples are enough, and QR is dear


def gradient_penalty(
    loss: Loss,
    params: Any,
    batch: Any,
    *,
    weights: jax.Array,
    flossed: jax.Array,
    omega_weight: jax.Array | float | None,
    flossing_weight: jax.Array | float | None,
) -> jax.Array | float:
    """Weighted sum of Ω and Σλ², each a weighted sum over examples, summed over recurrent layers; differentiable.

    Ω reaches W_h alone, as Pascanu et al. (2013) have it; flossing reaches all of a cell's parameters, with the
    layer's inputs held constant. Where a batch is divided, the sum over its parts is the penalty of the whole.

    Args:
        loss: (params, batch) -> losses (B,), without dropout.
        params: of the model.
        batch: as ``loss`` wants it.
        weights: (B,) share of each example in the mean of Ω over the whole batch; one whose share is 0 adds exactly
            0, whatever its numbers are.
        flossed: (B,) likewise in the mean of Σλ²; only the first ``FLOSSED_EXAMPLES`` are read.
        omega_weight: of Ω; None leaves it out.
        flossing_weight: of the squared Lyapunov exponents; None leaves them out.
    """
    total: Any = 0.0
    # the parameters of a call are differentiated, all else of it is held constant
    _, live = record_calls(loss, params, batch)
    if omega_weight is not None:
        _, calls, asked = backpropagate(loss, jax.lax.stop_gradient(params), batch)
        for call, ask, own in zip(calls, asked, live, strict=True):
            steps = _linearise(call, weights)
            cotangents = paths(call.cell, call.params, steps, ask.ct_states).state
            total = total + omega_weight * jnp.sum(weights * omega(call.cell, own.params, steps, cotangents))
    if flossing_weight is not None:
        for call in live:
            steps = _linearise(call, flossed[:FLOSSED_EXAMPLES])
            exponents = flossing(call.cell, call.params, steps, count=min(FLOSSED_EXPONENTS, call.cell.features))
            total = total + flossing_weight * jnp.sum(flossed[:FLOSSED_EXAMPLES] * exponents)
    return total


def _linearise(call: LayerCall, shares: jax.Array) -> Steps:
    """The first ``len(shares)`` examples, their inputs constant; one without a share is given no step.

    So it has neither a value nor a gradient, and no NaN of it can reach either as 0·NaN.
    """
    few, counts = slice(len(shares)), shares > 0
    xs, state = jax.lax.stop_gradient((call.xs[:, few], call.state))
    state = jax.tree.map(lambda a: jnp.where(counts[:, None], a[few], 0), state)
    return linearise(call.cell, call.params, xs, state, lengths=jnp.where(counts, call.lengths[few], 0))
