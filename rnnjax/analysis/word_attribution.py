"""Which words of a text decide: the gradient of the logit with respect to every word, and the logit without a word.

All functions take a Flax model like ``rnnjax.SequenceClassifier``: its words go through exactly one ``nn.Embed``, and
``model(tokens, lengths=lengths)`` returns a pair whose second entry is the logits (B, classes), or (B, T, classes) of
every step, of which the last valid one counts. "The logit" is the first one, of a single one that of label 1; or, of a
model with several classes and with ``target``, the logit of that class minus the largest of the others. Functions are
compiled once for each model and shape, so texts are best padded to one length.

Shapes: B texts, T words, E numbers in a word vector.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.decision import HashableModel, decision, in_batches, last_logits
from rnnjax.argument_checks import check_array, check_integer, check_integers, describe, is_integer
from rnnjax.core.taps import safe_norm
from rnnjax.dtypes import promoted
from rnnjax.nn.interception import intercept_methods
from rnnjax.typing import ModelParams, PyTree

Ids = jax.Array | np.ndarray  # integers
Target = jax.Array | int | None
F = TypeVar("F", bound=Callable[..., Any])


class Connectivity(NamedTuple):
    """How strongly the logit depends on each word; exactly 0 past a text's end."""

    norms: jax.Array  # (B, T) ‖∂logit_b/∂x_t‖₂, x_t being the word vector that enters the recurrent part
    gradients: jax.Array  # (B, T, E) ∂logit_b/∂x_t


class LogitChange(NamedTuple):
    """The change of the logit when a single word of each text is replaced by another."""

    measured: jax.Array  # (B,) logit after - logit before
    predicted: jax.Array  # (B,) ⟨∂logit/∂x_t, e_new - e_old⟩: the first-order prediction of the gradient


class Explanation(NamedTuple):
    """Attribution of the logit of a model to the T words of a single text."""

    connectivity: np.ndarray  # (T,) ‖∂logit/∂x_t‖₂
    logits: np.ndarray  # (T,) the logit if the text ended after each word; the last is that of the whole text
    measured: np.ndarray  # (T,) change of the text's logit when the word is replaced by the unknown word
    predicted: np.ndarray  # (T,) the gradient's prediction of that change


def _compiled(axes: str) -> Callable[[F], F]:
    """Decorator that compiles ``function(model, params, tokens, *more)`` and checks its arguments first.

    Args:
        axes: of the tokens, "(B, T)" or "(T,)".
    """

    def decorate(function: F) -> F:
        program = jax.jit(
            lambda static, target, *arrays: function(static.model, *arrays, target=target), static_argnums=0
        )

        @wraps(function)
        def call(model: nn.Module, params: ModelParams, tokens: Ids, *more: Any, target: int | None = None) -> PyTree:
            _check(model, axes, tokens, *more)
            if target is not None:
                check_integer("target", target, 0, getattr(model, "classes", target + 1) - 1)
            return program(HashableModel(model), target, params, tokens, *more)

        return cast(F, call)

    return decorate


