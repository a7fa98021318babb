"""Loss and correctness of an example, for each kind of label."""

import jax
import jax.numpy as jnp
import optax

from rnnjax.data.dataset import BLANK, TOLERANCE, Objective

LOSSES = {
    Objective.BINARY: "cross-entropy, nats",
    Objective.CLASSES: "cross-entropy, nats",
    Objective.NUMBER: "mean squared error",
    Objective.SYMBOLS: "cross-entropy a step, nats",
}
BY_LOSS = {Objective.NUMBER, Objective.SYMBOLS}  # the best validation is that of the smallest loss, not of accuracy


def score(
    objective: Objective, outputs: jax.Array, labels: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Loss and correctness of each example.

    Args:
        objective: what the labels are, and what both mean.
        outputs: (B, 1) or (B, C), for SYMBOLS (B, T, V).
        labels: (B,), for SYMBOLS (B, T).
        lengths: (B,) valid steps; all steps of the others count nothing.

    Returns:
        losses (B,), and correct (B,) in 0..1: whether the answer is right, or of the symbols the share that is, blank
        ones aside (1 where there are no others).
    """
    if objective is Objective.BINARY:
        losses = optax.sigmoid_binary_cross_entropy(outputs[:, 0], labels.astype(outputs.dtype))
        correct = (outputs[:, 0] > 0) == (labels == 1)
    elif objective is Objective.CLASSES:
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
        correct = jnp.argmax(outputs, axis=-1) == labels
    elif objective is Objective.NUMBER:
        errors = outputs[:, 0] - labels
        losses, correct = errors**2, jnp.abs(errors) <= TOLERANCE
    else:
        valid = jnp.arange(labels.shape[1])[None, :] < lengths[:, None]
        each = optax.softmax_cross_entropy_with_integer_labels(outputs, labels)
        losses = _mean(each, valid)
        correct = jnp.where((valid & (labels != BLANK)).any(axis=1), _right_symbols(outputs, labels, valid), 1.0)
    return losses, correct.astype(losses.dtype)


def _right_symbols(outputs: jax.Array, labels: jax.Array, valid: jax.Array) -> jax.Array:
    right = (jnp.argmax(outputs, axis=-1) == labels).astype(outputs.dtype)
    return _mean(right, valid & (labels != BLANK))


def _mean(values: jax.Array, counts: jax.Array) -> jax.Array:
    """Mean of (B, T) over the steps that count, 0 where none does."""
    return jnp.where(counts, values, 0).sum(axis=1) / jnp.maximum(counts.sum(axis=1), 1)
