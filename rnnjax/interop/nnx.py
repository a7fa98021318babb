"""A layer of rnnjax for ``flax.nnx``; apart from all else, since not every flax has an nnx that fits its jax."""

from importlib.metadata import version
from typing import Any, Literal

import jax

from rnnjax.cells import Cell, Params
from rnnjax.nn.recurrent import RNN

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
        self.layer = RNN(cell, reverse=reverse, time_major=time_major, backward=backward, store_every=store_every)
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
        """As ``RNN``, over ``xs`` (B, T, D).

        Args:
            xs: inputs.
            lengths: (B,) valid steps of each example.
            state: ``cell.State`` of (B, H) to start from; None starts from zeros.
            taps: ``cell.State`` of zeros (B, T, H).
            key: from ``jax.random.key``, the stream "dropout" of a training step; None as in evaluation.
        """
        held = {name: value for name, value in self.params._asdict().items() if value is not None}
        result: Any = self.layer.apply(
            {"params": {"cell": held}}, xs, lengths=lengths, state=state, taps=taps, train=key is not None,
            rngs=None if key is None else {"dropout": key},
        )  # fmt: skip
        return result

    def initial_state(self, batch: int) -> Any:
        """As ``RNN``."""
        return self.layer.initial_state(batch)

    def zero_taps(self, batch: int, steps: int) -> Any:
        """As ``RNN``."""
        return self.layer.zero_taps(batch, steps)
