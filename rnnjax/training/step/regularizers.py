"""Optional penalties on how gradients propagate, added to the loss: Ω and gradient flossing."""

import jax
import jax.numpy as jnp

from rnnjax.analysis.capture import LayerCall, Loss, backpropagate, record_calls
from rnnjax.diagnostics.gradient_paths import paths
from rnnjax.diagnostics.linearization import Steps, linearise
from rnnjax.diagnostics.regularizers import flossing, omega
from rnnjax.typing import ModelParams, PyTree

# Gradient flossing needs a QR decomposition at every step, so it is limited to a few examples and exponents.
FLOSSED_EXAMPLES, FLOSSED_EXPONENTS = 4, 8


def gradient_penalty(
    loss: Loss,
    params: ModelParams,
    batch: PyTree,
    *,
    weights: jax.Array,
    flossed: jax.Array,
    omega_weight: jax.Array | float | None,
    flossing_weight: jax.Array | float | None,
) -> jax.Array | float:
    """Weighted sum of Ω and Σλ², () and differentiable; each is a mean over examples, summed over recurrent layers.

    Ω has a gradient with respect to W_h alone, as in Pascanu et al. (2013). Flossing has one with respect to all
    parameters of a cell, while the layer's inputs are held constant. If a batch is divided into shards, the penalties
    of the shards add up to that of the batch.

    Args:
        loss: (params, batch) -> losses (B,), without dropout.
        params: of the model.
        batch: second argument of ``loss``.
        weights: (B,) weight of each example in the mean of Ω over the whole batch. An example of weight 0 adds exactly
            0, even where its numbers are not finite.
        flossed: (B,) weight of each example in the mean of Σλ²; only the first ``FLOSSED_EXAMPLES`` are read.
        omega_weight: factor of Ω; None leaves it out.
        flossing_weight: factor of the squared Lyapunov exponents; None leaves them out.
    """
    total: jax.Array | float = 0.0
    _, calls = record_calls(loss, params, batch)  # only the parameters in it are differentiated
    if omega_weight is not None:
        _, constant_calls, backward = backpropagate(loss, jax.lax.stop_gradient(params), batch)
        for call, constant, cotangents in zip(calls, constant_calls, backward, strict=True):
            steps = _linearise(constant, weights)
            ct_states = paths(constant.cell, constant.params, steps, cotangents.ct_states).state
            total = total + omega_weight * jnp.sum(weights * omega(constant.cell, call.params, steps, ct_states))
    if flossing_weight is not None:
        for call in calls:
            steps = _linearise(call, flossed[:FLOSSED_EXAMPLES])
            exponents = flossing(call.cell, call.params, steps, count=min(FLOSSED_EXPONENTS, call.cell.features))
            total = total + flossing_weight * jnp.sum(flossed[:FLOSSED_EXAMPLES] * exponents)
    return total


def _linearise(call: LayerCall, weights: jax.Array) -> Steps:
    """Linearise the first ``len(weights)`` examples, their inputs held constant; an example of weight 0 has no step.

    Such an example has neither a value nor a gradient, so that no NaN in it can reach either one as 0·NaN.
    """
    examples, counts = slice(len(weights)), weights > 0
    xs, state = jax.lax.stop_gradient((call.xs[:, examples], call.state))
    state = jax.tree.map(lambda a: jnp.where(counts[:, None], a[examples], 0), state)
    resets = None if call.resets is None else call.resets[:, examples]
    lengths = jnp.where(counts, call.lengths[examples], 0)
    return linearise(call.cell, call.params, xs, state, lengths=lengths, resets=resets)
