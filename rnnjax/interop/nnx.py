"""A layer of rnnjax for ``flax.nnx``; apart from all else, since not every flax has an nnx that fits its jax."""

import math
from importlib.metadata import version
from typing import Any, Literal

import jax
import jax.numpy as jnp

from rnnjax.cells import Cell, DropoutMasks, Params
from rnnjax.recurrence import unroll

try:
    from flax import nnx
except Exception as error:  # flax meets a jax that it does not know with errors of many kinds
    raise ImportError(
        f"flax.nnx of flax {version('flax')} cannot be imported beside jax {version('jax')} "
        f"({type(error).__name__}: {error}); install a flax that fits this jax, or use rnnjax.RNN, the same as a "
        "module of flax.linen."
    ) from error


class NnxRNN(nnx.Module):
    """One layer of ``cell``, as ``rnnjax.RNN`` has it: parameters w_x, w_h, b and, for the GRU, b_h.

        rnn = rnnjax.NnxRNN(rnnjax.LSTM(128), 32, rngs=nnx.Rngs(0))
        final, ys = rnn(xs)

    As a plain dict the parameters are what ``rnnjax.RNN`` keeps under "cell", so weights go from the one to the other.
    ``rnnjax.diagnose`` looks into modules of Flax linen alone.

    Args:
        cell: any cell of ``rnnjax``.
        in_features: D.
        rngs: its stream "params" gives the key for the first parameters.
        reverse: walk from each example's last valid step to its first.
        time_major: sequences, taps and outputs are (T, B, ...) instead of (B, T, ...).
        backward: how gradients are found, see ``rnnjax.unroll``.
        store_every: keep every k-th state for the backward pass only, see ``rnnjax.unroll``.
    """

    def __init__(
        self,
        cell: Cell,
        in_features: int,
        *,
        rngs: nnx.Rngs,
        reverse: bool = False,
        time_major: bool = False,
        backward: Literal["fused", "autodiff"] = "fused",
        store_every: int | None = None,
    ) -> None:
        params = cell.init(rngs.params(), in_features)
        self.cell, self.reverse, self.time_major = cell, reverse, time_major
        self.backward, self.store_every = backward, store_every
        self.w_x, self.w_h, self.b = nnx.Param(params.w_x), nnx.Param(params.w_h), nnx.Param(params.b)
        self.b_h = None if params.b_h is None else nnx.Param(params.b_h)

    @property
    def params(self) -> Params:
        """The parameters as the cell takes them."""
        return Params(self.w_x[...], self.w_h[...], self.b[...], None if self.b_h is None else self.b_h[...])

    def __call__(
        self,
        xs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        state: Any = None,
        taps: Any = None,
        key: jax.Array | None = None,
    ) -> tuple[Any, jax.Array]:
        """Run over ``xs`` (B, T, D).

        Args:
            xs: inputs.
            lengths: (B,) valid steps of each example.
            state: ``cell.State`` of (B, H) to start from; None starts from zeros.
            taps: ``cell.State`` of zeros (B, T, H).
            key: from ``jax.random.key``, to draw the cell's masks of dropout and zoneout from; None as in evaluation.

        Returns:
            The state after each example's last valid step, and outputs h (B, T, H).
        """
        if not self.time_major:
            xs, taps = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), (xs, taps))
        dropout = DropoutMasks(None, None)
        if key is not None:
            steps, *batch_shape, in_features = xs.shape
            rows = jnp.arange(math.prod(batch_shape)).reshape(batch_shape)
            dropout = self.cell.dropout_masks(key, rows, in_features, steps)
        final, states = unroll(
            self.cell, self.params, xs, state, lengths=lengths, reverse=self.reverse, taps=taps, dropout=dropout,
            backward=self.backward, store_every=self.store_every,
        )  # fmt: skip
        return final, states.h if self.time_major else jnp.swapaxes(states.h, 0, 1)

    def initial_state(self, batch: int) -> Any:
        """Zeros to start from, each (B, H)."""
        return self.cell.initial_state((batch,))

    def zero_taps(self, batch: int, steps: int) -> Any:
        """Zeros shaped like the stacked states, (B, T, H) or (T, B, H)."""
        return self.cell.initial_state((steps, batch) if self.time_major else (batch, steps))
