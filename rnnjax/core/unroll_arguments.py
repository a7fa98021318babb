"""Checks of the arguments of ``unroll``, before anything is compiled; ValueError where they do not fit together."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.argument_checks import check_floats, check_lengths, check_shape, describe, is_integer
from rnnjax.cells import Cell, DropoutMasks, ElementwiseCell
from rnnjax.cells.params import check_like
from rnnjax.cells.validation import check_params, check_state
from rnnjax.core.batch_sharding import explicit_sharding, varying_axes
from rnnjax.core.pallas.vmem import check_fits
from rnnjax.core.taps import has_norm_taps, tap_arrays
from rnnjax.typing import PyTree

BACKWARD = ("fused", "autodiff")
BACKEND = ("scan", "associative", "pallas")


def check_cell(cell: Any) -> None:
    """Raise ValueError unless ``cell`` is a cell; a class or a name is not."""
    if not isinstance(cell, Cell):
        raise ValueError(f"cell must be a cell such as rnnjax.LSTM(128), got {describe(cell)}")


def check_elementwise(cell: Any) -> None:
    """Raise ValueError unless ``cell`` is an elementwise cell."""
    check_cell(cell)
    if not isinstance(cell, ElementwiseCell):
        raise ValueError(
            f"cell must be an elementwise cell such as rnnjax.LSTM(128), got {type(cell).__name__}, whose steps are "
            "not elementwise; use rnnjax.diagnose, which measures any cell"
        )


def check_linear(cell: Cell) -> None:
    """Raise ValueError unless ``cell`` is linear in its state and its outputs follow from all states at once."""
    if not cell.is_linear:
        raise ValueError(
            "backend='associative' needs a cell that is linear in its state, such as rnnjax.MinGRU(128), got "
            f"{type(cell).__name__}; use backend='scan'"
        )
    if type(cell).outputs is Cell.outputs and not hasattr(cell.initial_state(), "h"):
        raise ValueError(
            f"backend='associative' needs {type(cell).__name__}.outputs, as its output is not the field h of its "
            "state; define it, or use backend='scan'"
        )


def check_pallas(cell: Cell, xs: Any, backward: str) -> None:
    """Raise ValueError unless Pallas kernels can compute ``cell`` over ``xs`` (T, ..., D)."""
    if not isinstance(cell, ElementwiseCell):
        raise ValueError(
            "backend='pallas' needs an elementwise cell such as rnnjax.LSTM(128), got "
            f"{type(cell).__name__}; use backend='scan'"
        )
    if backward != "fused":
        raise ValueError(f"backend='pallas' has one backward pass, 'fused', got backward={backward!r}")
    if not all(is_integer(size) for size in xs.shape):
        raise ValueError(f"backend='pallas' needs sizes that are numbers, got xs of shape {xs.shape}")
    sharding = explicit_sharding(xs)
    if varying_axes(xs) or (sharding is not None and any(sharding.spec)):
        raise ValueError(
            "backend='pallas' takes a batch that is divided over devices only inside jax.shard_map(..., "
            "check_vma=False), or jax.pmap"
        )
    check_fits(cell, math.prod(xs.shape[1:-1]))


def check_unroll(
    cell: Any,
    params: PyTree,
    xs: Any,
    state: Any,
    lengths: Any,
    resets: Any,
    taps: Any,
    dropout: Any,
    backward: str,
    store_every: Any,
    backend: str,
) -> None:
    """Check that all arguments of ``unroll`` fit together."""
    for name, value, choices in (("backward", backward, BACKWARD), ("backend", backend, BACKEND)):
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    if store_every is not None and not (is_integer(store_every) and store_every >= 1):
        raise ValueError(f"store_every must be a positive number of steps, got {store_every!r}")
    check_cell(cell)
    check_floats("xs", xs, "(T, ..., D)")
    batch_shape = xs.shape[1:-1]
    if not isinstance(dropout, DropoutMasks):
        raise ValueError(f"dropout must be what {type(cell).__name__}.dropout_masks gives, got {describe(dropout)}")
    if backend == "associative":
        check_linear(cell)
        if dropout.noise is not None:
            raise ValueError(f"backend='associative' is without noise, which {type(cell).__name__} has; use 'scan'")
    if backend == "pallas":
        check_pallas(cell, xs, backward)
    check_lengths(lengths, batch_shape, xs.shape[0])
    if isinstance(cell, ElementwiseCell):
        _check_elementwise_arrays(cell, params, xs, state, taps, dropout)
    else:
        name = f"{type(cell).__name__}({cell.features})"
        check_like("params", params, cell.param_shapes(xs.shape[-1]), name)
        if state is not None:
            check_like("state", state, jax.eval_shape(lambda: cell.initial_state(batch_shape)), name)
        if taps is not None:
            _check_taps(taps, xs.shape[:-1], jax.eval_shape(lambda: cell.initial_state(xs.shape[:-1])), name)
    if resets is not None:
        check_shape("resets", resets, xs.shape[:-1])
        if resets.dtype != bool:
            raise ValueError(f"resets must hold truth values, got {describe(resets)}")


def _check_elementwise_arrays(
    cell: ElementwiseCell, params: PyTree, xs: Any, state: Any, taps: Any, dropout: DropoutMasks
) -> None:
    check_params(cell, params, xs.shape[-1])
    batch_shape = xs.shape[1:-1]
    for name, mask, shape in (
        ("x", dropout.x, (*batch_shape, xs.shape[-1])),
        ("h", dropout.h, (*batch_shape, cell.features)),
        ("hold", dropout.hold, (*xs.shape[:-1], cell.features)),
    ):
        if mask is not None:
            check_shape(f"dropout.{name}", mask, shape)
    if state is not None:
        check_state(cell, "state", state, (*batch_shape, cell.features))
    if taps is not None:
        numbers = 1 if has_norm_taps(taps) else cell.features
        arrays = tap_arrays(taps)
        check_state(cell, "taps", arrays, (*xs.shape[:-1], numbers))
        for field, a in arrays._asdict().items():
            if not jnp.issubdtype(a.dtype, jnp.floating):
                raise ValueError(f"taps.{field} must hold floating-point numbers, got {describe(a)}")


def _check_taps(taps: Any, leading: tuple[int, ...], states: PyTree, name: str) -> None:
    """Taps of any cell: like the stacked states, None for arrays that are not differentiable, or norms (T, ..., 1)."""
    expected = jax.tree.map(lambda a: a if jnp.issubdtype(a.dtype, jnp.inexact) else None, states)
    if has_norm_taps(taps):
        expected = jax.tree.map(lambda a: jax.ShapeDtypeStruct((*leading, 1), a.dtype), expected)
    check_like("taps", tap_arrays(taps), expected, name)
