"""Cells by name, as flags and files write them: ``lstm``, ``gru:chrono=200``, ``my_cells:MyCell:depth=2``."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rnnjax.cells.base import Cell
from rnnjax.cells.family import (
    CTRNN,
    JANET,
    LRU,
    SLSTM,
    CoRNN,
    IndRNN,
    LayerNormLSTM,
    MinGRU,
    MinLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
)
from rnnjax.cells.gru import GRU
from rnnjax.cells.lstm import LSTM
from rnnjax.cells.simple import SimpleRNN
from rnnjax.cells.specs.options import cell_options
from rnnjax.cells.specs.own_cells import executed_files, own_cell
from rnnjax.errors import UserError

CELLS: dict[str, type[Cell]] = {
    "simple": SimpleRNN,
    "lstm": LSTM,
    "gru": GRU,
    "peephole": PeepholeLSTM,
    "janet": JANET,
    "indrnn": IndRNN,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "ctrnn": CTRNN,
    "layernorm_lstm": LayerNormLSTM,
    "lstmp": ProjectedLSTM,
    "slstm": SLSTM,
    "lru": LRU,
    "cornn": CoRNN,
}


class CellSpec(NamedTuple):
    """The parts of a spec: name[:option=value,...], or module:Class[:option=value,...] for a cell of the user's own."""

    name: str  # of ``CELLS``, or module:Class
    options: tuple[str, ...]  # each option=value

    @property
    def is_own(self) -> bool:
        """Whether it names a class in a file of the user's own."""
        return ":" in self.name

    def load_class(self) -> type[Cell]:
        """The class; a file of the user's own is executed for it. UserError where there is none."""
        if self.is_own:
            return own_cell(self.name)
        if self.name.lower() not in CELLS:
            raise UserError(
                f"There is no cell {self.name!r}; choose from {', '.join(CELLS)}, as in --cells simple lstm, or name a "
                "class in a file of your own, as in --cells my_cells:MyCell."
            )
        return CELLS[self.name.lower()]

    def __str__(self) -> str:
        """The spec as it is given in a flag."""
        return f"{self.name}:{','.join(self.options)}" if self.options else self.name


def parse_spec(spec: str) -> CellSpec:
    """Separate the name of a cell from its options, none of which is looked up."""
    name, _, rest = spec.strip().partition(":")
    class_name, _, own_rest = rest.partition(":")
    if name and name.lower() not in CELLS and class_name and "=" not in class_name:
        name, rest = f"{name}:{class_name}", own_rest
    return CellSpec(name, tuple(filter(None, rest.split(","))))


def cell_files(specs: Iterable[str]) -> list[Path]:
    """The files executed for the user's own cells among ``specs``, relative to the working directory."""
    own = [parsed.name for parsed in map(parse_spec, specs) if parsed.is_own]
    return list(dict.fromkeys(file for name in own for file in executed_files(name)))


def cell_from_spec(spec: str, features: int) -> Cell:
    """The cell that ``spec`` = name[:option=value,...] describes, with ``features`` units.

    Raises:
        UserError: an unknown name or option, or a value that does not fit; the message lists the choices.
    """
    parsed = parse_spec(spec)
    cell_type = parsed.load_class()
    known, values = cell_options(cell_type), dict[str, Any]()
    for item in parsed.options:
        option, _, text = item.partition("=")
        if option not in known:
            raise UserError(
                f"The cell {parsed.name!r} has no option {option!r}; it has {', '.join(known)}, as in "
                f"{parsed.name}:option=value."
            )
        if option in values:
            raise UserError(f"In {spec!r}, {option} is given twice; give it once.")
        try:
            values[option] = known[option].parse(text)
        except (ValueError, TypeError, KeyError):
            raise UserError(
                f"In {spec!r}, {option} must be {known[option].expected}, but {text!r} was given."
            ) from None
    if {"chrono", "forget_bias"} <= values.keys() and not parsed.is_own:
        raise UserError(f"In {spec!r}, chrono replaces forget_bias; give one of the two.")
    try:
        return cell_type(features, **values)
    except ValueError as error:
        raise UserError(f"In {spec!r}, {str(error).rstrip('.')}.") from None
    except Exception as error:
        if not parsed.is_own:
            raise
        raise UserError(f"{spec!r} cannot be made: {type(error).__name__}: {str(error).rstrip('.')}.") from None


def label_of(spec: str) -> str:
    """The name of a cell in tables and legends: ``GRU chrono=200``.

    A class of the user's own that has the name of a built-in one is told apart by its module: ``my_cells.GRU``.
    """
    parsed = parse_spec(spec)
    if parsed.is_own:
        module, _, name = parsed.name.partition(":")
        taken = {cell_type.__name__ for cell_type in CELLS.values()}
        name = f"{module}.{name}" if name in taken else name
    else:
        name = CELLS[parsed.name.lower()].__name__
    return " ".join([name, *parsed.options])


def slug_of(label: str) -> str:
    """The name of the folder of a label: ``gru-chrono-200``."""
    return re.sub(r"[^a-z0-9.+-]+", "-", label.lower())  # keeps signs: forget_bias=-1 is not forget_bias=1
