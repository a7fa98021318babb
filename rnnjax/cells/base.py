"""The base class of cells: elementwise functions of z^x, z^h and the memory; the matrix products are outside of them.

    z^x_t = x_t W_x + b                       (..., G·H)   G gates, H features, packed
    z^h_t = h_{t-1} W_h [+ b_h]               (..., G·H)
    m_t   = update (z^x_t, z^h_t, m_{t-1})    (..., H)     the memory
    h_t   = readout(z^x_t, z^h_t, m_t)        (..., H)     the output

A cell defines ``gates``, ``State``, ``update`` and, where its output is not its memory, ``readout``.
"""

import dataclasses
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.argument_checks import check_dtype, check_integer, check_key, check_rate, describe, is_integer
from rnnjax.cells.dropout import NO_DROPOUT, DropoutMasks, draw_masks
from rnnjax.cells.initializers import Glorot, Initializer, Orthogonal
from rnnjax.cells.params import Params
from rnnjax.cells.validation import check_step
from rnnjax.typing import CellState


@dataclasses.dataclass(frozen=True)
class Cell:
    """A recurrent cell of ``features`` units: a frozen, hashable record of pure functions.

    Attributes:
        features: H, the number of units.
        kernel_init: of each gate's input kernel (D, H).
        recurrent_init: of each gate's recurrent kernel (H, H).
        input_dropout: rate of dropout of the components of x, with the same mask at every step of a sequence.
        recurrent_dropout: the same for h_{t-1}, before W_h; the memory itself is never dropped.
        zoneout: share of the units whose memory a step leaves unchanged, see ``remember``; part of the belt.
        param_dtype: of the parameters.
        dtype: of the matrix products; None stands for ``param_dtype``. Products are accumulated, and states and gates
            stored, in float32 at least, so bfloat16 halves the memory traffic without rounding the memory.
    """

    features: int
    _: dataclasses.KW_ONLY
    kernel_init: Initializer = Glorot()
    recurrent_init: Initializer = Orthogonal()
    input_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    param_dtype: DTypeLike = jnp.float32
    dtype: DTypeLike | None = None

    gates: ClassVar[tuple[str, ...]]
    State: ClassVar[Any]  # a named tuple whose first field is h and whose last is the memory
    additive: ClassVar[bool] = False  # whether the cell depends on z^x and z^h only through their sum
    init_options: ClassVar[tuple[str, ...]] = ("kernel_init", "recurrent_init")  # fields that only ``init`` reads

    def __post_init__(self) -> None:
        if not is_integer(self.features) or self.features < 1:
            raise ValueError(f"features must be a positive integer, got {self.features!r}")
        object.__setattr__(self, "features", int(self.features))  # of NumPy's integers, too
        for name in ("input_dropout", "recurrent_dropout", "zoneout"):
            check_rate(name, getattr(self, name))
        for name in ("kernel_init", "recurrent_init"):
            init = getattr(self, name)
            if not callable(init) or isinstance(init, type):
                raise ValueError(f"{name} must be an initializer such as rnnjax.Orthogonal(), got {describe(init)}")
        check_dtype("param_dtype", self.param_dtype)
        if self.dtype is not None:
            check_dtype("dtype", self.dtype)

    def update(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array) -> jax.Array:
        """m_t (..., H) from packed z^x_t, z^h_t (..., G·H) and m_{t-1} (..., H); elementwise over units."""
        raise NotImplementedError

    def remember(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array, hold: jax.Array | None = None) -> jax.Array:
        """m_t (..., H) under zoneout (Krueger et al. 2017) at rate ζ, from the arguments of ``update``:

            m_t = d_t·m_{t-1} + (1 - d_t)·update(z^x_t, z^h_t, m_{t-1})     d_t ~ Bernoulli(ζ) for each unit

        with d_t = ``hold`` (..., H) in training; where it is None, its mean ζ. The belt is ζ + (1 - ζ)·∂update/∂m.
        In the LSTM m is c, and h_t is read out of the c_t above. The paper's second rate, which also keeps the LSTM's
        h_{t-1}, is not implemented: h_t would depend on h_{t-1} other than through W_h.
        """
        return self.zone_out(self.update(z_x, z_h, m), m, hold)

    def zone_out(self, m_t: jax.Array, m: jax.Array, hold: jax.Array | None) -> jax.Array:
        """The memory after zoneout, from the updated memory ``m_t`` and the previous memory ``m``, see ``remember``."""
        if hold is not None:
            return jnp.where(hold, m, m_t)
        return m_t if self.zoneout == 0.0 else self.zoneout * m + (1.0 - self.zoneout) * m_t

    def readout(self, z_x: jax.Array, z_h: jax.Array, m: jax.Array) -> jax.Array:
        """h_t (..., H) from packed z^x_t, z^h_t and m_t; by default the memory itself."""
        return m

    def advance(
        self,
        z_x: jax.Array,
        z_h: jax.Array,
        m: jax.Array,
        *,
        hold: jax.Array | None = None,
        tap: CellState | None = None,
    ) -> CellState:
        """The new ``State`` from the arguments of ``remember``; the scan calls and differentiates it at every step.

        ``tap`` is added to the new state: to the memory before it is read out, and to a separate h after. A cell may
        override this method to compute what ``update`` and ``readout`` share only once.
        """
        m_t = self.remember(z_x, z_h, m, hold)
        if tap is not None:
            m_t = m_t + tap[-1]
        if not self.has_separate_memory:
            return self.State(m_t)
        h_t = self.readout(z_x, z_h, m_t)
        return self.State(h_t if tap is None else h_t + tap[0], m_t)

    def gate_values(self, z_x: jax.Array, z_h: jax.Array) -> jax.Array | None:
        """Values of the gates, packed (..., G·H); None where a cell does not define them.

        For diagnostics. The fused scan also computes them on a CPU, where XLA then compiles faster code.
        """
        return None

    def init_bias(self, key: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """Biases b (G·H,) and b_h (G·H,) or None."""
        return jnp.zeros(len(self.gates) * self.features, self.param_dtype), None

    def init(self, key: jax.Array, in_features: int) -> Params:
        """Parameters for inputs of ``in_features`` = D components; ``key`` from ``jax.random.key``.

        Raises:
            ValueError: ``key`` is not a key, or ``in_features`` not a positive integer.
        """
        check_key(key)
        check_integer("in_features", in_features, 1)
        key_x, key_h, key_b = jax.random.split(key, 3)

        def kernel(init: Initializer, key: jax.Array, rows: int) -> jax.Array:
            keys = jax.random.split(key, len(self.gates))
            return jnp.concatenate([init(k, (rows, self.features), self.param_dtype) for k in keys], axis=1)

        w_x = kernel(self.kernel_init, key_x, in_features)
        w_h = kernel(self.recurrent_init, key_h, self.features)
        return Params(w_x, w_h, *self.init_bias(key_b))

    def init_dict(self, key: jax.Array, in_features: int) -> dict[str, jax.Array]:
        """The parameters of ``init`` as a dict for Flax: w_x, w_h, b and, for cells that have it, b_h."""
        return {name: value for name, value in self.init(key, in_features)._asdict().items() if value is not None}

    @property
    def state_dtype(self) -> jnp.dtype:
        """Dtype of states and gates: that of the products, float32 at least."""
        return jnp.promote_types(jnp.float32, self.dtype or self.param_dtype)

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

    def project(self, x: jax.Array, w: jax.Array, b: jax.Array | None) -> jax.Array:
        """The product x W + b of x (..., D), w (D, G·H): product in ``dtype``, sum and result in ``state_dtype``.

        The axes of x are not merged: where its batch is divided over devices, so is the result.
        """
        dtype = self.dtype or self.param_dtype
        axes = ((x.ndim - 1,), (0,)), ((), ())
        z = jax.lax.dot_general(x.astype(dtype), w.astype(dtype), axes, preferred_element_type=self.state_dtype)
        return z if b is None else z + jnp.expand_dims(b.astype(self.state_dtype), range(z.ndim - 1))

    def dropout_masks(self, key: jax.Array, rows: jax.Array, in_features: int, steps: int) -> DropoutMasks:
        """Random masks for sequences of ``steps`` = T steps of ``in_features`` = D components.

        Args:
            key: from ``jax.random.key``.
            rows: (...) integers, the index of each example in the whole batch. Its masks depend only on ``key`` and
                this index, so they are the same however the batch is sharded.
            in_features: D.
            steps: T.

        Returns:
            Masks (..., D) of x, (..., H) of h and (T, ..., H) of zoneout; None where the rate is 0.
        """
        return draw_masks(
            key, rows, x=(self.input_dropout, in_features), h=(self.recurrent_dropout, self.features),
            hold=(self.zoneout, (steps, self.features)), dtype=self.state_dtype,
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
            dropout: masks to apply, from ``dropout_masks``, with ``hold`` (..., H) of this step.
            tap: added to the new state, to the memory before it is read out and to a separate h after; the gradient
                with respect to it is the total gradient of the state.

        Returns:
            The new state, and its output h_t (..., H).

        Raises:
            ValueError: parameters, state and inputs that do not fit the cell.
        """
        check_step(self, params, state, x_t)
        h, m = state[0], state[-1]
        z_x = self.project(x_t if dropout.x is None else x_t * dropout.x, params.w_x, params.b)
        z_h = self.project(h if dropout.h is None else h * dropout.h, params.w_h, params.b_h)
        new = self.advance(z_x, z_h, m, hold=dropout.hold, tap=tap)
        return new, new[0]

    def replace(self, **changes: Any) -> Self:
        """A copy with some options changed."""
        return dataclasses.replace(self, **changes)

    def uninitialised(self) -> Self:
        """A copy with ``init_options`` at their defaults: equal for cells that differ only in their initial parameters.

        Such cells share every compiled program but that of ``init``.
        """
        return self.replace(**{f.name: f.default for f in dataclasses.fields(self) if f.name in self.init_options})
