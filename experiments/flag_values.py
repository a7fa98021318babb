"""Flags and their values: as they are typed, and as JSON has them."""

import dataclasses
import types
import typing
from typing import Any, Literal

SECTIONS = ("architecture", "training")  # flags that are kept together in a dataclass of their own


def flag_of(name: str) -> str:
    """The flag of a field, as it is typed: ``--learning-rate``."""
    return f"--{name.replace('_', '-')}"


def typed(hint: Any, value: Any) -> Any:
    """``value``, as JSON has it, as the type ``hint``; TypeError where it is none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        fields = {field.name: hints[field.name] for field in dataclasses.fields(hint)}
        if unknown := set(value) - set(fields):
            raise TypeError(f"unknown: {', '.join(sorted(unknown))}")
        return typing.cast(Any, hint)(**{name: typed(fields[name], told) for name, told in value.items()})
    if origin is tuple and isinstance(value, list):
        return tuple(typed(arguments[0], item) for item in value)
    if origin in (types.UnionType, typing.Union):
        return value if value is None and type(None) in arguments else typed(arguments[0], value)
    if origin is Literal and value in arguments:
        return value
    if type(value) is hint:
        return value
    if hint is float and type(value) is int:
        return float(value)
    raise TypeError(f"{value!r} is not {getattr(hint, '__name__', hint)}")


def from_word(hint: Any, word: str) -> Any:
    """``word``, as a person types it, as the type ``hint``; TypeError or ValueError where it is none."""
    if hint is bool and word in ("true", "false"):
        return word == "true"
    return hint(word) if hint in (int, float) else typed(hint, word)
