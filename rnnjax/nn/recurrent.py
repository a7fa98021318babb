"""Flax (linen) modules around ``rnnjax.unroll``: batch-major, carried state in and out, taps for every layer.

Every recurrent module is called alike and returns alike, so they nest:

    final, ys = module(xs, lengths=..., state=..., taps=..., train=...)

``final`` and ``state`` have the same structure, so the one can be given back as the other for truncated
backpropagation over a stream. ``module.zero_taps(batch, steps)`` makes the zeros to differentiate with respect to.

Shapes: B examples, T steps, D inputs, H features of the cell.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_floats, check_integers, check_rate, describe, per_layer
from rnnjax.cells import Cell, DropoutMasks, Params
from rnnjax.cells.validation import check_held
from rnnjax.core.unroll import check_cell, unroll


class RNN(nn.Module):
    """One layer of ``cell``; its parameters, under "cell", are w_x, w_h, b and, for the GRU, b_h.

    Attributes:
        cell: any cell of ``rnnjax``.
        reverse: walk from each example's last valid step to its first.
        time_major: sequences, taps and outputs are (T, B, ...) instead of (B, T, ...).
        backward: how gradients are found, see ``rnnjax.unroll``.
        store_every: keep every k-th state for the backward pass only, see ``rnnjax.unroll``.
    """

    cell: Cell
    reverse: bool = False
    time_major: bool = False
    backward: Literal["fused", "autodiff"] = "fused"
    store_every: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell)

    @nn.compact
    def __call__(
        self,
        xs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        state: Any = None,
        taps: Any = None,
        train: bool = False,
        rows: jax.Array | None = None,
    ) -> tuple[Any, jax.Array]:
        """Run over ``xs`` (B, T, D).

        Args:
            xs: inputs.
            lengths: (B,) valid steps of each example.
            state: ``cell.State`` of (B, H) to start from; None starts from zeros.
            taps: ``cell.State`` of zeros (B, T, H).
            train: draw the cell's masks of dropout and zoneout from the "dropout" stream.
            rows: (B,) which example of the whole batch each is, where these are a part of one; for dropout alone.
                None counts 0..B-1.

        Returns:
            The state after each example's last valid step, and outputs h (B, T, H).

        Raises:
            ValueError: as ``rnnjax.unroll``, or parameters that do not belong to the cell and the inputs.
        """
        check_floats("xs", xs, "(T, ..., D)" if self.time_major else "(B, T, ..., D)")
        if self.has_variable("params", "cell"):
            check_held(self.cell, self.get_variable("params", "cell"), xs.shape[-1])
        params = Params(**self.param("cell", self.cell.init_dict, xs.shape[-1]))
        if not self.time_major:
            xs, taps = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), (xs, taps))
        dropout = DropoutMasks(None, None)
        if train and (self.cell.input_dropout or self.cell.recurrent_dropout or self.cell.zoneout):
            steps, *batch_shape, in_features = xs.shape
            rows = jnp.arange(math.prod(batch_shape)).reshape(batch_shape) if rows is None else rows
            check_integers("rows", rows, tuple(batch_shape), 0)
            dropout = self.cell.dropout_masks(self.make_rng("dropout"), rows, in_features, steps)
        final, states = unroll(
            self.cell, params, xs, state, lengths=lengths, reverse=self.reverse, taps=taps, dropout=dropout,
            backward=self.backward, store_every=self.store_every,
        )  # fmt: skip
        ys = states.h
        return final, ys if self.time_major else jnp.swapaxes(ys, 0, 1)

    def initial_state(self, batch: int) -> Any:
        """Zeros to start from, each (B, H)."""
        return self.cell.initial_state((batch,))

    def zero_taps(self, batch: int, steps: int) -> Any:
        """Zeros shaped like the stacked states, (B, T, H) or (T, B, H)."""
        return self.cell.initial_state((steps, batch) if self.time_major else (batch, steps))


class BidirectionalState(NamedTuple):
    """One entry for each direction: their states, or their taps."""

    forward: Any
    backward: Any


class Bidirectional(nn.Module):
    """Two layers over the same inputs, one in each direction, outputs side by side (Schuster & Paliwal 1997).

    States and taps are ``BidirectionalState`` pairs. Under ragged lengths each example keeps its own order.
    """

    forward_rnn: RNN
    backward_rnn: RNN

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("forward_rnn", "backward_rnn"):
            if not isinstance(layer := getattr(self, name), RNN):
                raise ValueError(f"{name} must be a rnnjax.RNN, got {describe(layer)}")
        if self.forward_rnn.reverse or not self.backward_rnn.reverse:
            raise ValueError("Bidirectional wants forward_rnn with reverse=False and backward_rnn with reverse=True")
        if self.forward_rnn.time_major != self.backward_rnn.time_major:
            raise ValueError("Bidirectional wants both layers with time_major=True, or none")

    def __call__(
        self,
        xs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        state: Any = None,
        taps: Any = None,
        train: bool = False,
        rows: jax.Array | None = None,
    ) -> tuple[Any, jax.Array]:
        """As ``RNN``; outputs (B, T, H_forward + H_backward)."""
        state, taps = _of_both("state", state), _of_both("taps", taps)
        same: dict[str, Any] = {"lengths": lengths, "train": train, "rows": rows}
        final_f, ys_f = self.forward_rnn(xs, state=state.forward, taps=taps.forward, **same)
        final_b, ys_b = self.backward_rnn(xs, state=state.backward, taps=taps.backward, **same)
        return BidirectionalState(final_f, final_b), jnp.concatenate([ys_f, ys_b], axis=-1)

    def initial_state(self, batch: int) -> Any:
        """The pair of the two directions' states."""
        return BidirectionalState(self.forward_rnn.initial_state(batch), self.backward_rnn.initial_state(batch))

    def zero_taps(self, batch: int, steps: int) -> Any:
        """The pair of the two directions' taps."""
        return BidirectionalState(self.forward_rnn.zero_taps(batch, steps), self.backward_rnn.zero_taps(batch, steps))


