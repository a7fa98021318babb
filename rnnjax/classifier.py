"""The tutorial's model as a Flax (linen) module: word vectors → any recurrent module → one dense layer."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.modules import BidirectionalState, is_time_major


class SequenceClassifier(nn.Module):
    """Embedding(vocabulary, E) → recurrent → Dense(classes) on the output after each example's last valid step.

    Attributes:
        vocabulary: number of token ids.
        embedding: E.
        recurrent: ``RNN``, ``Bidirectional`` or ``Stack``, batch-major.
        classes: logits per example; 1 stands for a binary label under a sigmoid.
        embedding_scale: standard deviation of the initial word vectors: how loudly a word speaks to the cell.
    """

    vocabulary: int
    embedding: int
    recurrent: nn.Module
    classes: int = 1
    embedding_scale: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_time_major(self.recurrent):
            raise ValueError("SequenceClassifier is batch-major: its recurrent part must not have time_major=True")

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        *,
        lengths: jax.Array | None = None,
        state: Any = None,
        taps: Any = None,
        train: bool = False,
        rows: jax.Array | None = None,
    ) -> tuple[Any, jax.Array]:
        """Classify ``tokens`` (B, T), integers; other arguments as ``RNN``.

        Returns:
            The final state of the recurrent part, and logits (B, classes).
        """
        xs = nn.Embed(self.vocabulary, self.embedding, embedding_init=nn.initializers.normal(self.embedding_scale))(
            tokens
        )
        final, _ = self.recurrent(xs, lengths=lengths, state=state, taps=taps, train=train, rows=rows)
        return final, nn.Dense(self.classes)(final_output(final))

    def zero_taps(self, batch: int, steps: int) -> Any:
        """The recurrent part's taps."""
        return self.recurrent.zero_taps(batch, steps)


def final_output(final: Any) -> jax.Array:
    """The outputs after the last valid step, of the top layer, directions side by side: (B, features)."""
    if isinstance(final, BidirectionalState):
        return jnp.concatenate([final_output(final.forward), final_output(final.backward)], axis=-1)
    return final.h if hasattr(final, "h") else final_output(final[-1])
