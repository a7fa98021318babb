"""Which words of a text decide: the gradient of the logit at every word, and the logit without a word.

All functions take a Flax model like ``rnnjax.SequenceClassifier``: its words go through one ``nn.Embed``, and
``model(tokens, lengths=lengths)`` returns logits (B, classes) second. "The logit" is that of class 0. They are
compiled once for each model and shape, so texts of different lengths are best padded to one.

Shapes: B texts, T words, E numbers in a word vector.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.argument_checks import check_array, check_integer, check_integers, describe, is_integer

Ids = jax.Array | np.ndarray  # integers
F = TypeVar("F", bound=Callable[..., Any])
BATCH = 128  # texts that run at once at most
BATCH_WORDS = 2**16  # and words, padding included: a long text runs in smaller batches instead of in more memory


class Connectivity(NamedTuple):
    """How strongly the logit hangs on each word; exactly 0 past a text's end."""

    norms: jax.Array  # (B, T) ‖∂logit_b/∂x_t‖₂, x_t being the word vector that enters the recurrent part
    gradients: jax.Array  # (B, T, E) ∂logit_b/∂x_t


class Swaps(NamedTuple):
    """The change of the logit when one word of each text is replaced by another."""

    measured: jax.Array  # (B,) logit after - logit before
    predicted: jax.Array  # (B,) ⟨∂logit/∂x_t, e_new - e_old⟩: what the gradient alone says of it


class Explanation(NamedTuple):
    """What one model makes of one text of T words."""

    connectivity: np.ndarray  # (T,) ‖∂logit/∂x_t‖₂
    logits: np.ndarray  # (T,) the logit if the text ended after each word; the last is the text's own
    measured: np.ndarray  # (T,) change of the text's logit when the word becomes the unknown word
    predicted: np.ndarray  # (T,) the gradient's prediction of that change


@dataclass(frozen=True)
class _Static:
    """A model as a key under which programs are kept; one that holds a list, as ``Stack`` may, has no hash itself."""

    model: nn.Module

    def __hash__(self) -> int:
        return hash(type(self.model))


def _compiled(axes: str) -> Callable[[F], F]:
    """``function(model, params, tokens, *more)`` compiled, for tokens of these axes; equal models share a program."""

    def of(function: F) -> F:
        program = jax.jit(lambda static, *arrays: function(static.model, *arrays), static_argnums=0)

        @wraps(function)
        def call(model: nn.Module, params: Any, tokens: Ids, *more: Any) -> Any:
            _check(model, axes, tokens, *more)
            return program(_Static(model), params, tokens, *more)

        return cast(F, call)

    return of


def _check(model: Any, axes: str, tokens: Any, *more: Any) -> None:
    """Ids, lengths and places that the model and each other can have; values are known before they are compiled."""
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
def word_connectivity(model: nn.Module, params: Any, tokens: Ids, lengths: Ids) -> Connectivity:
    """The gradient of each text's logit with respect to its word vectors, and its norm (Madsen, Distill 2019).

    Args:
        model: see above.
        params: its parameters.
        tokens: (B, T) word ids.
        lengths: (B,) words in each text.

    Raises:
        ValueError: the words of ``model`` do not go through exactly one ``nn.Embed``; or ids, lengths or places of
            another shape or dtype, or such as there are none of.
    """
    _, _, gradients = _with_gradients(model, params, tokens, lengths)
    return Connectivity(_norm(gradients), gradients)


@_compiled("(T,)")
def logits_along(model: nn.Module, params: Any, tokens: Ids) -> jax.Array:
    """The logit if the text ended after each of its words, (T,): every beginning of the text, run on its own.

    Entry t depends on the words up to t alone, whatever the model: padding a text changes nothing before it.

    Args:
        model: see above.
        params: its parameters.
        tokens: (T,) word ids, at least one.

    Raises:
        ValueError: as ``word_connectivity``.
    """
    T = len(tokens)
    return _in_batches(model, params, lambda rows: (jnp.broadcast_to(tokens, (len(rows), T)), 1 + rows), T)


