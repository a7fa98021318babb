"""The flags that say what is built around a cell: plain choices, checked, with no import of jax."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from rnnjax.config.training import require, require_sizes

if TYPE_CHECKING:
    import flax.linen as nn

    from rnnjax.cells import Cell
    from rnnjax.data.dataset import Sizes
    from rnnjax.nn.classifier import SequenceClassifier


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What is built around a cell.

    Attributes:
        layers: recurrent layers on top of each other.
        bidirectional: read every sequence in both directions, each with its own cell.
        pooling: what the dense layer reads of the top layer's outputs: the last one, or the mean, the maximum or an
            attention-weighted mean over all steps.
        layer_norm: normalise what a layer gives to the next, and to the dense layer, over its features.
        dropout: share of what a layer gives to the next, and to the dense layer, that is silenced in training.
    """

    layers: int = 1
    bidirectional: bool = False
    pooling: Literal["last", "mean", "max", "attention"] = "last"
    layer_norm: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require(self, "layers", self.layers >= 1, "at least 1")
        require(self, "dropout", 0 <= self.dropout < 1, "from 0 to below 1")
        require_sizes(self)

    def model(
        self,
        sizes: "Sizes",
        cell: "Cell",
        *,
        embedding: int = 0,
        embedding_scale: float = 1.0,
        word_dropout: float = 0.0,
        every_step: bool = False,
    ) -> "SequenceClassifier":
        """The model around ``cell``.

        Args:
            sizes: what it must fit.
            cell: of every layer and direction.
            embedding: size of a word vector; 0 reads ids as one-hot vectors.
            embedding_scale: standard deviation of the initial word vectors.
            word_dropout: share of the words that are silenced in an example in training.
            every_step: answer at every step instead of once.
        """
        from rnnjax.nn.classifier import SequenceClassifier
        from rnnjax.nn.recurrent import Stack

        layers = [self._layer(cell) for _ in range(self.layers)]
        return SequenceClassifier(
            vocabulary=sizes.vocabulary,
            embedding=embedding,
            recurrent=layers[0] if self.layers == 1 else Stack(tuple(layers), self.dropout, self.layer_norm),
            classes=sizes.outputs,
            embedding_scale=embedding_scale,
            pooling="every" if every_step else self.pooling,
            layer_norm=self.layer_norm,
            dropout=self.dropout,
            word_dropout=word_dropout,
        )

    def _layer(self, cell: "Cell") -> "nn.Module":
        from rnnjax.nn.recurrent import RNN, Bidirectional

        return Bidirectional(RNN(cell), RNN(cell, reverse=True)) if self.bidirectional else RNN(cell)
