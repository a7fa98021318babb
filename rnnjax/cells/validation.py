"""Whether parameters, states and inputs belong to a cell: checks of arguments that must know what a cell is."""

from collections.abc import Callable
from typing import Any, Protocol

import jax

from rnnjax.argument_checks import (
    check_array,
    check_dtype,
    check_finite,
    check_floats,
    check_rate,
    check_shape,
    describe,
    is_integer,
)
from rnnjax.cells.params import Params


class CellLike(Protocol):
    """What the checks read of a cell; ``rnnjax.cells.base.Cell`` has it."""

    @property
    def features(self) -> int:
        """H."""

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of the gates."""

    @property
    def State(self) -> Any:  # noqa: N802
        """The named tuple of its states."""

    @property
    def init_bias(self) -> Callable[[jax.Array], tuple[Any, Any]]:
        """Draws the biases b and b_h."""


def check_options(cell: Any) -> None:
    """The fields that every cell has.

    Raises:
        ValueError: a field that is none of what it can be.
    """
    if not isinstance(cell.features, int) or isinstance(cell.features, bool) or cell.features < 1:
        raise ValueError(f"features must be a positive integer, got {cell.features!r}")
    for name in ("input_dropout", "recurrent_dropout", "zoneout"):
        check_rate(name, getattr(cell, name))
    for name in ("kernel_init", "recurrent_init"):
        init = getattr(cell, name)
        if not callable(init) or isinstance(init, type):
            raise ValueError(f"{name} must be an initializer such as rnnjax.Orthogonal(), got {describe(init)}")
    check_dtype("param_dtype", cell.param_dtype)
    if cell.dtype is not None:
        check_dtype("dtype", cell.dtype)


def check_keep_gate(cell: Any) -> None:
    """The fields that cells with a gate that keeps have.

    Raises:
        ValueError: a field that is none of what it can be.
    """
    check_finite("forget_bias", cell.forget_bias)
    if cell.chrono is not None and not (is_integer(cell.chrono) and cell.chrono >= 3):
        raise ValueError(f"chrono must be at least 3 steps, got {cell.chrono!r}")


def check_params(cell: CellLike, params: Any, in_features: int | None = None) -> None:
    """``Params`` of this cell, for inputs of ``in_features`` components where that is given.

    Raises:
        ValueError: they are of another cell, of another size, or no ``Params``.
    """
    if not hasattr(params, "w_h"):
        hint = "; a dict that Flax holds under 'cell' becomes that with rnnjax.cells.Params(**it)"
        raise ValueError(
            f"params must be what {type(cell).__name__}({cell.features}).init gives, got {describe(params)}"
            f"{hint if hasattr(params, 'keys') else ''}"
        )
    columns = len(cell.gates) * cell.features
    check_array("params.w_x", params.w_x, "(D, G·H)")
    rows = params.w_x.shape[0] if in_features is None else in_features
    if params.w_x.shape[0] != rows:
        raise ValueError(f"xs has {rows} features, but params.w_x expects {params.w_x.shape[0]}")
    for name, shape in (("w_h", (cell.features, columns)), ("w_x", (rows, columns)), ("b", (columns,))):
        if getattr(getattr(params, name), "shape", None) != shape:
            raise ValueError(
                f"params.{name} must have shape {shape} for {type(cell).__name__}({cell.features}), "
                f"got {describe(getattr(params, name))}"
            )
    if params.b_h is not None:
        check_shape("params.b_h", params.b_h, (columns,))


def check_held(cell: CellLike, held: Any, in_features: int) -> None:
    """What a Flax module of this cell holds under "cell".

    Raises:
        ValueError: as ``check_params``.
    """
    biases = jax.eval_shape(cell.init_bias, jax.random.key(0))
    wanted = ["w_x", "w_h", *(name for name, b in zip(("b", "b_h"), biases, strict=True) if b is not None)]
    if not hasattr(held, "keys") or set(held) != set(wanted):
        names = ", ".join(map(str, held)) if hasattr(held, "keys") else describe(held)
        raise ValueError(
            f"the parameters of {type(cell).__name__} under 'cell' must be {', '.join(wanted)}, got {names or 'none'}"
        )
    check_params(cell, Params(**held), in_features)


def check_state(cell: CellLike, name: str, state: Any, shape: tuple[int, ...]) -> None:
    """The cell's ``State`` of arrays of this shape.

    Raises:
        ValueError: another type, or an array of another shape.
    """
    if not isinstance(state, cell.State):
        raise ValueError(f"{name} must be a {cell.State.__name__}, got {describe(state)}")
    for field, a in state._asdict().items():
        check_shape(f"{name}.{field}", a, shape)


def check_step(cell: CellLike, params: Any, state: Any, x_t: Any) -> None:
    """Inputs and state of one step.

    Raises:
        ValueError: as above, or inputs that are no array of floating-point numbers.
    """
    check_floats("x_t", x_t, "(..., D)")
    if hasattr(params, "w_x") and params.w_x.shape[0] != x_t.shape[-1]:
        raise ValueError(f"x_t has {x_t.shape[-1]} features, but params.w_x expects {params.w_x.shape[0]}")
    check_params(cell, params, x_t.shape[-1])
    check_state(cell, "state", state, (*x_t.shape[:-1], cell.features))
