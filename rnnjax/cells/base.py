"""The base class of all cells: parameters, a state, and one step."""

import dataclasses
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.argument_checks import check_dtype, is_integer
from rnnjax.cells.dropout import DropoutMasks, draw_by_row
from rnnjax.cells.params import from_dict, to_dict
from rnnjax.dtypes import promoted
from rnnjax.typing import CellState, PyTree


@dataclasses.dataclass(frozen=True)
class Cell:
    """A recurrent cell of ``features`` units: a frozen, hashable record of pure functions.

    A cell defines ``init``, ``initial_state`` and ``step``, and gets everything else: ``rnnjax.unroll`` with lengths,
    resets, direction and taps, the Flax modules, ``rnnjax.diagnose`` and ``launch.py``. One whose step is elementwise
    between its matrix products is better written as a ``rnnjax.ElementwiseCell``, which also has the faster backward
    pass and diagnostics by gate.

    Attributes:
        features: H, the number of units.
        param_dtype: of the parameters.
        dtype: of the matrix products; None stands for ``param_dtype``. States are stored in float32 at least.
    """

    features: int
    _: dataclasses.KW_ONLY
    param_dtype: DTypeLike = jnp.float32
    dtype: DTypeLike | None = None

    init_options: ClassVar[tuple[str, ...]] = ()  # names of the fields that only ``init`` reads

    def __post_init__(self) -> None:
        if not is_integer(self.features) or self.features < 1:
            raise ValueError(f"features must be a positive integer, got {self.features!r}")
        object.__setattr__(self, "features", int(self.features))  # of NumPy's integers, too
        check_dtype("param_dtype", self.param_dtype)
        if self.dtype is not None:
            check_dtype("dtype", self.dtype)

    def init(self, key: jax.Array, in_features: int) -> PyTree:
        """Parameters for inputs of ``in_features`` = D components: arrays in any nesting of named tuples and dicts."""
        raise NotImplementedError

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> CellState:
        """The state before the first step, and after a reset: a named tuple of arrays (*batch_shape, ...)."""
        raise NotImplementedError

    def step(self, params: PyTree, state: CellState, x_t: jax.Array) -> tuple[CellState, jax.Array]:
        """One step.

        A cell that defines ``noise`` also takes its draws of the step as the keyword argument ``noise``, None where
        there are none.

        Args:
            params: from ``init``.
            state: of arrays (..., *) with the batch shape of ``x_t``.
            x_t: (..., D), any batch shape or none.

        Returns:
            The new state, of the same shapes, and the output y_t (..., *).
        """
        raise NotImplementedError

    def linear_coefficients(self, params: PyTree, xs: jax.Array) -> tuple[CellState, CellState]:
        """The coefficients of a cell that is linear in its state: state_t = a_t·state_{t-1} + b_t, elementwise.

        A cell that defines them can be evaluated in parallel over time: ``rnnjax.unroll(..., backend="associative")``.

        Args:
            params: from ``init``.
            xs: (T, ..., D).

        Returns:
            a and b, both in the named tuple of the state, arrays (T, ..., *); or of shapes that broadcast to these, as
            (*) for what is the same at every step.
        """
        raise NotImplementedError

    @property
    def is_linear(self) -> bool:
        """Whether the cell is linear in its state: whether it defines ``linear_coefficients``."""
        return type(self).linear_coefficients is not Cell.linear_coefficients

    def outputs(self, params: PyTree, states: CellState, xs: jax.Array) -> jax.Array:
        """The outputs of a linear cell whose output is not the field h of its state, for all steps at once.

        Args:
            params: from ``init``.
            states: after each step, arrays (T, ..., *).
            xs: (T, ..., D).

        Returns:
            ys (T, ..., F).
        """
        raise NotImplementedError

    def noise(self, key: jax.Array, steps: int) -> PyTree:
        """Random numbers of one example for a training pass over ``steps`` = T steps, arrays (T, *); None if unused."""
        return None

    @property
    def is_random(self) -> bool:
        """Whether a training pass draws random numbers: whether the cell defines ``noise``."""
        return type(self).noise is not Cell.noise

    def dropout_masks(self, key: jax.Array, rows: jax.Array, in_features: int, steps: int) -> DropoutMasks:
        """The random numbers of a training pass: ``noise`` for every example.

        Args:
            key: from ``jax.random.key``.
            rows: (...) integers, the index of each example in the whole batch. What is drawn for it depends only on
                ``key`` and this index, so it is the same however the batch is sharded.
            in_features: D.
            steps: T.

        Returns:
            ``DropoutMasks`` with ``noise`` alone, arrays (T, ..., *).
        """
        return DropoutMasks(None, None, noise=draw_by_row(lambda key: self.noise(key, steps), key, rows))

    def init_dict(self, key: jax.Array, in_features: int) -> dict[str, Any]:
        """The parameters of ``init`` as nested dicts, the form in which Flax and checkpoints hold them."""
        params: dict[str, Any] = to_dict(self.init(key, in_features))
        return params

    def params_from_dict(self, params: Any, in_features: int) -> PyTree:
        """The parameters that ``init_dict`` turned into nested dicts.

        Raises:
            ValueError: names are not those of this cell's parameters; shapes are not checked.
        """
        return from_dict(
            f"the parameters of {type(self).__name__} under 'cell'", self.param_shapes(in_features), params
        )

    def param_shapes(self, in_features: int) -> PyTree:
        """Shapes and dtypes of the parameters; ``init`` is traced for them once."""
        return _init.eval_shape(self, in_features)

    @property
    def state_dtype(self) -> jnp.dtype:
        """Dtype of states and gates: that of the products, float32 at least."""
        return promoted(jnp.float32, self.dtype or self.param_dtype)

    def project(self, x: jax.Array, w: jax.Array, b: jax.Array | None = None) -> jax.Array:
        """The product x W + b of x (..., D), w (D, K): product in ``dtype``, sum and result in ``state_dtype``.

        The axes of x are not merged: where its batch is divided over devices, so is the result.
        """
        dtype = self.dtype or self.param_dtype
        axes = ((x.ndim - 1,), (0,)), ((), ())
        z = jax.lax.dot_general(x.astype(dtype), w.astype(dtype), axes, preferred_element_type=self.state_dtype)
        return z if b is None else z + jnp.expand_dims(b.astype(self.state_dtype), range(z.ndim - 1))

    def replace(self, **changes: Any) -> Self:
        """A copy with some options changed."""
        return dataclasses.replace(self, **changes)

    def uninitialised(self) -> Self:
        """A copy with ``init_options`` at their defaults: equal for cells that differ only in their initial parameters.

        Such cells share every compiled program but that of ``init``.
        """
        return self.replace(**{f.name: f.default for f in dataclasses.fields(self) if f.name in self.init_options})


@partial(jax.jit, static_argnums=(0, 1))
def _init(cell: Cell, in_features: int) -> PyTree:
    return cell.init(jax.random.key(0), in_features)
