"""Penalties on how gradients travel, added to a loss on request: Ω and gradient flossing."""

from typing import Any

import jax

from rnnjax.capture import Loss, backpropagate, record
from rnnjax.diagnostics.linearise import linearise
from rnnjax.diagnostics.paths import paths
from rnnjax.diagnostics.regularisers import flossing, omega

FLOSSED_EXAMPLES, FLOSSED_EXPONENTS = 4, 8  # the exponents of a few examples are enough, and QR is dear


def gradient_penalty(
    loss: Loss, params: Any, batch: Any, *, omega_weight: float, flossing_weight: float
) -> jax.Array | float:
    """Weighted sum of Ω and Σλ², each the mean over examples, summed over recurrent layers; differentiable.

    Ω reaches W_h alone, as Pascanu et al. (2013) have it; flossing reaches all of a cell's parameters, with the
    layer's inputs held constant.

    Args:
        loss: (params, batch) -> losses (B,), without dropout.
        params: of the model.
        batch: as ``loss`` wants it.
        omega_weight: of Ω; 0 leaves it out.
        flossing_weight: of the squared Lyapunov exponents; 0 leaves them out.
    """
    total: Any = 0.0
    _, live = record(loss, params, batch)  # its parameters are differentiated, all else of a call is held constant
    if omega_weight:
        _, calls, asked = backpropagate(loss, jax.lax.stop_gradient(params), batch)
        for call, ask, own in zip(calls, asked, live, strict=True):
            steps = linearise(call.cell, call.params, call.xs, call.state, lengths=call.lengths)
            cotangents = paths(call.cell, call.params, steps, ask.ct_states).state
            total = total + omega_weight * omega(call.cell, own.params, steps, cotangents).mean()
    if flossing_weight:
        few = slice(FLOSSED_EXAMPLES)
        for call in live:
            xs, state = jax.lax.stop_gradient((call.xs, call.state))
            state = jax.tree.map(lambda a: a[few], state)
            steps = linearise(call.cell, call.params, xs[:, few], state, lengths=call.lengths[few])
            count = min(FLOSSED_EXPONENTS, call.cell.features)
            total = total + flossing_weight * flossing(call.cell, call.params, steps, count=count).mean()
    return total
