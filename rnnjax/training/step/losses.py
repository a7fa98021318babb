"""Loss and correctness of each example, for every kind of label."""

import chex
import jax
import jax.numpy as jnp
import optax

from rnnjax.data.dataset import BLANK, TOLERANCE, Objective

LOSSES = {
    Objective.BINARY: "cross-entropy, nats",
    Objective.CLASSES: "cross-entropy, nats",
    Objective.NUMBER: "mean squared error",
    Objective.SYMBOLS: "cross-entropy a step, nats",
    Objective.SIGNALS: "mean squared error",
}
# the best validation has the smallest loss, not the best accuracy
BY_LOSS = {Objective.NUMBER, Objective.SYMBOLS, Objective.SIGNALS}


def score(
    objective: Objective, outputs: jax.Array, labels: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Loss and correctness of each example.

    Args:
        objective: the kind of label, which determines both.
        outputs: (B, 1) or (B, C); for SYMBOLS (B, T, V), for SIGNALS (B, T, K).
        labels: (B,); for SYMBOLS (B, T), for SIGNALS (B, T, K).
        lengths: (B,) valid steps; steps past an example's end do not count.

    Returns:
        losses (B,), and correct (B,) in 0..1: whether the answer is right; for SYMBOLS the fraction of an example's
        symbols that is right, not counting ``BLANK`` ones (1 where there are no others); for SIGNALS the fraction of
        an example's numbers whose sign is right.
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
    elif objective is Objective.SIGNALS:
        valid = jnp.arange(labels.shape[1], dtype=jnp.int32)[None, :] < lengths[:, None]
        losses = _masked_mean(((outputs - labels) ** 2).mean(axis=-1), valid)
        right = ((outputs > 0) == (labels > 0)).mean(axis=-1, dtype=outputs.dtype)
        correct = _masked_mean(right, valid)
    else:
        valid = jnp.arange(labels.shape[1], dtype=jnp.int32)[None, :] < lengths[:, None]
        losses = _masked_mean(optax.softmax_cross_entropy_with_integer_labels(outputs, labels), valid)
        correct = jnp.where((valid & (labels != BLANK)).any(axis=1), _symbol_accuracy(outputs, labels, valid), 1.0)
    chex.assert_shape([losses, correct], lengths.shape)
    return losses, correct.astype(losses.dtype)


def _symbol_accuracy(outputs: jax.Array, labels: jax.Array, valid: jax.Array) -> jax.Array:
    """The fraction (B,) of valid symbols other than ``BLANK`` that is right."""
    right = (jnp.argmax(outputs, axis=-1) == labels).astype(outputs.dtype)
    return _masked_mean(right, valid & (labels != BLANK))


def _masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean (B,) of ``values`` (B, T) over the steps where ``mask`` (B, T) is true; 0 where there are none."""
    return jnp.where(mask, values, 0).sum(axis=1) / jnp.maximum(mask.sum(axis=1), 1)
