"""Cells by name, as flags and files write them: ``lstm``, ``gru:chrono=200``, ``simple:activation=relu``."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from rnnjax.cells.base import Cell
from rnnjax.cells.gru import GRU
from rnnjax.cells.initializers import Identity, Initializer, Orthogonal
from rnnjax.cells.lstm import LSTM
from rnnjax.cells.simple import SimpleRNN
from rnnjax.errors import UserError

CELLS: dict[str, type[Cell]] = {"simple": SimpleRNN, "lstm": LSTM, "gru": GRU}
INITIALIZERS: dict[str, Callable[..., Initializer]] = {"orthogonal": Orthogonal, "identity": Identity}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def _finite(text: str) -> float:
    """``text`` as a finite number; ValueError for any other."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _initializer(text: str) -> Initializer:
    """``orthogonal``, ``identity``, or either with a scale: ``orthogonal*0.9``."""
    name, _, scale = text.partition("*")
    return INITIALIZERS[name](_finite(scale)) if scale else INITIALIZERS[name]()


OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {
    "activation": (str, "tanh or relu"),
    "chrono": (int, "a number of steps, at least 3"),
    "forget_bias": (_finite, "a number"),
    "input_dropout": (float, "a share from 0 to below 1"),
    "recurrent_dropout": (float, "a share from 0 to below 1"),
    "zoneout": (float, "a share from 0 to below 1"),
    "recurrent_init": (_initializer, "orthogonal or identity, or either with a scale as in orthogonal*0.9"),
    "dtype": (DTYPES.__getitem__, ", ".join(DTYPES)),
    "param_dtype": (DTYPES.__getitem__, ", ".join(DTYPES)),
}


def cell_from_spec(spec: str, features: int) -> Cell:
    """The cell that ``spec`` = name[:option=value,...] describes, with ``features`` units.

    Raises:
        UserError: an unknown name or option, or a value that does not fit; the message lists the choices.
    """
    name, _, rest = spec.strip().partition(":")
    if name.lower() not in CELLS:
        raise UserError(f"There is no cell {name!r}; choose from {', '.join(CELLS)}, as in --cells simple lstm.")
    cell_type = CELLS[name.lower()]
    options = {}
    for item in filter(None, rest.split(",")):
        option, _, value = item.partition("=")
        if option not in OPTIONS or not hasattr(cell_type(1), option):
            known = ", ".join(o for o in OPTIONS if hasattr(cell_type(1), o))
            raise UserError(f"The cell {name!r} has no option {option!r}; it has {known}, as in {name}:option=value.")
        if option in options:
            raise UserError(f"In {spec!r}, {option} is given twice; give it once.")
        parse, wanted = OPTIONS[option]
        try:
            options[option] = parse(value)
            cell_type(1, **{option: options[option]})
        except (ValueError, KeyError):
            raise UserError(f"In {spec!r}, {option} must be {wanted}, but {value!r} was given.") from None
    if {"chrono", "forget_bias"} <= options.keys():
        raise UserError(f"In {spec!r}, chrono replaces forget_bias; give one of the two.")
    return cell_type(features, **options)


def label_of(spec: str) -> str:
    """The name of a cell in tables and legends: ``GRU chrono=200``."""
    name, _, rest = spec.strip().partition(":")
    return " ".join([CELLS[name.lower()].__name__, *filter(None, rest.split(","))])


def slug_of(label: str) -> str:
    """The name of the folder of a label: ``gru-chrono-200``."""
    return re.sub(r"[^a-z0-9.+-]+", "-", label.lower())  # keeps signs: forget_bias=-1 is not forget_bias=1
