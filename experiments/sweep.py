"""What --sweep can vary, and the same flags for one cell alone: ``lstm:chrono=200,clip=0.5``."""

import dataclasses
import functools
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from experiments.base import Experiment
from experiments.flag_values import SECTIONS, from_word
from rnnjax.cells.registry import OPTIONS
from rnnjax.config.model import Architecture
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError

NOT_SWEPT = {
    "cells", "out", "sweep", "shard", "execution", "data_dir", "seed", "seeds", "tensorboard", *SECTIONS,
    "gains", "forget_biases", "distances",  # each of which is several values already
    "by", "permuted", "marks", "train", "test", "file",  # other tasks, with scores of their own to compare with
}  # fmt: skip
CELL, INIT = "cell.", "cell.init"


class Sweepable(NamedTuple):
    """What --sweep can vary."""

    parse: Callable[[str], Any]  # raises TypeError, ValueError or KeyError
    wanted: str  # of its values


def sweepable(experiment: Experiment) -> dict[str, Sweepable]:
    """Name -> what --sweep can vary: the flags that results depend on, and the options of cells."""
    hints = {
        name: _given(hint)
        for kind in (type(experiment), Architecture, TrainingSettings)
        for name, hint in typing.get_type_hints(kind).items()
        if name not in NOT_SWEPT and typing.get_origin(hint) is not ClassVar
    }
    return {
        **{name: Sweepable(functools.partial(from_word, hint), _wanted(hint)) for name, hint in hints.items()},
        INIT: Sweepable(_init, "default, chrono, orthogonal, identity, or a scaled one as in orthogonal*0.9"),
        **{CELL + option: Sweepable(*told) for option, told in OPTIONS.items()},
    }


def _given(hint: Any) -> Any:
    """``hint`` without the None of a flag that need not be given."""
    some = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    return some[0] if len(some) < len(typing.get_args(hint)) else hint


def _wanted(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(typing.get_args(hint))
    if hint is bool:
        return "true or false"
    return "a whole number" if hint is int else "a number"


def _init(word: str) -> Any:
    return word if word in ("default", "chrono") else OPTIONS["recurrent_init"][0](word)


def parsed(what: str, word: str, axis: Sweepable) -> Any:
    """The value that ``word`` is; ``what`` says in the error where it stands."""
    try:
        return axis.parse(word)
    except (TypeError, ValueError, KeyError):
        raise UserError(f"{what} wants {axis.wanted}, but {word!r} was given.") from None


def with_flags(experiment: Experiment, flags: Mapping[str, Any]) -> Experiment:
    """``experiment`` with other values for some flags, wherever they are kept."""
    changes = dict(flags)
    for name in SECTIONS:
        section = getattr(experiment, name)
        own = {field.name: changes.pop(field.name) for field in dataclasses.fields(section) if field.name in changes}
        changes[name] = dataclasses.replace(section, **own)
    return dataclasses.replace(experiment, **changes)


def own_flags(experiment: Experiment, spec: str) -> tuple[str, dict[str, Any]]:
    """``spec`` without what is no option of a cell, and that: flags for this cell alone."""
    name, _, rest = spec.strip().partition(":")
    known, options, flags = sweepable(experiment), list[str](), dict[str, Any]()
    for item in filter(None, rest.split(",")):
        flag, equals, word = item.partition("=")
        flag = flag.strip().replace("-", "_")
        if flag in OPTIONS:
            options.append(flag + equals + word)
        elif flag not in known:
            raise UserError(
                f"In {spec!r}, {flag} is neither an option of a cell ({', '.join(OPTIONS)}) nor a flag that --sweep "
                f"knows ({', '.join(name for name in known if not name.startswith(CELL))})."
            )
        elif flag in flags:
            raise UserError(f"In {spec!r}, {flag} stands twice; give it once.")
        else:
            flags[flag] = parsed(f"{flag} of the cell {spec!r}", word, known[flag])
    return joined(name, options), flags


def joined(spec: str, options: Iterable[str]) -> str:
    """``spec`` with more options."""
    options = ",".join(options)
    return f"{spec}{',' if ':' in spec else ':'}{options}" if options else spec


def text_of(value: Any) -> str:
    """A value in a label: whole numbers without a point, as they are typed."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)
