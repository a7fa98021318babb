"""Flax (linen) modules around ``rnnjax.unroll``: batch-major, with states as arguments and results, and taps.

All recurrent modules have the same signature, so they nest:

    final, ys = module(xs, lengths=..., state=..., taps=..., train=...)

``final`` and ``state`` have the same structure, so the final state of a part of a stream can be the initial state of
the next part (truncated backpropagation). ``module.zero_taps(batch, steps)`` makes the zeros for ``taps``.

Shapes: B examples, T steps, D inputs, H features of the cell. Batch-major inputs may have several batch axes; steps are
the last axis but one, as in ``flax.linen.RNN``. Time-major, steps are the first axis.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_floats, check_integers, check_rate, describe, per_layer
from rnnjax.cells import Cell, DropoutMasks, ElementwiseCell
from rnnjax.cells.dropout import NO_DROPOUT
from rnnjax.cells.one_hot import OneHot
from rnnjax.core.taps import zero_taps
from rnnjax.core.unroll import unroll_with_outputs
from rnnjax.core.unroll_arguments import check_cell
from rnnjax.nn.cell_params import cell_params
from rnnjax.nn.dropout import drop_by_row, if_training
from rnnjax.nn.layer_marks import LayerInfo, final_where_made, mark_inputs, mark_outputs, marking
from rnnjax.typing import PyTree, States, Taps


class RNN(nn.Module):
    """One layer of ``cell``; its parameters are under "cell": w_x, w_h, b and, for the GRU, b_h.

    Attributes:
        cell: any cell of ``rnnjax``.
        reverse: read the steps from each example's last valid step to its first.
        time_major: sequences, taps and outputs are (T, B, ...) instead of (B, T, ...).
        backward: how gradients are computed, see ``rnnjax.unroll``.
        store_every: store only every k-th state for the backward pass, see ``rnnjax.unroll``.
        backend: "scan", "associative" or "pallas": how the steps are computed, see ``rnnjax.unroll``.
    """

    cell: Cell
    reverse: bool = False
    time_major: bool = False
    backward: Literal["fused", "autodiff"] = "fused"
    store_every: int | None = None
    backend: Literal["scan", "associative", "pallas"] = "scan"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_cell(self.cell)

    @nn.compact
    def __call__(
        self,
        xs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
        state: States | None = None,
        taps: Taps | None = None,
        train: bool = False,
        rows: jax.Array | None = None,
    ) -> tuple[States, jax.Array]:
        """Run over ``xs`` (B, T, D).

        Args:
            xs: inputs, (B, ..., T, D) with several batch axes; lengths, states, rows and outputs have all of them.
            lengths: (B,) valid steps of each example.
            resets: (B, T) bool, true where an episode begins, see ``rnnjax.unroll``.
            state: of arrays (B, H) to start from; None starts from ``cell.initial_state``, zeros.
            taps: zeros (B, T, H) from ``zero_taps``.
            train: draw the cell's dropout and zoneout masks from the "dropout" random stream.
            rows: (B,) index of each example in the whole batch of which ``xs`` is a shard, for dropout; None: 0..B-1.

        Returns:
            The state after each example's last valid step, and outputs (B, T, H).

        Raises:
            ValueError: as ``rnnjax.unroll``, or parameters that do not fit the cell or the inputs.
        """
        if not isinstance(xs, OneHot):
            check_floats("xs", xs, "(T, ..., D)" if self.time_major else "(B, ..., T, D)")
        params = cell_params(self, self.cell, xs.shape[-1])
        batch_axes = len(xs.shape) - 2
        if not self.time_major:
            xs, taps, resets = jax.tree.map(lambda a: jnp.moveaxis(a, batch_axes, 0), (xs, taps, resets))
        # cells that are not elementwise are seen as any other scan, so that they must be one where they are measured
        if marked := marking.value and isinstance(self.cell, ElementwiseCell):
            info = LayerInfo("/".join(self.path) or "rnn", self.cell, self.reverse, self.time_major)
            xs, taps = mark_inputs(info, params, xs, lengths, resets, state, taps, train)
        steps, *batch_shape, in_features = xs.shape

        def scan(dropout: DropoutMasks = NO_DROPOUT) -> tuple[States, jax.Array]:
            final, states, ys = unroll_with_outputs(
                self.cell, params, xs, state, lengths=lengths, resets=resets, reverse=self.reverse, taps=taps,
                dropout=dropout, backward=self.backward, store_every=self.store_every,
                backend="scan" if marking.value else self.backend,
            )  # fmt: skip
            return final_where_made(final, states, lengths, self.reverse) if marking.value and not marked else final, ys

        def scan_with_dropout(key: jax.Array) -> tuple[States, jax.Array]:
            indices = jnp.arange(math.prod(batch_shape)).reshape(batch_shape) if rows is None else rows
            check_integers("rows", indices, tuple(batch_shape), 0)
            return scan(self.cell.dropout_masks(key, indices, in_features, steps))

        final, ys = if_training(self, train, scan_with_dropout, scan) if self.cell.is_random else scan()
        final, ys = mark_outputs(final, ys) if marked else (final, ys)
        return final, ys if self.time_major else jnp.moveaxis(ys, 0, batch_axes)

    def initial_state(self, batch: int) -> States:
        """The state to start from, arrays (B, H)."""
        return self.cell.initial_state((batch,))

    def zero_taps(self, batch: int, steps: int) -> Taps:
        """Zeros shaped like the stacked states, (B, T, H) or (T, B, H)."""
        return zero_taps(self.cell, (steps, batch) if self.time_major else (batch, steps))


class BidirectionalState(NamedTuple):
    """One entry for each direction: its state, or its taps."""

    forward: States | Taps
    backward: States | Taps


class Bidirectional(nn.Module):
    """Two layers that read the same inputs in opposite directions, outputs concatenated (Schuster & Paliwal 1997).

    States and taps are ``BidirectionalState`` pairs. Of ragged lengths, each example is reversed within its length.
    """

    forward_rnn: RNN
    backward_rnn: RNN

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("forward_rnn", "backward_rnn"):
            if not isinstance(layer := getattr(self, name), RNN):
                raise ValueError(f"{name} must be a rnnjax.RNN, got {describe(layer)}")
        if self.forward_rnn.reverse or not self.backward_rnn.reverse:
            raise ValueError("Bidirectional needs forward_rnn with reverse=False and backward_rnn with reverse=True")
        if self.forward_rnn.time_major != self.backward_rnn.time_major:
            raise ValueError("Bidirectional needs time_major=True of both layers or of neither")

    def __call__(
        self,
        xs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
        state: States | None = None,
        taps: Taps | None = None,
        train: bool = False,
        rows: jax.Array | None = None,
    ) -> tuple[States, jax.Array]:
        """As ``RNN``; outputs (B, T, H_forward + H_backward)."""
        state, taps = _both_directions("state", state), _both_directions("taps", taps)
        common: dict[str, Any] = {"lengths": lengths, "resets": resets, "train": train, "rows": rows}
        final_f, ys_f = self.forward_rnn(xs, state=state.forward, taps=taps.forward, **common)
        final_b, ys_b = self.backward_rnn(xs, state=state.backward, taps=taps.backward, **common)
        return BidirectionalState(final_f, final_b), jnp.concatenate([ys_f, ys_b], axis=-1)

    def initial_state(self, batch: int) -> States:
        """The pair of the two directions' states."""
        return BidirectionalState(self.forward_rnn.initial_state(batch), self.backward_rnn.initial_state(batch))

    def zero_taps(self, batch: int, steps: int) -> Taps:
        """The pair of the two directions' taps."""
        return BidirectionalState(self.forward_rnn.zero_taps(batch, steps), self.backward_rnn.zero_taps(batch, steps))


