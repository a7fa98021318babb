"""A model that resets its state some steps too early or too late, to show what that fault does."""

import jax
import jax.numpy as jnp

from rnnjax.nn.classifier import SequenceClassifier


class ShiftedResets(SequenceClassifier):
    """``SequenceClassifier`` whose resets come ``shift`` steps after the beginning of an episode, negative for before.

    Attributes:
        shift: number of steps.
    """

    shift: int = 0

    def resets(self, inputs: jax.Array) -> jax.Array:
        """The steps (B, T) of ``reset_words``, moved; those that are moved out of the sequence are left out."""
        steps = inputs.shape[1]
        source = jnp.arange(steps) - self.shift
        moved = super().resets(inputs)[:, jnp.clip(source, 0, steps - 1)]
        return moved & ((source >= 0) & (source < steps))[None]
