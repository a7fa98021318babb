"""Conversion of flag values from JSON and from command-line text to the types of their dataclass fields."""

import dataclasses
import types
import typing
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from rnnjax.typing import JSONValue

SECTIONS = ("architecture", "training")  # fields of an experiment that are dataclasses of flags

TypeHint: TypeAlias = Any  # a class, or a form such as tuple[int, ...], Literal["a", "b"] or float | None
FlagValue: TypeAlias = Any  # a number, string, tuple or None, or the dataclass of a section


def flag_name(name: str) -> str:
    """The command-line flag of a field: ``--learning-rate`` for ``learning_rate``."""
    return f"--{name.replace('_', '-')}"


def from_json(hint: TypeHint, value: "JSONValue") -> FlagValue:
    """``value`` from JSON converted to the type ``hint``; lists become tuples, objects dataclasses.

    Raises:
        TypeError: ``value`` does not fit ``hint``, or an object has an unknown key.
    """
    origin: object = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        fields = {field.name: hints[field.name] for field in dataclasses.fields(hint)}
        if unknown := set(value) - set(fields):
            raise TypeError(f"unknown: {', '.join(sorted(unknown))}")
        return typing.cast(TypeHint, hint)(**{name: from_json(fields[name], item) for name, item in value.items()})
    if origin is tuple and isinstance(value, list):
        return tuple(from_json(arguments[0], item) for item in value)
    if origin in (types.UnionType, typing.Union):
        if typing.get_origin(arguments[0]) is tuple and isinstance(value, str):
            value = [value]  # older runs have a single value
        return value if value is None and type(None) in arguments else from_json(arguments[0], value)
    if origin is Literal and value in arguments:
        return value
    if type(value) is hint:
        return value
    if hint is float and type(value) is int:
        return float(value)
    raise TypeError(f"{value!r} is not {getattr(hint, '__name__', hint)}")


def parse_value(hint: TypeHint, text: str) -> FlagValue:
    """``text`` from the command line converted to the type ``hint``; TypeError or ValueError where it does not fit."""
    if hint is bool and text in ("true", "false"):
        return text == "true"
    return hint(text) if hint in (int, float) else from_json(hint, text)
