"""Flags of the model around a cell, checked, without an import of jax."""

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
    """The model around a cell.

    Attributes:
        layers: recurrent layers on top of each other.
        bidirectional: read every sequence in both directions, each with its own cell.
        pooling: how the top layer's outputs are reduced for the dense layer: the last one, or the mean, the maximum or
            an attention-weighted mean over all steps.
        layer_norm: normalise the output of every layer over its features.
        dropout: fraction of the output of every layer that is set to zero in training.
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
            sizes: number of inputs and outputs of the data set.
            cell: of every layer and direction.
            embedding: size of a word vector; 0 reads ids as one-hot vectors.
            embedding_scale: standard deviation of the initial word vectors.
            word_dropout: fraction of the words of an example that are set to zero in training.
            every_step: one prediction at every step instead of one for the sequence.
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