@_compiled("(B, T)")
def swap_words(model: nn.Module, params: Any, tokens: Ids, lengths: Ids, positions: Ids, new_ids: Ids) -> Swaps:
    """Replace the word at ``positions[b]`` of each text by ``new_ids[b]``: the change of its logit, and its forecast.

    Args:
        model: see above.
        params: its parameters.
        tokens: (B, T) word ids.
        lengths: (B,) words in each text; a word at or past the end changes nothing.
        positions: (B,) from 0 to T - 1.
        new_ids: (B,) word ids.

    Raises:
        ValueError: as ``word_connectivity``.
    """
    before, xs, gradients = _with_gradients(model, params, tokens, lengths)
    after, new_xs = _logits(model, params, _replaced(tokens, positions, new_ids[:, None]), lengths)
    return Swaps(after - before, jnp.sum(gradients * (new_xs - xs), axis=(1, 2)))  # vectors differ there alone


def explain_text(model: nn.Module, params: Any, tokens: np.ndarray, unknown: int) -> Explanation:
    """Gradient, logit along the text and what each word does, for one text.

    A gradient speaks of small changes alone. A cell that has latched on to a word can show none at it and still
    change its mind without it, so every word is also taken out and the text run again.

    Args:
        model: see above.
        params: its parameters.
        tokens: (T,) word ids, at least one.
        unknown: id of the unknown word, which replaces each word in turn.

    Raises:
        ValueError: as ``word_connectivity``.
    """
    norms, measured, predicted = _take_out(model, params, tokens, unknown)
    return Explanation(*map(np.asarray, (norms, logits_along(model, params, tokens), measured, predicted)))


@_compiled("(T,)")
def _take_out(model: nn.Module, params: Any, tokens: Ids, unknown: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Connectivity, and measured and predicted change of the logit without each word: all (T,)."""
    T = len(tokens)
    all_of_it = jnp.array([T])
    before, xs, gradients = _with_gradients(model, params, tokens[None], all_of_it)
    _, nothing = _logits(model, params, jnp.full((1, T), unknown), all_of_it)

    after = _in_batches(model, params, lambda rows: (_replaced(tokens[None], rows, unknown), jnp.full_like(rows, T)), T)
    return _norm(gradients)[0], after - before, jnp.sum(gradients * (nothing - xs), axis=-1)[0]


def _in_batches(model: nn.Module, params: Any, texts: Callable[[jax.Array], Any], T: int) -> jax.Array:
    """The logits (T,) of T texts of at most T words; ``texts`` turns rows (N,) into tokens (N, T) and lengths (N,)."""
    batches = -(-T // max(1, min(BATCH, BATCH_WORDS // T)))
    size = -(-T // batches)
    rows = jnp.minimum(jnp.arange(batches * size), T - 1).reshape(batches, size)
    return jax.lax.map(lambda some: _logits(model, params, *texts(some))[0], rows).reshape(-1)[:T]


def _replaced(tokens: Ids, positions: Ids, new_ids: Any) -> jax.Array:
    return jnp.where(jnp.arange(tokens.shape[1])[None] == positions[:, None], new_ids, tokens)


def _norm(gradients: jax.Array) -> jax.Array:
    return jnp.linalg.norm(gradients.astype(jnp.promote_types(gradients.dtype, jnp.float32)), axis=-1)


def _with_gradients(model: nn.Module, params: Any, tokens: Ids, lengths: Ids) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logits (B,), word vectors (B, T, E), and the gradient of each text's logit with respect to its own."""
    logits, xs = _logits(model, params, tokens, lengths)
    gradients = jax.grad(lambda xs: _logits(model, params, tokens, lengths, xs)[0].sum())(xs)
    return logits, xs, gradients


def _logits(
    model: nn.Module, params: Any, tokens: Ids, lengths: Ids, xs: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Logits (B,) and word vectors (B, T, E), which are ``xs`` instead of the model's own where it is given."""
    seen = []

    def through_embed(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if not (isinstance(context.module, nn.Embed) and context.method_name == "__call__"):
            return call(*args, **kwargs)
        seen.append(call(*args, **kwargs) if xs is None else xs)
        return seen[-1]

    with nn.intercept_methods(through_embed):
        outputs: Any = model.apply({"params": params}, tokens, lengths=lengths)
    if len(seen) != 1:
        raise ValueError(
            f"{type(model).__name__} looks words up in {len(seen)} nn.Embed layers; "
            "explaining a text needs a model with exactly one."
        )
    return outputs[1][:, 0], seen[0]
