"""The options of a cell as text: the fields of its dataclass, parsed by their type hints."""

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike

from rnnjax.cells.base import Cell
from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.cells.initializers import Glorot, Identity, Initializer, Normal, Orthogonal, Sparse

INITIALIZERS: dict[str, Callable[..., Initializer]] = {
    "orthogonal": Orthogonal,
    "identity": Identity,
    "normal": Normal,
    "sparse": Sparse,
    "glorot": Glorot,
}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
NONE = "none"  # the text of None


class CellOption(NamedTuple):
    """How the text of an option is read."""

    parse: Callable[[str], Any]  # raises ValueError, TypeError or KeyError
    expected: str  # description of valid texts, for error messages


def cell_options(cell_type: type[Cell]) -> dict[str, CellOption]:
    """Name -> option, in alphabetical order, of each field of a cell but ``features``.

    A field is an option where its type hint is bool, int, float, str, a ``Literal``, a dtype, an initializer, or one of
    these or None. Cells without W_h have no options of it. ``param_dtype`` is none either: small updates of parameters
    in bfloat16 are lost in rounding.
    """
    hints = typing.get_type_hints(cell_type)
    without = {"features", "param_dtype"}
    if issubclass(cell_type, ElementwiseCell) and not cell_type.recurrent_kernel:
        without |= {"recurrent_init", "recurrent_dropout"}
    options = {
        field.name: option
        for field in dataclasses.fields(cell_type)
        if field.init and field.name not in without and (option := _option(hints[field.name])) is not None
    }
    return dict(sorted(options.items()))


def _option(hint: Any) -> CellOption | None:
    if hint == Initializer:
        return CellOption(
            parse_initializer,
            "glorot, or orthogonal, identity, normal or sparse, each also with a scale as in orthogonal*0.9",
        )
    if hint == DTypeLike:
        return CellOption(DTYPES.__getitem__, " or ".join(DTYPES))
    kinds = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union) and types.NoneType in kinds:
        option = _option(typing.Union[tuple(kind for kind in kinds if kind is not types.NoneType)])  # noqa: UP007
        return None if option is None else CellOption(_or_none(option.parse), f"{option.expected}, or {NONE}")
    if typing.get_origin(hint) is Literal:
        choices = {str(choice): choice for choice in typing.get_args(hint)}
        return CellOption(choices.__getitem__, " or ".join(choices))
    return BY_TYPE.get(hint)


def _or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text == NONE else parse(text)


def _finite(text: str) -> float:
    """``text`` as a finite number; ValueError for any other."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def parse_initializer(text: str) -> Initializer:
    """An initializer by name, or with a scale: ``orthogonal*0.9``.

    Raises:
        KeyError, ValueError, TypeError: another text.
    """
    name, _, scale = text.partition("*")
    return INITIALIZERS[name](_finite(scale)) if scale else INITIALIZERS[name]()


def _text(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


BY_TYPE: dict[Any, CellOption] = {
    bool: CellOption({"true": True, "false": False}.__getitem__, "true or false"),
    int: CellOption(int, "a whole number"),
    float: CellOption(_finite, "a number"),
    str: CellOption(_text, "a word"),
}
