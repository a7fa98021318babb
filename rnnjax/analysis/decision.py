"""One number that says how a model decides, and the class that it decides for.

Shapes: B examples, T steps, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.typing import ModelParams, PyTree

Lengths = jax.Array | np.ndarray
BATCH = 128  # largest number of sequences in a batch
BATCH_STEPS = 2**16  # largest number of steps in a batch, padding included, which bounds the memory of long sequences


@dataclass(frozen=True)
class HashableModel:
    """A model as a static argument of jit; a module with a list among its fields, such as ``Stack``, has no hash."""

    model: nn.Module

    def __hash__(self) -> int:
        return hash(type(self.model))


def last_logits(logits: jax.Array, lengths: Lengths) -> jax.Array:
    """Logits (B, C) of each example: ``logits`` itself, or those of the last valid step of (B, T, C)."""
    if logits.ndim == 2:
        return logits
    return jnp.take_along_axis(logits, (lengths - 1)[:, None, None], axis=1)[:, 0]


def decision(logits: jax.Array, target: jax.Array | int | None) -> jax.Array:
    """How strongly each example is decided for the class ``target``, (B,).

    It is the logit of that class minus the largest of the other classes, above zero exactly where the answer is
    ``target``. Without ``target``, or where there is only one logit, it is the first logit, of a single one that
    of label 1.
    """
    if target is None or logits.shape[-1] == 1:
        return logits[:, 0]
    is_target = jnp.arange(logits.shape[-1], dtype=jnp.int32) == target
    others = jnp.where(is_target, -jnp.inf, logits).max(axis=-1)
    return jnp.sum(jnp.where(is_target, logits, 0), axis=-1) - others


def answer(model: nn.Module, params: ModelParams, inputs: jax.Array | np.ndarray) -> tuple[int, float]:
    """The class with the largest logit for one sequence, after its last step, and its probability.

    Args:
        model: as in ``word_attribution``.
        params: its parameters.
        inputs: (T,) ids or (T, D) numbers.
    """
    lengths = jnp.array([len(inputs)])

    @jax.jit
    def run(params: ModelParams, inputs: jax.Array, lengths: jax.Array) -> jax.Array:
        outputs: PyTree = model.apply({"params": params}, inputs, lengths=lengths)
        return last_logits(outputs[1], lengths)[0]

    logits = run(params, inputs[None], lengths)
    target = int(jnp.argmax(logits))
    return target, float(jax.nn.softmax(logits.astype(jnp.float32))[target])


def in_batches(score: Callable[[jax.Array], jax.Array], count: int, steps: int) -> jax.Array:
    """``score`` (N,) of the given rows (N,), for all rows 0..count - 1, in batches: (count,).

    Args:
        score: of sequences of at most ``steps`` steps.
        count: number of rows.
        steps: longest sequence.
    """
    batches = -(-count // max(1, min(BATCH, BATCH_STEPS // steps)))
    size = -(-count // batches)
    rows = jnp.minimum(jnp.arange(batches * size, dtype=jnp.int32), count - 1).reshape(batches, size)
    return jax.lax.map(score, rows).reshape(-1)[:count]
