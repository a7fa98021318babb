"""Checks that options, parameters, states and inputs fit an elementwise cell; ValueError where they do not."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.argument_checks import (
    check_array,
    check_finite,
    check_floats,
    check_shape,
    describe,
    is_integer,
)
from rnnjax.cells.params import Params
from rnnjax.typing import CellState, PyTree

LONGEST_CHRONO = 2**31 - 1  # steps; indices of steps are int32


class CellSizes(Protocol):
    """The attributes of ``ElementwiseCell`` that decide the shapes of its arrays; its module imports this one."""

    @property
    def features(self) -> int:
        """H, the number of units."""

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the G gates."""

    @property
    def param_dtype(self) -> DTypeLike:
        """Dtype of its parameters."""

    @property
    def dtype(self) -> DTypeLike | None:
        """Dtype of its products, where it is given."""

    @property
    def recurrent_kernel(self) -> bool:
        """Whether there is a W_h."""

    def init_own(self, key: jax.Array) -> PyTree:
        """Further parameters, (H,) each; None where there are none."""

    @property
    def State(self) -> Any:  # noqa: N802
        """The named tuple of its states."""


def check_keep_gate(forget_bias: float, chrono: int | None) -> None:
    """Check the options of cells with a keep gate."""
    check_finite("forget_bias", forget_bias)
    if chrono is not None and not (is_integer(chrono) and chrono >= 3):
        raise ValueError(f"chrono must be at least 3 steps, got {chrono!r}")
    if chrono is not None and chrono > LONGEST_CHRONO:
        raise ValueError(f"chrono must be at most {LONGEST_CHRONO} steps, got {chrono!r}")


def check_params(cell: CellSizes, params: Params, in_features: int | None = None) -> None:
    """Check that ``params`` are ``Params`` of this cell, for inputs of ``in_features`` components where given."""
    if not hasattr(params, "w_h"):
        hint = "; make Params of a dict that Flax holds under 'cell' with rnnjax.cells.Params(**params)"
        raise ValueError(
            f"params must be the result of {type(cell).__name__}({cell.features}).init, got {describe(params)}"
            f"{hint if hasattr(params, 'keys') else ''}"
        )
    columns = len(cell.gates) * cell.features
    check_array("params.w_x", params.w_x, "(D, G·H)")
    rows = params.w_x.shape[0] if in_features is None else in_features
    if params.w_x.shape[0] != rows:
        raise ValueError(f"xs has {rows} features, but params.w_x expects {params.w_x.shape[0]}")
    shapes = {"w_h": (cell.features, columns), "w_x": (rows, columns), "b": (columns,)}
    if not cell.recurrent_kernel:
        del shapes["w_h"]
    for name, shape in shapes.items():
        if getattr(getattr(params, name), "shape", None) != shape:
            raise ValueError(
                f"params.{name} must have shape {shape} for {type(cell).__name__}({cell.features}), "
                f"got {describe(getattr(params, name))}"
            )
    if params.b_h is not None:
        check_shape("params.b_h", params.b_h, (columns,))
    _check_own(cell, params.own)
    _check_not_rounded(cell, params)


def _check_own(cell: CellSizes, own: PyTree) -> None:
    """Check that ``own`` holds what ``init_own`` makes."""
    expected = jax.eval_shape(lambda: cell.init_own(jax.random.key(0)))
    if type(own) is not type(expected):
        wanted = "None" if expected is None else f"a {type(expected).__name__}"
        raise ValueError(f"params.own must be {wanted} for {type(cell).__name__}, got {describe(own)}")
    for name, shape in {} if expected is None else expected._asdict().items():
        check_shape(f"params.own.{name}", getattr(own, name), shape.shape)


def _check_not_rounded(cell: CellSizes, params: Params) -> None:
    """Check that no parameter is wider than the dtype in which the cell computes, unless that dtype is given."""
    kept = jnp.dtype(cell.param_dtype)
    for name, a in {"w_x": params.w_x, "w_h": params.w_h, "b": params.b, "b_h": params.b_h}.items():
        if cell.dtype is not None or a is None or not jnp.issubdtype(a.dtype, jnp.floating):
            continue
        if jax.dtypes.canonicalize_dtype(a.dtype).itemsize > kept.itemsize:
            made = f"{type(cell).__name__}({cell.features}, "
            raise ValueError(
                f"params.{name} is {a.dtype}, but {type(cell).__name__}({cell.features}) computes in {kept}, to which "
                f"it would be rounded; use {made}param_dtype=jnp.{a.dtype}), or {made}dtype=jnp.{kept}) to round it"
            )


def check_state(cell: CellSizes, name: str, state: CellState, shape: tuple[int, ...]) -> None:
    """Check that ``state`` is the cell's ``State`` of arrays of this shape; ``name`` is its name in the message."""
    if not isinstance(state, cell.State):
        raise ValueError(f"{name} must be a {cell.State.__name__}, got {describe(state)}")
    for field, a in state._asdict().items():
        check_shape(f"{name}.{field}", a, shape)


def check_step(cell: CellSizes, params: Params, state: CellState, x_t: jax.Array) -> None:
    """Check the arguments of ``Cell.step``: parameters, state and the inputs ``x_t`` of one step."""
    check_floats("x_t", x_t, "(..., D)")
    if hasattr(params, "w_x") and params.w_x.shape[0] != x_t.shape[-1]:
        raise ValueError(f"x_t has {x_t.shape[-1]} features, but params.w_x expects {params.w_x.shape[0]}")
    check_params(cell, params, x_t.shape[-1])
    check_state(cell, "state", state, (*x_t.shape[:-1], cell.features))