def _of_both(name: str, pair: Any) -> BidirectionalState:
    """``pair``, or None for each direction where there is none."""
    if pair is None:
        return BidirectionalState(None, None)
    if not isinstance(pair, BidirectionalState):
        raise ValueError(f"{name} must be a BidirectionalState, one entry for each direction, got {describe(pair)}")
    return pair


class Stack(nn.Module):
    """Layers on top of each other; states and taps are tuples, bottom layer first.

    Attributes:
        layers: bottom first.
        dropout: share of the numbers that are silenced between two layers.
        layer_norm: normalise what a layer gives to the next over its features (Ba, Kiros & Hinton 2016), before
            dropout; the recurrence inside a layer is left alone.
    """

    layers: Sequence[nn.Module]
    dropout: float = 0.0
    layer_norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        modules = self.layers if isinstance(self.layers, tuple | list) else ()
        if not modules or not all(isinstance(layer, nn.Module) for layer in modules):
            raise ValueError(f"layers must be a tuple of modules such as rnnjax.RNN(cell), got {self.layers!r}")
        check_rate("dropout", self.dropout)
        if len({is_time_major(layer) for layer in self.layers if isinstance(layer, RNN | Bidirectional | Stack)}) > 1:
            raise ValueError("Stack wants all layers with time_major=True, or none")

    @nn.compact
    def __call__(
        self,
        xs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        state: Any = None,
        taps: Any = None,
        train: bool = False,
        rows: jax.Array | None = None,
    ) -> tuple[Any, jax.Array]:
        """As ``RNN``; outputs of the top layer."""
        count = len(self.layers)
        states, all_taps = per_layer("state", state, count), per_layer("taps", taps, count)
        finals: list[Any] = []
        for i, (layer, s, t) in enumerate(zip(self.layers, states, all_taps, strict=True)):
            if i > 0:
                xs = nn.LayerNorm()(xs) if self.layer_norm else xs
                xs = self._drop(xs, rows) if train and self.dropout else xs
            final, xs = layer(xs, lengths=lengths, state=s, taps=t, train=train, rows=rows)
            finals.append(final)
        return tuple(finals), xs

    def _drop(self, xs: jax.Array, rows: jax.Array | None) -> jax.Array:
        return drop_by_row(self.make_rng("dropout"), self.dropout, xs, rows, 1 if is_time_major(self) else 0)

    def initial_state(self, batch: int) -> Any:
        """The tuple of the layers' states."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def zero_taps(self, batch: int, steps: int) -> Any:
        """The tuple of the layers' taps."""
        return tuple(layer.zero_taps(batch, steps) for layer in self.layers)


def drop_by_row(key: jax.Array, rate: float, xs: jax.Array, rows: jax.Array | None, batch_axis: int = 0) -> jax.Array:
    """Dropout of ``xs`` in which each example's mask depends on ``key`` and its row alone; None counts the rows."""
    rows = jnp.arange(xs.shape[batch_axis]) if rows is None else rows
    dropout = nn.Dropout(rate, deterministic=False, parent=None)

    def drop_one(row: jax.Array, x: jax.Array) -> Any:
        return dropout.apply({}, x, rng=jax.random.fold_in(key, row))

    return jax.vmap(drop_one, (0, batch_axis), batch_axis)(rows, xs)


def is_time_major(module: Any) -> bool:
    """Whether any layer in ``module`` is time-major."""
    if isinstance(module, Stack):
        return any(map(is_time_major, module.layers))
    if isinstance(module, Bidirectional):
        return is_time_major(module.forward_rnn) or is_time_major(module.backward_rnn)
    return getattr(module, "time_major", False)
