"""A layer of rnnjax for ``flax.nnx``, in a module of its own because some versions of flax.nnx fail to import."""

from importlib.metadata import version
from typing import Literal

import jax

from rnnjax.argument_checks import describe
from rnnjax.cells import Cell
from rnnjax.interop.carry import from_flax_carry, output_dtype, to_flax_carry
from rnnjax.nn.recurrent import RNN
from rnnjax.typing import CellState, PyTree, Taps

try:
    from flax import nnx
except Exception as error:  # an incompatible jax causes errors of many types
    raise ImportError(
        f"flax.nnx of flax {version('flax')} cannot be imported with jax {version('jax')} "
        f"({type(error).__name__}: {error}); install a flax that fits this jax, or use rnnjax.RNN, the same layer "
        "for flax.linen."
    ) from error


class NnxRNN(nnx.Module):
    """A layer of ``cell`` like ``rnnjax.RNN``, with its parameters by name: w_x, w_h, b and, for the GRU, b_h.

        rnn = rnnjax.NnxRNN(rnnjax.LSTM(128), 32, rngs=nnx.Rngs(0))
        final, ys = rnn(xs)

    As a dict, the parameters are those of ``rnnjax.RNN`` under "cell", so weights can be moved between the two.
    Outputs have the dtype of parameters and products, while states are float32 at least. It also takes the arguments of
    ``nnx.RNN``, so it can be a layer of ``nnx.Bidirectional``.

    Args:
        cell: any cell of ``rnnjax``.
        in_features: D.
        rngs: its stream "params" provides the key of the initial parameters.
        reverse: read the steps from each example's last valid step to its first.
        time_major: sequences, taps and outputs are (T, B, ...) instead of (B, T, ...).
        backward: how gradients are computed, see ``rnnjax.unroll``.
        store_every: store only every k-th state for the backward pass, see ``rnnjax.unroll``.

    Raises:
        ValueError: ``cell`` is no cell, or ``rngs`` no ``nnx.Rngs``.
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
        self.layer = RNN(cell, reverse=reverse, time_major=time_major, backward=backward, store_every=store_every)
        if not isinstance(rngs, nnx.Rngs):
            raise ValueError(f"rngs must be the result of flax.nnx.Rngs, as nnx.Rngs(0), got {describe(rngs)}")
        self.in_features = in_features
        params = cell.init_dict(rngs.params(), in_features)
        self._names = tuple(params)
        for name, value in params.items():
            setattr(self, name, nnx.data(jax.tree.map(nnx.Param, value)))

    @property
    def params(self) -> PyTree:
        """The parameters as ``cell.init`` gives them."""
        return self.layer.cell.params_from_dict(self._param_dict(), self.in_features)

    def _param_dict(self) -> dict[str, PyTree]:
        def is_param(node: object) -> bool:
            return isinstance(node, nnx.Variable)

        return {name: jax.tree.map(lambda p: p[...], getattr(self, name), is_leaf=is_param) for name in self._names}

    def __call__(
        self,
        xs: jax.Array,
        *,
        lengths: jax.Array | None = None,
        state: CellState | None = None,
        taps: CellState | None = None,
        key: jax.Array | None = None,
        initial_carry: PyTree = None,
        seq_lengths: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        rngs: PyTree = None,
    ) -> PyTree:
        """As ``RNN``, over ``xs`` (B, T, D); with ``return_carry``, as ``nnx.RNN``.

        Args:
            xs: inputs.
            lengths: (B,) valid steps of each example.
            state: ``cell.State`` of (B, H) to start from; None starts from zeros.
            taps: ``cell.State`` of zeros (B, T, H).
            key: from ``jax.random.key``, for dropout in a training step; None for evaluation.
            initial_carry: ``state`` as Flax's carry: the pair (c, h) of an LSTM, otherwise h.
            seq_lengths: Flax's name of ``lengths``.
            return_carry: give the final state as Flax's carry (True), or outputs alone (False).
            time_major: replaces the layer's own.
            reverse: replaces the layer's own.
            keep_order: True or None; outputs stand at the steps that they belong to, also in reverse.
            rngs: not used; ``nnx.RNN`` draws initial carries from it.

        Returns:
            The final ``cell.State`` and outputs h (B, T, H), or what ``return_carry`` asks for.

        Raises:
            ValueError: as ``RNN``; a state or lengths given twice, or ``keep_order=False``.
        """
        if keep_order is False:
            raise ValueError("keep_order=False is not supported: outputs stand at the steps that they belong to")
        for ours, theirs, values in (
            ("lengths", "seq_lengths", (lengths, seq_lengths)),
            ("state", "initial_carry", (state, initial_carry)),
        ):
            if all(value is not None for value in values):
                raise ValueError(f"{theirs} is another name of {ours}; give one of them")
        layer = self.layer.clone(
            time_major=self.layer.time_major if time_major is None else time_major,
            reverse=self.layer.reverse if reverse is None else reverse,
        )
        if initial_carry is not None:
            batch_shape = xs.shape[1:-1] if layer.time_major else xs.shape[:-2]
            state = from_flax_carry(layer.cell, initial_carry, batch_shape)
        params = self._param_dict()
        result: PyTree = layer.apply(
            {"params": {"cell": params}}, xs, lengths=lengths if seq_lengths is None else seq_lengths, state=state,
            taps=taps, train=key is not None, rngs=None if key is None else {"dropout": key},
        )  # fmt: skip
        final, ys = result[0], result[1].astype(output_dtype(layer.cell))
        if return_carry is None:
            return final, ys
        return (to_flax_carry(layer.cell, final), ys) if return_carry else ys

    def initial_state(self, batch: int) -> CellState:
        """As ``RNN``."""
        return self.layer.initial_state(batch)

    def zero_taps(self, batch: int, steps: int) -> Taps:
        """As ``RNN``."""
        return self.layer.zero_taps(batch, steps)
