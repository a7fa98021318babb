"""Which steps of a series, or of a text read as one-hot vectors, decide: ``word_attribution`` without an embedding.

Shapes: T steps, D numbers in a step.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.decision import HashableModel, decision, in_batches, last_logits
from rnnjax.analysis.word_attribution import Explanation, vector_norms
from rnnjax.argument_checks import check_array, check_floats, check_integer, check_integers, describe
from rnnjax.nn.classifier import SequenceClassifier
from rnnjax.nn.interception import intercept_methods
from rnnjax.typing import ModelParams, PyTree


def explain_steps(model: nn.Module, params: ModelParams, inputs: np.ndarray, target: int | None = None) -> Explanation:
    """Gradients, the decision along a sequence, and the effect of each step, for a single sequence.

    A step is taken out by zeros in its place: the mean of a standardised series, and no symbol at all where ids are
    read as one-hot vectors. The state is reset at the same steps all the while.

    Args:
        model: a ``rnnjax.SequenceClassifier`` without an embedding: it reads numbers, or ids as one-hot vectors.
        params: its parameters.
        inputs: (T, D) numbers or, of a model with a vocabulary, (T,) ids; at least one step.
        target: class whose decision is explained, see ``rnnjax.analysis.decision``.

    Raises:
        ValueError: another model, or inputs that it cannot read.
    """
    if not isinstance(model, SequenceClassifier) or (model.embedding and model.vocabulary):
        raise ValueError(f"model must be a rnnjax.SequenceClassifier without an embedding, got {describe(model)}")
    ids = None
    if model.vocabulary:
        check_array("inputs", inputs, "(T,)")
        check_integers("inputs", inputs, inputs.shape, 0, model.vocabulary - 1)
        ids, inputs = jnp.asarray(inputs), np.eye(model.vocabulary, dtype=np.float32)[inputs]
    check_floats("inputs", inputs, "(T, D)")
    if target is not None:
        check_integer("target", target, 0, model.classes - 1)
    return Explanation(*map(np.asarray, _explain(HashableModel(model), params, ids, jnp.asarray(inputs), target)))


@functools.partial(jax.jit, static_argnums=0)
def _explain(
    static: HashableModel, params: ModelParams, ids: jax.Array | None, xs: jax.Array, target: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The fields of ``Explanation``, each (T,); ``ids`` (T,) are those of the vectors ``xs``, None of numbers."""
    T = len(xs)

    def score(batch: jax.Array, lengths: jax.Array) -> jax.Array:
        def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
            makes_vectors = isinstance(context.module, SequenceClassifier) and context.method_name == "_vectors"
            return batch if makes_vectors else call(*args, **kwargs)

        inputs = batch if ids is None else jnp.broadcast_to(ids, batch.shape[:2])
        with intercept_methods(intercept):
            outputs: PyTree = static.model.apply({"params": params}, inputs, lengths=lengths)
        return decision(last_logits(outputs[1], lengths), target)

    def score_beginnings(rows: jax.Array) -> jax.Array:
        return score(jnp.broadcast_to(xs, (len(rows), *xs.shape)), rows + 1)

    def score_without(rows: jax.Array) -> jax.Array:
        batch = jnp.where((jnp.arange(T, dtype=jnp.int32)[None] == rows[:, None])[..., None], 0, xs[None])
        return score(batch, jnp.full_like(rows, T))

    gradients = jax.grad(lambda xs: score(xs[None], jnp.array([T])).sum())(xs)
    along = in_batches(score_beginnings, T, T)
    return (
        vector_norms(gradients),
        along,
        in_batches(score_without, T, T) - along[-1],
        -jnp.sum(gradients * xs, axis=-1),
    )
