"""Which flags and cell options --sweep can vary, and the same flags set for one cell: ``lstm:chrono=200,clip=0.5``."""

import dataclasses
import functools
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Literal, NamedTuple

from experiments.base import Experiment
from experiments.flag_values import SECTIONS, FlagValue, TypeHint, parse_value
from rnnjax.cells.registry import CELLS, parse_spec
from rnnjax.cells.specs.options import CellOption, cell_options, parse_initializer
from rnnjax.config.model import Architecture
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError

NOT_SWEPT = {
    "cells", "out", "sweep", "shard", "execution", "data_dir", "seed", "seeds", "tensorboard", *SECTIONS,
    "gains", "forget_biases", "distances",  # each of these lists several values already
    "by", "permuted", "marks", "train", "test", "file",  # these change the task, and with it the published figures
    "header", "encoding", "text_column", "label_column",
}  # fmt: skip
CELL, INIT = "cell.", "cell.init"


class SweepableFlag(NamedTuple):
    """A flag or cell option that --sweep can vary."""

    parse: Callable[[str], FlagValue]  # raises TypeError, ValueError or KeyError
    expected: str  # description of valid values, for error messages


def sweepable_flags(experiment: Experiment) -> dict[str, SweepableFlag]:
    """Name -> flags of ``experiment`` that affect results, and options of cells as ``cell.option``.

    An option is read as that of the first cell of the experiment that has it, or else of the first built-in cell.
    """
    hints = {
        name: _without_none(hint)
        for kind in (type(experiment), Architecture, TrainingSettings)
        for name, hint in typing.get_type_hints(kind).items()
        if name not in NOT_SWEPT and typing.get_origin(hint) is not ClassVar
    }
    return {
        **{name: SweepableFlag(functools.partial(parse_value, hint), _expected(hint)) for name, hint in hints.items()},
        INIT: SweepableFlag(
            _parse_init,
            "default, chrono, orthogonal, identity, normal, sparse, or a scaled one as in orthogonal*0.9",
        ),
        **{CELL + name: SweepableFlag(*option) for name, option in _options(experiment).items()},
    }


def _options(experiment: Experiment) -> dict[str, CellOption]:
    """Name -> option of any cell of the experiment, and of any built-in one."""
    options: dict[str, CellOption] = {}
    for cell_type in (*(parse_spec(spec).load_class() for spec in experiment.cells), *CELLS.values()):
        options = cell_options(cell_type) | options
    return options


def _without_none(hint: TypeHint) -> TypeHint:
    """``float`` for ``float | None``; any other type as it is."""
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) < len(typing.get_args(hint)) else hint


def _expected(hint: TypeHint) -> str:
    origin: object = typing.get_origin(hint)
    if origin is Literal:
        return " or ".join(typing.get_args(hint))
    if hint is bool:
        return "true or false"
    return "a whole number" if hint is int else "a number"


def _parse_init(text: str) -> FlagValue:
    return text if text in ("default", "chrono") else parse_initializer(text)


def parse_flag(name: str, text: str, flag: SweepableFlag) -> FlagValue:
    """``text`` converted to a value of ``flag``; UserError with ``name`` where that fails."""
    try:
        return flag.parse(text)
    except (TypeError, ValueError, KeyError):
        raise UserError(f"{name} must be {flag.expected}, but {text!r} was given.") from None


def replace_flags(experiment: Experiment, flags: Mapping[str, FlagValue]) -> Experiment:
    """A copy of ``experiment`` with other values for ``flags``, which may be fields of its sections."""
    changes = dict(flags)
    for name in SECTIONS:
        section = getattr(experiment, name)
        fields = {field.name for field in dataclasses.fields(section)} & changes.keys()
        changes[name] = dataclasses.replace(section, **{field: changes.pop(field) for field in fields})
    return dataclasses.replace(experiment, **changes)


def split_cell_spec(experiment: Experiment, cell_spec: str) -> tuple[str, dict[str, FlagValue]]:
    """Separate options of the cell from flags of training and architecture.

    Args:
        experiment: defines which flags there are.
        cell_spec: as in ``lstm:chrono=200,clip=0.5``.

    Returns:
        The spec with options of the cell alone, ``lstm:chrono=200``, and the flags for this cell, ``{"clip": 0.5}``.

    Raises:
        UserError: an unknown or repeated name, or a value that its flag does not accept.
    """
    spec = parse_spec(cell_spec)
    own_options = cell_options(spec.load_class())
    known, options, flags = sweepable_flags(experiment), list[str](), dict[str, FlagValue]()
    for item in spec.options:
        name, equals, text = item.partition("=")
        name = name.strip().replace("-", "_")
        if name in own_options and name in known:
            raise UserError(
                f"In {cell_spec!r}, {name} is an option of the cell and a flag as well; set it with --sweep "
                f"{CELL}{name}={text} or --sweep {name}={text}."
            )
        if name in own_options or (CELL + name in known and name not in known):
            options.append(name + equals + text)
        elif name not in known:
            raise UserError(
                f"In {cell_spec!r}, {name} is neither an option of the cell ({', '.join(own_options)}) nor a flag that "
                f"--sweep accepts ({', '.join(flag for flag in known if not flag.startswith(CELL))})."
            )
        elif name in flags:
            raise UserError(f"In {cell_spec!r}, {name} is given twice; give it once.")
        else:
            flags[name] = parse_flag(f"{name} of the cell {cell_spec!r}", text, known[name])
    return add_options(spec.name, options), flags


def add_options(cell_spec: str, options: Iterable[str]) -> str:
    """``cell_spec`` with further options, each ``name=value``."""
    spec = parse_spec(cell_spec)
    return str(spec._replace(options=(*spec.options, *options)))


def format_value(value: FlagValue) -> str:
    """``value`` as it appears in a label: true and false in lower case, whole numbers without a decimal point."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)
