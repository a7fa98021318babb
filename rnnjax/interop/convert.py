"""Functions that all weight imports share: read and check arrays by name, then build cells, modules and parameters.

Shapes: D inputs, H features, G gates of the cell.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from rnnjax.argument_checks import describe
from rnnjax.cells import GRU, LSTM, Cell, ElementwiseCell, Params, ProjectedLSTM, ProjectedLSTMParams, SimpleRNN
from rnnjax.nn.recurrent import RNN, Bidirectional, Stack
from rnnjax.typing import ModelParams, PyTree

CELLS: dict[int, type[ElementwiseCell]] = {len(cell.gates): cell for cell in (SimpleRNN, GRU, LSTM)}


def to_array(name: str, value: object) -> np.ndarray:
    """``value`` as a NumPy array; a torch tensor is detached and copied to the CPU first.

    Raises:
        ValueError: it is not an array of floating-point numbers; the message begins with ``name``.
    """
    if getattr(value, "is_meta", False):
        raise ValueError(f"{name} is on PyTorch's meta device: it has a shape, but no numbers; load the weights first.")
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} cannot be read as a NumPy array ({error}); give it as float32.") from error
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} must hold floating-point numbers, got {array.dtype}.")
    return array


def check_mapping(name: str, given: object, wanted: str) -> None:
    """Raise ValueError unless ``given`` is a mapping; ``wanted`` describes it in the message."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be {wanted}, got {describe(given)}.")


def infer_cell(name: str, shape: tuple[int, ...]) -> tuple[type[ElementwiseCell], int]:
    """The cell and its H, from the ``shape`` of a packed recurrent kernel, (H, G·H) or (G·H, H).

    Raises:
        ValueError: one side is not 1, 3 or 4 times the other.
    """
    features, packed = (min(shape), max(shape)) if len(shape) == 2 else (0, 0)
    if features == 0 or packed % features or packed // features not in CELLS:
        raise ValueError(
            f"{name} has shape {shape}, but one side must be 1, 3 or 4 times the other: H for a simple RNN, "
            "3·H for a GRU, 4·H for an LSTM."
        )
    return CELLS[packed // features], features


def check_shapes(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], origin: str) -> None:
    """Check that ``arrays`` has exactly the names and shapes of ``shapes``.

    Raises:
        ValueError: it does not; the message names the difference from ``origin``, the layer that the arrays look like.
    """
    for verb, names in (("lack", shapes.keys() - arrays.keys()), ("also hold", arrays.keys() - shapes.keys())):
        if names:
            raise ValueError(f"The weights look like {origin}, but they {verb} {', '.join(sorted(names))}.")
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(
                f"The weights look like {origin}, where {name} has shape {shape}, but {arrays[name].shape} was given."
            )


def pack(
    cell: type[ElementwiseCell],
    w_x: np.ndarray,
    w_h: np.ndarray,
    b: np.ndarray | None = None,
    b_h: np.ndarray | None = None,
) -> Params:
    """``Params`` of ``cell``, all of the same dtype.

    Args:
        cell: the type of cell.
        w_x: (D, G·H), gates in the cell's order, as in the other arrays.
        w_h: (H, G·H).
        b: (G·H,) added to x W_x; None stands for zeros.
        b_h: (G·H,) added to h W_h; None stands for zeros. An ``additive`` cell gets b + b_h as its only bias b.
    """
    zeros = np.zeros(w_h.shape[1], w_h.dtype)
    b, b_h = zeros if b is None else b, zeros if b_h is None else b_h
    arrays = [w_x, w_h, b + b_h] if cell.additive else [w_x, w_h, b, b_h]
    dtype = np.result_type(*arrays)
    return Params(*[jnp.asarray(a.astype(dtype)) for a in arrays])  # copies: the originals may be trained further


def pack_projected(
    w_x: np.ndarray, w_h: np.ndarray, w_p: np.ndarray, b: np.ndarray | None = None, b_h: np.ndarray | None = None
) -> ProjectedLSTMParams:
    """Parameters of a ``ProjectedLSTM``, all of the same dtype; arguments as those of ``pack``, w_p is (H, P)."""
    zeros = np.zeros(w_h.shape[1], w_h.dtype)
    arrays = [w_x, w_h, (zeros if b is None else b) + (zeros if b_h is None else b_h), w_p]
    dtype = np.result_type(*arrays)
    return ProjectedLSTMParams(*[jnp.asarray(a.astype(dtype)) for a in arrays])


def build(layers: Sequence[Sequence[tuple[type[Cell], PyTree]]], activation: str) -> tuple[nn.Module, ModelParams]:
    """The module of all layers, and its parameters.

    Args:
        layers: bottom layer first; of each layer the single direction, or forward and backward: the type of its cell
            and its parameters.
        activation: of the simple RNN, "tanh" or "relu"; the other cells have tanh only.

    Raises:
        ValueError: an activation that the cell does not have.
    """
    built = [_layer(directions, activation) for directions in layers]
    if len(built) == 1:
        return built[0]
    return Stack(tuple(module for module, _ in built)), {f"layers_{k}": params for k, (_, params) in enumerate(built)}


def _layer(directions: Sequence[tuple[type[Cell], PyTree]], activation: str) -> tuple[nn.Module, ModelParams]:
    """A module and its parameters: ``RNN`` for one direction, ``Bidirectional`` for two."""
    cells = [_cell(cell, params, activation) for cell, params in directions]
    trees = [{"cell": {name: a for name, a in params._asdict().items() if a is not None}} for _, params in directions]
    if len(cells) == 1:
        return RNN(cells[0]), trees[0]
    return Bidirectional(RNN(cells[0]), RNN(cells[1], reverse=True)), dict(
        zip(("forward_rnn", "backward_rnn"), trees, strict=True)
    )


def _cell(cell: type[Cell], params: PyTree, activation: str) -> Cell:
    """A cell with the size and dtype of ``params``."""
    dtype = params.w_x.dtype.type
    if cell is SimpleRNN:
        return SimpleRNN(params.w_x.shape[1], activation=activation, param_dtype=dtype)  # type: ignore[arg-type]  # the cell checks it
    if activation != "tanh":
        raise ValueError(
            f"rnnjax's {cell.__name__} has the activation tanh only, so weights trained with {activation!r} cannot be "
            "imported."
        )
    if cell is ProjectedLSTM:
        features, projection = params.w_p.shape
        return ProjectedLSTM(features, projection=projection, param_dtype=dtype)
    gates = next(count for count, kind in CELLS.items() if kind is cell)
    return cell(params.w_x.shape[1] // gates, param_dtype=dtype)
