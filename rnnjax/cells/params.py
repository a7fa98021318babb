"""The parameters of an elementwise cell, and parameters of any cell as nested dicts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from rnnjax.argument_checks import describe
from rnnjax.typing import PyTree


class Params(NamedTuple):
    """Parameters of one elementwise cell; kernels are (in, G·H), gates in the cell's order."""

    w_x: jax.Array  # (D, G·H)
    w_h: jax.Array | None  # (H, G·H); None for a cell without a recurrent product
    b: jax.Array  # (G·H,) added to z^x
    b_h: jax.Array | None = None  # (G·H,) added to z^h, only where the cell treats z^x and z^h differently
    own: PyTree = None  # a named tuple of further parameters (H,) each, where the cell has any


def to_dict(params: PyTree) -> Any:
    """Named tuples, lists and tuples in ``params`` as dicts, entries that are None left out; arrays as they are."""
    if isinstance(params, tuple | list):
        params = params._asdict() if hasattr(params, "_asdict") else {str(i): a for i, a in enumerate(params)}
    if isinstance(params, Mapping):
        return {name: to_dict(value) for name, value in params.items() if value is not None}
    return params


def from_dict(name: str, expected: PyTree, params: Any) -> PyTree:
    """``params``, from ``to_dict``, in the structure of ``expected``.

    Args:
        name: of ``params`` in messages.
        expected: the structure with arrays or their shapes as leaves.
        params: nested dicts.

    Raises:
        ValueError: other names than those of ``expected``; shapes are not checked.
    """
    names = to_dict(expected)
    if not isinstance(names, Mapping):
        return params
    if not isinstance(params, Mapping) or set(params) != set(names):
        given = (", ".join(map(str, params)) if isinstance(params, Mapping) else describe(params)) or "none"
        raise ValueError(f"{name} must be {', '.join(map(str, names))}, got {given}")

    def entry(key: Any, value: PyTree) -> PyTree:
        return None if value is None else from_dict(f"{name}[{key!r}]", value, params[key])

    if isinstance(expected, Mapping):
        return type(expected)({key: entry(key, value) for key, value in expected.items()})  # type: ignore[call-arg]
    if hasattr(expected, "_asdict"):
        return type(expected)(**{key: entry(key, value) for key, value in expected._asdict().items()})
    return type(expected)(entry(str(i), value) for i, value in enumerate(expected))


def check_like(name: str, tree: PyTree, expected: PyTree, cell: str) -> None:
    """Check that ``tree`` has the structure and shapes of ``expected``.

    Args:
        name: of ``tree`` in messages.
        tree: arrays in any nesting.
        expected: arrays or their shapes.
        cell: the cell that they belong to, in messages.

    Raises:
        ValueError: it has not.
    """
    paths = jax.tree.leaves_with_path(expected)
    if str(jax.tree.structure(tree)) != str(jax.tree.structure(expected)):
        raise ValueError(f"{name} must be {_described(expected)} for {cell}, got {_described(tree)}")
    for (path, a), b in zip(paths, jax.tree.leaves(tree), strict=True):
        if getattr(b, "shape", None) != a.shape:
            place = f"{name}{jax.tree_util.keystr(path)}"
            raise ValueError(f"{place} must have shape {a.shape} for {cell}, got {describe(b)}")


def _described(tree: PyTree) -> str:
    """The structure of ``tree``, with the shapes of its arrays."""
    if hasattr(tree, "_asdict"):
        return f"{type(tree).__name__}({', '.join(f'{k}={_described(v)}' for k, v in tree._asdict().items())})"
    if isinstance(tree, Mapping):
        return f"{{{', '.join(f'{k!r}: {_described(v)}' for k, v in tree.items())}}}"
    if isinstance(tree, tuple | list):
        return f"({', '.join(map(_described, tree))})"
    return str(tree.shape) if hasattr(tree, "shape") else describe(tree)
