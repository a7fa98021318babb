"""Elementwise cells: functions of z^x, z^h and the memory; the matrix products are outside of them.

    z^x_t = x_t W_x + b [+ noise_t]           (..., G·H)   G gates, H units, packed
    z^h_t = h_{t-1} W_h [+ b_h]               (..., G·H)   0 for a cell without W_h
    m_t   = update (z^x_t, z^h_t, m_{t-1})    (..., H)     the memory
    h_t   = readout(z^x_t, z^h_t, m_t)        (..., H)     the output

A cell defines ``gates``, ``State``, ``update`` and, where its output is not its memory, ``readout``. Further parameters
of each unit (H,), such as the peepholes of an LSTM, are a named tuple that the two take as their last argument.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_integer, check_key, check_rate
from rnnjax.cells.base import Cell
from rnnjax.cells.dropout import NO_DROPOUT, DropoutMasks, draw_masks
from rnnjax.cells.initializers import Glorot, Initializer, Orthogonal, check_initializer, packed_kernel
from rnnjax.cells.params import Params
from rnnjax.cells.validation import check_step
from rnnjax.typing import CellState, PyTree


@dataclasses.dataclass(frozen=True)
class ElementwiseCell(Cell):
    """A recurrent cell of ``features`` units whose step is elementwise over units, but for the products with W_x, W_h.

    Attributes:
        kernel_init: of each gate's input kernel (D, H).
        recurrent_init: of each gate's recurrent kernel (H, H).
        input_dropout: rate of dropout of the components of x, with the same mask at every step of a sequence.
        recurrent_dropout: the same for h_{t-1}, before W_h; the memory itself is never dropped.
        zoneout: share of the units whose memory a step leaves unchanged, see ``remember``; part of the belt.
        param_dtype: of the parameters.
        dtype: of the matrix products; None stands for ``param_dtype``. Products are accumulated, and states and gates
            stored, in float32 at least, so bfloat16 halves the memory traffic without rounding the memory.
    """

    _: dataclasses.KW_ONLY
    kernel_init: Initializer = Glorot()
    recurrent_init: Initializer = Orthogonal()
    input_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0

    gates: ClassVar[tuple[str, ...]]
    State: ClassVar[Any]  # a named tuple whose first field is h and whose last is the memory
    additive: ClassVar[bool] = False  # whether the cell depends on z^x and z^h only through their sum
    recurrent_kernel: ClassVar[bool] = True  # whether there is a W_h; only an additive cell can be without
    init_options: ClassVar[tuple[str, ...]] = ("kernel_init", "recurrent_init")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input_dropout", "recurrent_dropout", "zoneout"):
            check_rate(name, getattr(self, name))
        for name in ("kernel_init", "recurrent_init"):
            check_initializer(name, getattr(self, name))
        if not self.recurrent_kernel and self.recurrent_dropout:
            raise ValueError(f"{type(self).__name__} has no recurrent kernel, so recurrent_dropout must be 0")
        if not self.recurrent_kernel and self.recurrent_init != Orthogonal():
            raise ValueError(f"{type(self).__name__} has no recurrent kernel, so leave out recurrent_init")

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """m_t (..., H) from packed z^x_t, z^h_t (..., G·H) and m_{t-1} (..., H); elementwise over units.

        ``own`` is ``Params.own``; a cell that has no such parameters may leave the argument out.
        """
        raise NotImplementedError

    def remember(
        self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None, *, hold: jax.Array | None = None
    ) -> jax.Array:
        """m_t (..., H) under zoneout (Krueger et al. 2017) at rate ζ, from the arguments of ``update``:

            m_t = d_t·m_{t-1} + (1 - d_t)·update(z^x_t, z^h_t, m_{t-1})     d_t ~ Bernoulli(ζ) for each unit

        with d_t = ``hold`` (..., H) in training; where it is None, its mean ζ. The belt is ζ + (1 - ζ)·∂update/∂m.
        In the LSTM m is c, and h_t is read out of the c_t above. The paper's second rate, which also keeps the LSTM's
        h_{t-1}, is not implemented: h_t would depend on h_{t-1} other than through W_h.
        """
        return self.zone_out(self.update(z_x, z_h, m, *_given(own)), m, hold)

    def zone_out(self, m_t: jax.Array, m: jax.Array, hold: jax.Array | None) -> jax.Array:
        """The memory after zoneout, from the updated memory ``m_t`` and the previous memory ``m``, see ``remember``."""
        if hold is not None:
            return jnp.where(hold, m, m_t)
        return m_t if self.zoneout == 0.0 else self.zoneout * m + (1.0 - self.zoneout) * m_t

    def readout(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array:
        """h_t (..., H) from packed z^x_t, z^h_t and m_t; by default the memory itself."""
        return m

    def advance(
        self,
        z_x: jax.Array,
        z_h: jax.Array,
        m: jax.Array,
        own: PyTree = None,
        *,
        hold: jax.Array | None = None,
        tap: CellState | None = None,
    ) -> CellState:
        """The new ``State`` from the arguments of ``remember``; the scan calls and differentiates it at every step.

        ``tap`` is added to the new state: to the memory before it is read out, and to a separate h after. A cell may
        override this method to compute what ``update`` and ``readout`` share only once.
        """
        m_t = self.remember(z_x, z_h, m, own, hold=hold)
        if tap is not None:
            m_t = m_t + tap[-1]
        if not self.has_separate_memory:
            return self.State(m_t)
        h_t = self.readout(z_x, z_h, m_t, *_given(own))
        return self.State(h_t if tap is None else h_t + tap[0], m_t)

    def gate_values(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, own: PyTree = None) -> jax.Array | None:
        """Values of the gates, packed (..., G·H), from the arguments of ``update``; None where a cell defines none.

        For diagnostics. The fused scan also computes them on a CPU, where XLA then compiles faster code.
        """
        return None

    def init_bias(self, key: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """Biases b (G·H,) and b_h (G·H,) or None."""
        return jnp.zeros(len(self.gates) * self.features, self.param_dtype), None

    def init_own(self, key: jax.Array) -> PyTree:
        """Further parameters, a named tuple of arrays (H,); None where there are none."""
        return None

    def init(self, key: jax.Array, in_features: int) -> Params:
        """Parameters for inputs of ``in_features`` = D components; ``key`` from ``jax.random.key``.

        Raises:
            ValueError: ``key`` is not a key, or ``in_features`` not a positive integer.
        """
        check_key(key)
        check_integer("in_features", in_features, 1)
        key_x, key_h, key_b = jax.random.split(key, 3)

        def kernel(init: Initializer, key: jax.Array, rows: int) -> jax.Array:
            return packed_kernel(init, key, (rows, self.features), len(self.gates), self.param_dtype)

        w_x = kernel(self.kernel_init, key_x, in_features)
        w_h = kernel(self.recurrent_init, key_h, self.features) if self.recurrent_kernel else None
        return Params(w_x, w_h, *self.init_bias(key_b), self.init_own(jax.random.fold_in(key_b, 1)))

    @property
    def has_separate_memory(self) -> bool:
        """Whether memory and output are two states (LSTM) or one (SimpleRNN, GRU)."""
        return len(self.State._fields) > 1

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> CellState:
        """Zeros: a ``State`` of arrays (*batch_shape, H)."""
        zeros = jnp.zeros((*batch_shape, self.features), self.state_dtype)
        return self.State(*[zeros for _ in self.State._fields])

    def make_state(self, h: Any, m: Any) -> CellState:
        """``State`` of output ``h`` and memory ``m``; of the memory alone where they are the same state."""
        return self.State(h, m) if self.has_separate_memory else self.State(m)

    @property
    def is_random(self) -> bool:
        """Whether a training pass draws random numbers: dropout, zoneout or noise."""
        return bool(self.input_dropout or self.recurrent_dropout or self.zoneout) or super().is_random

    def dropout_masks(self, key: jax.Array, rows: jax.Array, in_features: int, steps: int) -> DropoutMasks:
        """Random masks for sequences of ``steps`` = T steps of ``in_features`` = D components.

        Args:
            key: from ``jax.random.key``.
            rows: (...) integers, the index of each example in the whole batch. Its masks depend only on ``key`` and
                this index, so they are the same however the batch is sharded.
            in_features: D.
            steps: T.

        Returns:
            Masks (..., D) of x, (..., H) of h and (T, ..., H) of zoneout, None where the rate is 0, and ``noise``.
        """
        return draw_masks(
            key, rows, x=(self.input_dropout, in_features), h=(self.recurrent_dropout, self.features),
            hold=(self.zoneout, (steps, self.features)), noise=lambda key: self.noise(key, steps),
            dtype=self.state_dtype,
        )  # fmt: skip

    def step(
        self,
        params: Params,
        state: CellState,
        x_t: jax.Array,
        *,
        dropout: DropoutMasks = NO_DROPOUT,
        tap: CellState | None = None,
    ) -> tuple[CellState, jax.Array]:
        """One step: the definition against which faster implementations are tested.

        Args:
            params: from ``init``.
            state: h, and c for the LSTM, each (..., H).
            x_t: (..., D), any leading batch shape or none.
            dropout: masks to apply, from ``dropout_masks``, with ``hold`` (..., H) and ``noise`` of this step.
            tap: added to the new state, to the memory before it is read out and to a separate h after; the gradient
                with respect to it is the total gradient of the state.

        Returns:
            The new state, and its output h_t (..., H).

        Raises:
            ValueError: parameters, state and inputs that do not fit the cell.
        """
        check_step(self, params, state, x_t)
        h, m = state[0], state[-1]
        z_x = self.project_inputs(params, x_t if dropout.x is None else x_t * dropout.x)
        z_x = z_x if dropout.noise is None else z_x + dropout.noise
        z_h = self.project_state(params, h if dropout.h is None else h * dropout.h)
        new = self.advance(z_x, z_h, m, *own_argument(params), hold=dropout.hold, tap=tap)
        return new, new[0]

    def project_inputs(self, params: Params, xs: jax.Array) -> jax.Array:
        """z^x (..., G·H), without noise, of inputs (..., D); or of integers (..., 1), the places of a ``OneHot``."""
        if not jnp.issubdtype(xs.dtype, jnp.integer):
            return self.project(xs, params.w_x, params.b)
        rows = jnp.take(params.w_x, xs[..., 0], axis=0, mode="clip").astype(self.dtype or self.param_dtype)
        return rows.astype(self.state_dtype) + jnp.expand_dims(params.b.astype(self.state_dtype), range(xs.ndim - 1))

    def project_state(self, params: Params, h: jax.Array) -> jax.Array:
        """z^h (..., G·H) of h_{t-1} (..., H)."""
        if params.w_h is None:
            return jnp.zeros((*h.shape[:-1], len(self.gates) * self.features), self.state_dtype)
        return self.project(h, params.w_h, params.b_h)


def own_argument(params: Params) -> tuple[PyTree, ...]:
    """The last argument of ``advance``, ``update`` and ``readout``, for cells that have further parameters."""
    return _given(params.own)


def _given(own: PyTree) -> tuple[PyTree, ...]:
    return () if own is None else (own,)