def _both_directions(name: str, pair: PyTree) -> BidirectionalState:
    """``pair``, or a pair of None where it is None; anything else raises ValueError."""
    if pair is None:
        return BidirectionalState(None, None)
    if not isinstance(pair, BidirectionalState):
        raise ValueError(f"{name} must be a BidirectionalState, one entry for each direction, got {describe(pair)}")
    return pair


class Stack(nn.Module):
    """Layers stacked on each other; states and taps are tuples, bottom layer first.

    Attributes:
        layers: bottom first.
        dropout: rate of dropout between two layers.
        layer_norm: normalise the outputs between two layers over features (Ba, Kiros & Hinton 2016), before dropout.
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
            raise ValueError("Stack needs time_major=True of all layers or of none")

    @nn.compact
    def __call__(
        self,
        xs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        resets: jax.Array | None = None,
        state: States | None = None,
        taps: Taps | None = None,
        train: bool = False,
        rows: jax.Array | None = None,
    ) -> tuple[States, jax.Array]:
        """As ``RNN``; outputs of the top layer."""
        count = len(self.layers)
        states, layer_taps = per_layer("state", state, count), per_layer("taps", taps, count)
        finals: list[States] = []
        for i, (layer, s, t) in enumerate(zip(self.layers, states, layer_taps, strict=True)):
            if i > 0:
                xs = nn.LayerNorm()(xs) if self.layer_norm else xs
                xs = self._drop(xs, rows, train) if self.dropout else xs
            final, xs = layer(xs, lengths=lengths, resets=resets, state=s, taps=t, train=train, rows=rows)
            finals.append(final)
        return tuple(finals), xs

    def _drop(self, xs: jax.Array, rows: jax.Array | None, train: bool) -> PyTree:
        batch_axis = 1 if is_time_major(self) else 0
        return if_training(self, train, lambda key: drop_by_row(key, self.dropout, xs, rows, batch_axis), lambda: xs)

    def initial_state(self, batch: int) -> States:
        """The tuple of the layers' states."""
        return tuple(layer.initial_state(batch) for layer in self.layers)

    def zero_taps(self, batch: int, steps: int) -> Taps:
        """The tuple of the layers' taps."""
        return tuple(layer.zero_taps(batch, steps) for layer in self.layers)


def is_time_major(module: object) -> bool:
    """Whether any layer in ``module`` is time-major."""
    if isinstance(module, Bidirectional):
        return is_time_major(module.forward_rnn) or is_time_major(module.backward_rnn)
    return any(map(is_time_major, module.layers)) if isinstance(module, Stack) else getattr(module, "time_major", False)
