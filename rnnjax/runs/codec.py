"""Typed records as JSON values and back; a value that does not fit becomes one sentence for the user."""

import enum
import re
from collections.abc import Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from rnnjax.errors import UserError
from rnnjax.typing import JSONValue, Number

T = TypeVar("T")


def encode(record: object) -> JSONValue:
    """A record, or containers of records, as ``json.dumps`` takes them; arrays become lists.

    Raises:
        TypeError: something in it that no record holds.
    """
    return msgspec.to_builtins(record, enc_hook=_encode_array)


def decode(value: JSONValue, kind: type[T], path: Path, line: int | None = None) -> T:
    """The record of type ``kind`` in a JSON value.

    Fields that ``kind`` does not know are left out. In arrays and in fields of type ``Number`` null is NaN.

    Args:
        value: as ``json.loads`` returns it.
        kind: a type of ``schema.py``, or another that msgspec knows.
        path: the file that it comes from, for the message.
        line: the line in it, counted from 1.

    Raises:
        UserError: a field is missing, or its value does not fit; the message names file, line and field.
    """
    try:
        return msgspec.convert(value, kind, dec_hook=_decode_array)
    except msgspec.ValidationError as error:
        raise damaged(path, _reason(str(error), kind), line) from None
    except UnicodeEncodeError:  # in a name, or in a text of which only some are allowed
        raise damaged(path, "a name with half a surrogate pair", line) from None


def damaged(path: Path, reason: str, line: int | None = None) -> UserError:
    """The error for a file that holds something else than a run writes there."""
    where = "" if line is None else f" in line {line}"
    return UserError(f"'{path}' is damaged{where}, {reason}; restore it or run again.")


def surrogate_at(value: JSONValue, field: str = "") -> str | None:
    """The field of the first text, or name, with half a surrogate pair, which UTF-8 cannot write; None without one."""
    if isinstance(value, str):
        return field if any("\ud800" <= letter <= "\udfff" for letter in value) else None
    items: Iterable[tuple[str, JSONValue]] = ()
    if isinstance(value, dict):
        if any(surrogate_at(name) is not None for name in value):
            return field
        items = ((f"{field}{'.' if field else ''}{name}", item) for name, item in value.items())
    elif isinstance(value, list):
        items = ((f"{field}[{index}]", item) for index, item in enumerate(value) if not isinstance(item, float))
    return next((found for name, item in items if (found := surrogate_at(item, name)) is not None), None)


def round_floats(value: JSONValue) -> JSONValue:
    """The JSON value with every float in it rounded to five significant digits; whole numbers stay."""
    if isinstance(value, dict):
        return {name: round_floats(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [round_floats(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _reason(message: str, kind: type) -> str:
    """Msgspec's "Expected `int`, got `str` - at `$.layers[0].units`" as "layers[0].units: expected int, got str"."""
    text, _, path = message.rpartition(" - at `$") if " - at `$" in message else (message, "", "")
    field = path.rstrip("`").lstrip(".")
    if missing := re.fullmatch(r"Object missing required field `(.*)`", text):
        return f"{field}{'.' if field else ''}{missing[1]} is missing"
    text = text.replace("`", "")
    text = text[:1].lower() + text[1:]
    if text.startswith("invalid enum value") and (allowed := _allowed_values(kind, field)):
        text += f", expected one of {', '.join(allowed)}"
    return f"{field}: {text}" if field else text


def _allowed_values(kind: type, field: str) -> list[str]:
    """The values that a field of a record may have, if it is an enum or a Literal; of a field within a field none."""
    annotation = get_type_hints(kind).get(field) if isinstance(kind, type) else None
    if get_origin(annotation) is UnionType:
        annotation = next((part for part in get_args(annotation) if part is not NoneType), None)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [str(member.value) for member in annotation]
    return [repr(value) for value in get_args(annotation)] if get_origin(annotation) is Literal else []


def _encode_array(value: object) -> JSONValue:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, float):  # a Number
        return float(value)
    raise TypeError(f"{type(value).__name__} is nothing that a record holds")


def _decode_array(kind: type, value: JSONValue) -> object:
    """Values of the types that msgspec does not know: ``Number``, ``Floats`` and ``Integers``."""
    if kind is Number:
        return Number(_float_array([value])[0])
    if get_origin(kind) is not np.ndarray:
        raise NotImplementedError(kind)
    if not isinstance(value, list):
        raise TypeError(f"Expected `array`, got `{_name(value)}`")
    (dtype,) = get_args(get_args(kind)[1])
    return _integer_array(value) if dtype is np.int64 else _float_array(value)


def _float_array(values: list[JSONValue]) -> np.ndarray:
    _require_types(values, "number", int, float, type(None))
    try:
        return np.array(values, np.float64)
    except OverflowError:
        raise ValueError("Number out of range") from None


def _integer_array(values: list[JSONValue]) -> np.ndarray:
    """Null is 0, as where no example was counted."""
    _require_types(values, "whole number", int, type(None))
    try:
        return np.array([0 if value is None else value for value in values], np.int64)
    except OverflowError:
        raise ValueError("Number out of range") from None


def _require_types(values: list[JSONValue], expected: str, *types: type) -> None:
    wrong = {*map(type, values)} - {*types}  # a bool is no number here
    if wrong:
        value = next(value for value in values if type(value) in wrong)
        raise TypeError(f"Expected `{expected}`, got `{_name(value)}`")


def _name(value: JSONValue) -> str:
    """The type of a value in JSON's words, as msgspec's messages have it."""
    names = {dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), type(value).__name__)
