"""A sequence classifier as a Flax (linen) module: embedding → any recurrent module → dense layer."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.argument_checks import (
    check_array,
    check_finite,
    check_floats,
    check_integer,
    check_integers,
    check_no_mask,
    check_rate,
    describe,
)
from rnnjax.nn.dropout import drop_by_row, if_training
from rnnjax.nn.embedding import Embed
from rnnjax.nn.pooling import POOLINGS, Pooling, pooled
from rnnjax.nn.recurrent import Bidirectional, Stack, is_time_major
from rnnjax.typing import States, Taps


class SequenceClassifier(nn.Module):
    """Embedding(vocabulary, E) → recurrent → Dense(classes), by default on the output after the last valid step.

    Attributes:
        vocabulary: number of token ids; 0 where inputs are numbers, which the recurrent part reads directly.
        embedding: E; 0 turns ids into one-hot vectors.
        recurrent: ``RNN``, ``Bidirectional`` or ``Stack``, batch-major.
        classes: logits per example; 1 stands for a binary label under a sigmoid, or for a number.
        embedding_scale: standard deviation of the initial word vectors, the size of the cell's inputs.
        pooling: which outputs the dense layer reads, see ``rnnjax.nn.pooling``; "every" gives logits at every step.
        layer_norm: normalise the inputs of the dense layer over their features.
        dropout: rate of dropout of the inputs of the dense layer.
        word_dropout: share of the words that are dropped from an example, see ``drop_words``.
        reset_words: ids with which an episode inside of a sequence begins, such as the first symbol of each document in
            a packed batch: the recurrent part starts there from its initial state.
    """

    vocabulary: int
    embedding: int
    recurrent: nn.Module
    classes: int = 1
    embedding_scale: float = 0.1
    pooling: Pooling | Literal["every"] = "last"
    layer_norm: bool = False
    dropout: float = 0.0
    word_dropout: float = 0.0
    reset_words: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("vocabulary", 0), ("embedding", 0), ("classes", 1)):
            check_integer(name, getattr(self, name), least)
        for name in ("dropout", "word_dropout"):
            check_rate(name, getattr(self, name))
        check_finite("embedding_scale", self.embedding_scale)
        if self.pooling not in (*POOLINGS, "every"):
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)} or every, got {self.pooling!r}")
        if not isinstance(self.recurrent, nn.Module):
            raise ValueError(f"recurrent must be a module such as rnnjax.RNN(cell), got {describe(self.recurrent)}")
        if is_time_major(self.recurrent):
            raise ValueError("SequenceClassifier is batch-major: its recurrent part must not have time_major=True")
        if self.word_dropout and not self.vocabulary:
            raise ValueError(f"word_dropout is {self.word_dropout}, but it needs a vocabulary, which is 0")
        object.__setattr__(self, "reset_words", tuple(self.reset_words))  # of a list, too, as Flax needs it
        for word in self.reset_words:
            check_integer("each of reset_words", word, 0, self.vocabulary - 1)

    @nn.compact
    def __call__(
        self,
        inputs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        state: States | None = None,
        taps: Taps | None = None,
        train: bool = False,
        rows: jax.Array | None = None,
    ) -> tuple[States, jax.Array]:
        """Classify ``inputs``, (B, T) integers or (B, T, D) numbers; other arguments as ``RNN``.

        Returns:
            The final state of the recurrent part, and logits (B, classes), or (B, T, classes) of every step.

        Raises:
            ValueError: as ``RNN``; or numbers in place of ids or the reverse, or ids outside the vocabulary
                (values are checked where they are not traced).
        """
        self._check(inputs, lengths)
        xs = self._vectors(inputs, lengths) if self.vocabulary else inputs
        if self.word_dropout:
            vectors = xs
            xs = if_training(
                self, train, lambda key: drop_words(key, self.word_dropout, inputs, vectors, rows), lambda: vectors
            )
        options = {"resets": self.resets(inputs)} if self.reset_words else {}
        final, ys = self.recurrent(xs, lengths=lengths, state=state, taps=taps, train=train, rows=rows, **options)
        read = ys if self.pooling == "every" else pooled(self.pooling, final, ys, lengths, self.recurrent)
        if self.layer_norm:
            read = nn.LayerNorm()(read)
        if self.dropout:
            answer = read
            read = if_training(self, train, lambda key: drop_by_row(key, self.dropout, answer, rows), lambda: answer)
        return final, nn.Dense(self.classes)(read)

    def resets(self, inputs: jax.Array) -> jax.Array:
        """The steps (B, T) at which the recurrent part starts from its initial state: those of ``reset_words``."""
        return jnp.isin(inputs, jnp.array(self.reset_words))

    def _check(self, inputs: Any, lengths: Any) -> None:
        """Raise ValueError for inputs or lengths that the model cannot read."""
        if not self.vocabulary:
            check_floats("inputs", inputs, "(B, T, D)")
        else:
            check_array("inputs", inputs, "(B, T)")
            check_integers("inputs", inputs, inputs.shape, 0, self.vocabulary - 1)
        if lengths is not None:
            check_no_mask(lengths)
            check_integers("lengths", lengths, inputs.shape[:1], 0, inputs.shape[1])

    def _vectors(self, tokens: jax.Array, lengths: jax.Array | None) -> jax.Array:
        """Word vectors (B, T, E) of ``tokens`` (B, T)."""
        if not self.embedding:
            return jax.nn.one_hot(tokens, self.vocabulary)
        embedding_init = nn.initializers.normal(self.embedding_scale)
        return Embed(self.vocabulary, self.embedding, embedding_init=embedding_init)(tokens, lengths)

    @property
    def last_step_only(self) -> bool:
        """Whether the loss reads the sequence at its last step alone, so that the gradient by lag decays from there.

        It does not with pooling over steps or an output at every step, nor where a layer reads backwards, whose last
        step is the first of the sequence.
        """
        return self.pooling == "last" and not _reads_backwards(self.recurrent)

    def initial_state(self, batch: int) -> States:
        """The recurrent part's state before the first step."""
        return self.recurrent.initial_state(batch)

    def zero_taps(self, batch: int, steps: int) -> Taps:
        """The recurrent part's taps."""
        return self.recurrent.zero_taps(batch, steps)


def drop_words(
    key: jax.Array, rate: float, words: jax.Array, xs: jax.Array, rows: jax.Array | None = None
) -> jax.Array:
    """Word dropout: set the vectors ``xs`` (B, T, E) of random ``words`` (B, T) to 0, at every position of the word.

    Gal & Ghahramani (2016), section 4.2: a mask over the rows of the embedding matrix, drawn for each example. Vectors
    that are kept are scaled by 1/(1 - rate). A mask depends only on ``key`` and the example's entry of ``rows``; None
    stands for 0..B-1.
    """
    rows = jnp.arange(len(words)) if rows is None else rows

    def kept(row: jax.Array, word: jax.Array) -> jax.Array:
        return jax.random.bernoulli(jax.random.fold_in(jax.random.fold_in(key, row), word), 1.0 - rate)

    mask = jax.vmap(jax.vmap(kept, (None, 0)))(rows, words)
    return jnp.where(mask[..., None], xs / (1.0 - rate), 0)


def _reads_backwards(module: object) -> bool:
    """Whether any layer in ``module`` reads its sequence from the end."""
    if isinstance(module, Stack):
        return any(map(_reads_backwards, module.layers))
    return isinstance(module, Bidirectional) or getattr(module, "reverse", False)