def _check(model: Any, axes: str, tokens: Any, *more: Any) -> None:
    """Raise ValueError for ids, lengths or positions that do not fit the model or each other."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a Flax module such as rnnjax.SequenceClassifier, got {describe(model)}")
    check_array("tokens", tokens, axes)
    words = getattr(model, "vocabulary", 0)
    largest = words - 1 if is_integer(words) and words > 0 else None
    check_integers("tokens", tokens, tokens.shape, 0, largest)
    if axes == "(T,)":
        for unknown in more:
            check_integer("unknown", unknown, 0, largest)
        return
    B, T = tokens.shape
    for (name, most), array in zip((("lengths", T), ("positions", T - 1), ("new_ids", largest)), more, strict=False):
        check_integers(name, array, (B,), 0, most)


@_compiled("(B, T)")
def word_connectivity(
    model: nn.Module, params: ModelParams, tokens: Ids, lengths: Ids, *, target: Target = None
) -> Connectivity:
    """The gradient of each text's logit with respect to its word vectors, and its norm (Madsen, Distill 2019).

    Args:
        model: see the module's docstring.
        params: its parameters.
        tokens: (B, T) word ids.
        lengths: (B,) words in each text.
        target: class whose logit it is; see the module's docstring.

    Raises:
        ValueError: the words of ``model`` do not go through exactly one ``nn.Embed``; or ids, lengths or positions of
            another shape or dtype, or out of range.
    """
    _, _, gradients = _with_gradients(model, params, tokens, lengths, target)
    return Connectivity(vector_norms(gradients), gradients)


@_compiled("(T,)")
def logits_along(model: nn.Module, params: ModelParams, tokens: Ids, *, target: Target = None) -> jax.Array:
    """The logit if the text ended after each of its words, (T,): every prefix of the text is a text of its own.

    Entry t depends on the words up to t only, for any model, so padding a text changes no earlier entry.

    Args:
        model: see the module's docstring.
        params: its parameters.
        tokens: (T,) word ids, at least one.
        target: as in ``word_connectivity``.

    Raises:
        ValueError: as ``word_connectivity``.
    """
    T = len(tokens)

    def logits(rows: jax.Array) -> jax.Array:
        return _logits(model, params, jnp.broadcast_to(tokens, (len(rows), T)), 1 + rows, target)[0]

    return in_batches(logits, T, T)


@_compiled("(B, T)")
def swap_words(
    model: nn.Module,
    params: ModelParams,
    tokens: Ids,
    lengths: Ids,
    positions: Ids,
    new_ids: Ids,
    *,
    target: Target = None,
) -> LogitChange:
    """The change of each text's logit when the word at ``positions[b]`` is replaced by ``new_ids[b]``.

    Args:
        model: see the module's docstring.
        params: its parameters.
        tokens: (B, T) word ids.
        lengths: (B,) words in each text; a word at or past the end changes nothing.
        positions: (B,) from 0 to T - 1.
        new_ids: (B,) word ids.
        target: as in ``word_connectivity``.

    Raises:
        ValueError: as ``word_connectivity``.
    """
    before, xs, gradients = _with_gradients(model, params, tokens, lengths, target)
    after, new_xs = _logits(model, params, _replaced(tokens, positions, new_ids[:, None]), lengths, target)
    predicted = jnp.sum(gradients * (new_xs - xs), axis=(1, 2))  # the vectors differ at the position only
    return LogitChange(after - before, predicted)


def explain_text(
    model: nn.Module, params: ModelParams, tokens: np.ndarray, unknown: int, target: int | None = None
) -> Explanation:
    """Gradients, logits along the text, and the effect of removing each word, for a single text.

    A gradient describes small changes only. A saturated cell can have no gradient at a word and still change its answer
    without it, so every word is also replaced by the unknown word and the text is run again.

    Args:
        model: see the module's docstring.
        params: its parameters.
        tokens: (T,) word ids, at least one.
        unknown: id of the unknown word, which replaces each word in turn.
        target: as in ``word_connectivity``.

    Raises:
        ValueError: as ``word_connectivity``.
    """
    norms, measured, predicted = _without_each_word(model, params, tokens, unknown, target=target)
    along = logits_along(model, params, tokens, target=target)
    return Explanation(*map(np.asarray, (norms, along, measured, predicted)))


@_compiled("(T,)")
def _without_each_word(
    model: nn.Module, params: ModelParams, tokens: Ids, unknown: int, *, target: Target = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Connectivity, and measured and predicted change of the logit without each word: all (T,)."""
    T = len(tokens)
    length = jnp.array([T])
    before, xs, gradients = _with_gradients(model, params, tokens[None], length, target)
    _, unknown_xs = _logits(model, params, jnp.full((1, T), unknown), length, target)

    def logits(rows: jax.Array) -> jax.Array:
        return _logits(model, params, _replaced(tokens[None], rows, unknown), jnp.full_like(rows, T), target)[0]

    after = in_batches(logits, T, T)
    return vector_norms(gradients)[0], after - before, jnp.sum(gradients * (unknown_xs - xs), axis=-1)[0]


def _replaced(tokens: Ids, positions: Ids, new_ids: Ids | int) -> jax.Array:
    """``tokens`` (B, T) with the word at ``positions`` (B,) of each text set to ``new_ids``, (B, 1) or a scalar."""
    return jnp.where(jnp.arange(tokens.shape[1], dtype=jnp.int32)[None] == positions[:, None], new_ids, tokens)


def vector_norms(gradients: jax.Array) -> jax.Array:
    """Norms over the last axis, in float32 at least."""
    return safe_norm(gradients.astype(promoted(gradients.dtype, jnp.float32)))


def _with_gradients(
    model: nn.Module, params: ModelParams, tokens: Ids, lengths: Ids, target: Target
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logits (B,), word vectors (B, T, E), and the gradient of each text's logit with respect to its word vectors."""
    logits, xs = _logits(model, params, tokens, lengths, target)
    gradients = jax.grad(lambda xs: _logits(model, params, tokens, lengths, target, xs)[0].sum())(xs)
    return logits, xs, gradients


def _logits(
    model: nn.Module, params: ModelParams, tokens: Ids, lengths: Ids, target: Target, xs: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Logits (B,) and word vectors (B, T, E); where ``xs`` is given, it replaces the word vectors of the model."""
    vectors = []

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> jax.Array:
        if not (isinstance(context.module, nn.Embed) and context.method_name == "__call__"):
            return call(*args, **kwargs)
        vectors.append(call(*args, **kwargs) if xs is None else xs)
        return vectors[-1]

    with intercept_methods(intercept):
        outputs: PyTree = model.apply({"params": params}, tokens, lengths=lengths)
    if len(vectors) != 1:
        raise ValueError(
            f"{type(model).__name__} looks words up in {len(vectors)} nn.Embed layers; "
            "explaining a text needs a model with exactly one."
        )
    return decision(last_logits(outputs[1], lengths), target), vectors[0]
