"""The last answers of a model to sequences with exchanged inputs, and how good and how far apart answers are.

An answer is an array (C,): the logarithms of the probabilities of all classes or symbols, or the numbers. Where a model
answers at every step, the answer of an example's last valid step is taken.

Shapes: B or N examples, T steps, C classes, symbols or numbers in an answer, K exchanges.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.decision import last_logits
from rnnjax.core.skipped_padding import skipping_padding
from rnnjax.data.dataset import Objective
from rnnjax.diagnostics.swaps.exchange import swap_lags
from rnnjax.typing import AnyArray, Floats, ModelParams

Apply = Callable[[ModelParams, AnyArray, AnyArray], jax.Array]  # (params, inputs, lengths) -> outputs
RIGHT_OR_WRONG = (Objective.BINARY, Objective.CLASSES)
NUMBERS = (Objective.NUMBER, Objective.SIGNALS)


class Pairs(NamedTuple):
    """Examples of rising length, and inputs of other examples that end at the same steps."""

    inputs: np.ndarray  # (N, T) or (N, T, D)
    others: np.ndarray  # the same
    lengths: np.ndarray  # (N,)

    def take(self, rows: np.ndarray) -> "Pairs":
        """Those of ``rows``, cut to the longest of them."""
        steps = int(self.lengths[rows].max())
        return Pairs(self.inputs[rows, :steps], self.others[rows, :steps], self.lengths[rows])


@functools.partial(jax.jit, static_argnums=(0, 1))
def last_answers(
    apply: Apply, objective: Objective, params: ModelParams, pairs: Pairs, firsts: AnyArray, stops: AnyArray
) -> jax.Array:
    """The answers (K, B, C) with the inputs at the lags ``firsts[k]`` to ``stops[k]`` - 1 exchanged.

    Args:
        apply: function of parameters, inputs (B, T) or (B, T, D) and lengths (B,) to outputs (B, C) or, of every step,
            (B, T, C): logits or numbers.
        objective: what the outputs are.
        params: of the model.
        pairs: B examples.
        firsts: (K,) integers.
        stops: (K,) integers.
    """

    def answer(exchange: tuple[jax.Array, jax.Array]) -> jax.Array:
        with skipping_padding(True):
            outputs = apply(params, swap_lags(pairs.inputs, pairs.others, pairs.lengths, *exchange), pairs.lengths)
        last = last_logits(outputs, pairs.lengths).astype(jnp.float32)
        if objective in NUMBERS:
            return last
        if objective is Objective.BINARY:  # one logit, that of the second class
            last = jnp.concatenate([jnp.zeros_like(last), last], axis=-1)
        return jax.nn.log_softmax(last)

    return jax.lax.map(answer, (firsts, stops))


def distance(objective: Objective, answers: Floats, others: Floats) -> Floats:
    """How far answers (..., C) are apart (...): half the summed change of all probabilities, of numbers ‖·‖₂."""
    if objective in NUMBERS:
        return np.asarray(np.linalg.norm(answers - others, axis=-1))
    return np.asarray(np.abs(np.exp(answers) - np.exp(others)).sum(axis=-1) / 2)


def points_of(objective: Objective, answers: Floats, labels: np.ndarray) -> Floats:
    """The points of answers (..., N, C): 1 for a right and 0 for a wrong class, else minus the loss; (..., N).

    Args:
        objective: what the labels are.
        answers: log-probabilities or numbers.
        labels: (N,) of the last answers, or (N, C) numbers.
    """
    if objective in NUMBERS:
        return np.asarray(-((answers - labels.reshape(len(labels), -1)) ** 2).mean(axis=-1))
    if objective in RIGHT_OR_WRONG:
        return np.asarray((answers.argmax(axis=-1) == labels).astype(np.float64))
    chosen = np.broadcast_to(labels, answers.shape[:-1])[..., None]
    return np.asarray(np.take_along_axis(answers, chosen, axis=-1)[..., 0])


def scores_of(objective: Objective, points: Floats) -> Floats:
    """The mean over the last axis as a score: accuracy, or the mean loss."""
    return np.asarray((1 if objective in RIGHT_OR_WRONG else -1) * points.mean(axis=-1))


def constant_answer(objective: Objective, labels: np.ndarray) -> Floats:
    """The answer (N, C), the same for all examples, that scores best on them: shares of the labels, or their mean."""
    if objective in NUMBERS:
        values = labels.reshape(len(labels), -1).astype(np.float64)
        return np.broadcast_to(values.mean(axis=0), values.shape)
    shares = np.bincount(labels.astype(np.int64)) / len(labels)
    with np.errstate(divide="ignore"):
        return np.broadcast_to(np.log(shares), (len(labels), len(shares)))
